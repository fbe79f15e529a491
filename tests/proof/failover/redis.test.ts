import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Toll } from "../../../scripts/bench/failover.ts";
import {
  connect,
  type RedisTrial,
  strike,
  tryRedis,
} from "../../../scripts/bench/redis_failover.ts";
import { hasRedis, startRedisCluster } from "../../../scripts/cluster/redis.ts";
import { LedgerUnavailableError } from "../../../shared/idempotency/errors.ts";
import type { ClaimTerms, Ledger } from "../../../shared/idempotency/ledger.ts";
import { redisLedger } from "../../../shared/idempotency/redis_ledger.ts";

const ANSWER = { status: 201, headers: {}, body: null };
const IDENTITY = { userId: "ada", scope: "orders", key: "order-17" };
// Longer than the test: what is written never reaches the replica.
const FOR_EVER_MS = 3_600_000;

const WITH_WAIT = { clients: 8, wait: true, lagMs: 5, calm: 100 };
const TRIALS: readonly RedisTrial[] = [
  { client: "redis", blow: "crash", ...WITH_WAIT },
  { client: "ioredis", blow: "freeze", ...WITH_WAIT },
];

const terms = (): ClaimTerms => ({
  fingerprint: "a".repeat(64),
  ownerToken: crypto.randomUUID(),
  leaseSeconds: 60,
  ttlSeconds: 3600,
  onAbandoned: "refuse",
  maxAttempts: 5,
  metadata: null,
});

if (hasRedis()) {
  testFailover();
} else {
  Deno.test.ignore("failover of Redis: needs redis-server", () => {});
}

function testFailover(): void {
  let tolls: Promise<Toll[]>;

  // They mostly wait, and so beside the others.
  Deno.test.beforeAll(() => {
    tolls = Promise.all(TRIALS.map(tryRedis));
    tolls.catch(() => {});
  });

  Deno.test("a failover of Redis forgets what the replica did not have, which WAIT tells in time", async () => {
    await using cluster = await startRedisCluster();
    const alone = await connect(cluster, { client: "redis", wait: false });
    const waiting = await connect(cluster, { client: "redis", wait: true });
    try {
      const names = new Set<string>();
      const ledger = redisLedger(
        (command) => (names.add(command[3]!), alone.send(command)),
        { timeoutMs: 500 },
      );
      const { ownerToken, ...rest } = terms();
      const complete = (on: Ledger) =>
        on.complete(IDENTITY, ownerToken, ANSWER, 3600);
      await redisLedger(waiting.send)
        .claim(IDENTITY, { ownerToken, ...rest });
      cluster.lagMs = FOR_EVER_MS;
      await assertRejects(
        () => complete(redisLedger(waiting.send)),
        LedgerUnavailableError,
      );
      const recorded = await untilAnswered(() => complete(ledger));
      assertEquals(recorded.outcome, "recorded");
      assertEquals(
        await untilAnswered(() => ledger.read(IDENTITY)),
        ANSWER,
      );
      await strike(cluster, "crash", [...names][0]!);
      // The claim had got through, the answer had not.
      const told = await untilAnswered(() => ledger.claim(IDENTITY, terms()));
      assertEquals(told.outcome, "in_progress");
      assertEquals(
        await untilAnswered(() => ledger.read(IDENTITY)),
        null,
      );
    } finally {
      alone.close();
      waiting.close();
    }
  });

  Deno.test("with WAIT neither a crash nor a freeze of a master loses what was granted or told", async () => {
    for (
      const [n, { told, lostAnswers, forgotten }] of (await tolls).entries()
    ) {
      const { client, blow } = TRIALS[n]!;
      assert(told >= 200, `${client}, ${blow}: ${told} told`);
      assertEquals([lostAnswers, forgotten], [0, 0], `${client}, ${blow}`);
    }
  });
}

/** Clients find the new master before long; a busy machine takes its time. */
async function untilAnswered<Result>(
  ask: () => Promise<Result>,
): Promise<Result> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof LedgerUnavailableError)) throw error;
    }
  }
}
