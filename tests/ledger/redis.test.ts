import FakeTimers from "@sinonjs/fake-timers";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  checkIdempotency,
  createIdempotencyKey,
} from "../../shared/idempotency/calls.ts";
import { encrypted } from "../../shared/idempotency/encryption.ts";
import {
  LedgerMisconfiguredError,
  LedgerUnavailableError,
} from "../../shared/idempotency/errors.ts";
import type { ClaimTerms } from "../../shared/idempotency/ledger.ts";
import { redisLedger } from "../../shared/idempotency/redis_ledger.ts";
import {
  type ContractSubject,
  ledgerContract,
} from "../../shared/idempotency/testing.ts";
import {
  hasRedis,
  type RedisServer,
  type Send,
  startRedis,
} from "../../scripts/cluster/redis.ts";
import { ageRedis } from "../support/age.ts";

const IDENTITY = { userId: "ada", scope: "orders", key: "order-17" };

const terms = (): ClaimTerms & { ownerToken: string } => ({
  fingerprint: "a".repeat(64),
  ownerToken: crypto.randomUUID(),
  leaseSeconds: 60,
  ttlSeconds: 3600,
  onAbandoned: "retry",
  maxAttempts: 5,
  metadata: { trace: "1" },
});

if (!hasRedis()) {
  Deno.test.ignore("Redis ledger: needs redis-server", () => {});
} else {
  testOnRedis();
}

function testOnRedis(): void {
  let redis: RedisServer;
  const sent: string[][] = [];
  const send: Send = (command) => (sent.push(command), redis.send(command));

  Deno.test.beforeAll(async () => {
    redis = await startRedis();
  });
  Deno.test.afterAll(async () => await redis[Symbol.asyncDispose]());
  Deno.test.beforeEach(async () => {
    await redis.send(["FLUSHALL"]);
    sent.length = 0;
  });

  const subject = (): ContractSubject => ({
    ledger: redisLedger(send),
    users: ["ada", "bob"],
    age: (seconds) => ageRedis(redis.send, seconds),
  });
  for (const { name, run } of ledgerContract(subject)) {
    Deno.test(`Redis ledger: ${name}`, run);
  }

  Deno.test("encrypted Redis ledger: keeps the whole contract", async () => {
    const secret = crypto.getRandomValues(new Uint8Array(32));
    const keys = [{ id: "one", secret }];
    const cases = ledgerContract(() => ({
      ...subject(),
      ledger: encrypted(redisLedger(send), { keys }),
    }));
    for (const { run } of cases) await run();
  });

  Deno.test("Redis ledger: each transition is one command, of one key", async () => {
    const ledger = redisLedger(send);
    const owner = terms();
    const { ownerToken } = owner;
    const answer = { status: 200, headers: {}, body: null };
    const life = async () => {
      await ledger.claim(IDENTITY, owner);
      await ledger.renew(IDENTITY, ownerToken, 60);
      await ledger.checkpoint(IDENTITY, ownerToken, "charge", { value: 1 }, 60);
      await ledger.complete(IDENTITY, ownerToken, answer, 3600);
      await ledger.claim(IDENTITY, terms());
      await ledger.read(IDENTITY);
    };
    await life();
    sent.length = 0;
    await life();
    assertEquals(sent.map(([command]) => command), Array(6).fill("EVALSHA"));
    assertEquals(new Set(sent.map(([, , keys]) => keys)), new Set(["1"]));
    assertEquals(new Set(sent.map(([, , , name]) => name)).size, 1);
    assertEquals(await redis.send(["DBSIZE"]), 1);
  });

  Deno.test("Redis ledger: a server that forgot the scripts is sent them again", async () => {
    const ledger = redisLedger(send);
    await ledger.claim(IDENTITY, terms());
    await redis.send(["SCRIPT", "FLUSH"]);
    sent.length = 0;
    assertEquals(
      (await ledger.claim(IDENTITY, terms())).outcome,
      "in_progress",
    );
    assertEquals(sent.map(([command]) => command), ["EVALSHA", "EVAL"]);
  });

  Deno.test("Redis ledger: an answer is recorded although the connection breaks again and again", async () => {
    let breaks = 0;
    const ledger = redisLedger(async (command) => {
      const answer = await send(command);
      if (breaks-- > 0) throw new Error("Socket closed unexpectedly");
      return answer;
    });
    const { ownerToken, ...rest } = terms();
    await ledger.claim(IDENTITY, { ownerToken, ...rest });
    breaks = 4;
    const answer = { status: 201, headers: {}, body: null };
    assertEquals(await ledger.complete(IDENTITY, ownerToken, answer, 60), {
      outcome: "recorded",
    });
    assertEquals(await ledger.read(IDENTITY), answer);
  });

  Deno.test("Redis ledger: no part of an earlier owner's token stands for it", async () => {
    const ledger = redisLedger(send);
    const [first, second] = [terms(), terms()];
    await ledger.claim(IDENTITY, first);
    await ageRedis(redis.send, 61);
    await ledger.claim(IDENTITY, second);
    const body = new TextEncoder().encode("for the second");
    const answer = { status: 200, headers: {}, body };
    await ledger.complete(IDENTITY, second.ownerToken, answer, 3600);
    const told = async (token: string) =>
      (await ledger.renew(IDENTITY, token, 60)).outcome;
    assertEquals(await told(first.ownerToken), "replay");
    for (const part of ["", " ", "-", first.ownerToken.slice(1)]) {
      assertEquals(await told(part), "gone");
    }
  });

  Deno.test("Redis ledger: a replay writes nothing", async () => {
    const ledger = redisLedger(send);
    const owner = terms();
    await ledger.claim(IDENTITY, owner);
    const answer = { status: 200, headers: {}, body: null };
    await ledger.complete(IDENTITY, owner.ownerToken, answer, 3600);
    const changes = async () => {
      const info = String(await redis.send(["INFO", "persistence"]));
      return /rdb_changes_since_last_save:(\d+)/.exec(info)?.[1];
    };
    const before = await changes();
    for (let n = 0; n < 5; n++) {
      assertEquals((await ledger.claim(IDENTITY, terms())).outcome, "replay");
    }
    assertEquals(await changes(), before);
  });

  Deno.test("Redis ledger: a key leaves by itself when its time is over", async () => {
    const ledger = redisLedger(send, { prefix: "app:" });
    const owner = { ...terms(), leaseSeconds: 1, ttlSeconds: 1 };
    await ledger.claim(IDENTITY, owner);
    const [name] = await redis.send(["KEYS", "app:*"]) as string[];
    const left = Number(await redis.send(["PTTL", name!]));
    assert(left > 500 && left <= 1000, `${left} ms`);
    await ledger.fail(
      IDENTITY,
      owner.ownerToken,
      { message: "no", status: 502 },
      10,
    );
    const later = Number(await redis.send(["PTTL", name!]));
    assert(later > 9000 && later <= 10_000, `${later} ms`);
    assertEquals(
      [name, await redis.send(["HMGET", name!, "error", "code", "metadata"])],
      ['app:["ada","orders","order-17"]', ["no", "502", '{"trace":"1"}']],
    );
  });

  Deno.test("Redis ledger: a failure without an answer has no status", async () => {
    const ledger = redisLedger(send);
    const owner = terms();
    for (const status of [null, 502]) {
      await ledger.claim(IDENTITY, owner);
      const failure = { message: "no", status };
      await ledger.fail(IDENTITY, owner.ownerToken, failure, 10);
      assertEquals((await ledger.status!(IDENTITY))?.statusCode, status);
    }
  });

  Deno.test("Redis ledger: made anew for each call, it confirms what it has claimed", async () => {
    const { key, userId } = IDENTITY;
    await checkIdempotency(redisLedger(send), key, userId);
    const other = redisLedger(send, { prefix: "other:" });
    const elsewhere = await createIdempotencyKey(other, key, userId);
    const claim = await createIdempotencyKey(redisLedger(send), key, userId);
    assert(claim.ownerToken !== elsewhere.ownerToken);
  });

  Deno.test("Redis ledger: an operator settles an interrupted key in its owner's name", async () => {
    const ledger = redisLedger(send);
    const name = 'idempotency:["ada","orders","order-17"]';
    const owner = async () => String(await redis.send(["HGET", name, "owner"]));
    const refusing = () => ({ ...terms(), onAbandoned: "refuse" as const });
    const interrupt = async () => {
      await ledger.claim(IDENTITY, terms());
      await ageRedis(redis.send, 61);
      const { outcome } = await ledger.claim(IDENTITY, refusing());
      assertEquals(outcome, "abandoned");
      assertEquals((await ledger.status!(IDENTITY))?.isStuck, true);
    };
    await interrupt();
    const failure = { message: "looked, not there", status: null };
    await ledger.fail(IDENTITY, await owner(), failure, 3600);
    await interrupt();
    const answer = { status: 201, headers: {}, body: null };
    await ledger.complete(IDENTITY, await owner(), answer, 3600);
    const told = await ledger.claim(IDENTITY, refusing());
    assertEquals(told, { outcome: "replay", answer });
  });

  Deno.test("Redis ledger: a server that is full renews no lease, and the key passes to the next", async () => {
    const ledger = redisLedger(send);
    const { ownerToken, ...rest } = terms();
    await ledger.claim(IDENTITY, { ownerToken, ...rest });
    await redis.send(["CONFIG", "SET", "maxmemory", "1"]);
    try {
      const error = await assertRejects(
        () => ledger.renew(IDENTITY, ownerToken, 60),
        LedgerUnavailableError,
      );
      assert(String(error.cause).includes("OOM"), String(error.cause));
    } finally {
      await redis.send(["CONFIG", "SET", "maxmemory", "0"]);
    }
    await ageRedis(redis.send, 61);
    assertEquals((await ledger.claim(IDENTITY, terms())).outcome, "taken_over");
  });

  Deno.test("Redis ledger: fences grow among attempts in the same instant", async () => {
    const ledger = redisLedger(send);
    const results = await Promise.all(
      Array.from(
        { length: 500 },
        (_, n) => ledger.claim({ ...IDENTITY, key: `key-${n}` }, terms()),
      ),
    );
    const fences = results.map((result) => "fence" in result && result.fence);
    assertEquals(new Set(fences).size, fences.length);
  });

  Deno.test("Redis ledger: numbers and bytes of other clients are understood", async () => {
    const others: Send = async (command) => {
      const answer = await redis.send(command) as (string | null)[];
      return answer.map((part) =>
        part !== null && /^\d{1,3}$/.test(part)
          ? Number(part)
          : part && new TextEncoder().encode(part)
      );
    };
    const cases = ledgerContract(() => ({
      ...subject(),
      ledger: redisLedger(others),
    }));
    for (const { run } of cases) await run();
  });
}

Deno.test("Redis ledger: a refusal of permission is a mistake of set-up", async () => {
  const send: Send = () =>
    Promise.reject(new Error("NOPERM this user has no permissions to run it"));
  await assertRejects(
    () => redisLedger(send).claim(IDENTITY, terms()),
    LedgerMisconfiguredError,
    "check the password, and that its user may run EVALSHA",
  );
});

const outages: Record<string, Send> = {
  "refuses": () => Promise.reject(new Error("ECONNREFUSED")),
  "does not answer": () => new Promise(() => {}),
  "answers something else": () => Promise.resolve("OK"),
  "answers a list of something else": () => Promise.resolve(["moon"]),
};
for (const [what, send] of Object.entries(outages)) {
  Deno.test(`Redis ledger: a server that ${what} is out of reach`, async () => {
    const ledger = redisLedger(send, { timeoutMs: 50 });
    await assertRejects(
      () => ledger.claim(IDENTITY, terms()),
      LedgerUnavailableError,
      "Could not claim the key",
    );
  });
}

Deno.test("Redis ledger: an answer leaves no timer that keeps a process alive", async () => {
  const clock = FakeTimers.install({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    for (const what of ["refuses", "answers something else"]) {
      let isOver = false;
      const claimed = assertRejects(
        () => redisLedger(outages[what]!).claim(IDENTITY, terms()),
        LedgerUnavailableError,
      ).finally(() => isOver = true);
      while (!isOver) await clock.tickAsync(10);
      await claimed;
      assertEquals(clock.countTimers(), 0, what);
    }
  } finally {
    clock.uninstall();
  }
});
