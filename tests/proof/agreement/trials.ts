import pg from "pg";
import postgres from "postgres";
import { startCluster } from "../../../scripts/cluster/postgres.ts";
import { missingPostgres } from "../../../scripts/cluster/postgres_extensions.ts";
import { hasRedis, startRedis } from "../../../scripts/cluster/redis.ts";
import { type Stack, startStack } from "../../../scripts/stack/stack.ts";
import {
  encrypted,
  memoryLedger,
  postgresLedger,
  supabaseLedger,
} from "../../../shared/idempotency.ts";
import type { Ledger } from "../../../shared/idempotency/ledger.ts";
import { redisLedger } from "../../../shared/idempotency/redis_ledger.ts";
import { AGE_KEYS, ageRedis } from "../../support/age.ts";
import { project, signUp } from "../../support/stack.ts";
import { randomFrom } from "../simulation/random.ts";
import { Tally, type Trial, type TrialLimits } from "../trial.ts";
import { disagreement, type Side } from "./agreement.ts";

/** Ledger beside ledger, each through the adapter that users take. */
export const agreementTrial: Trial = {
  name: "ledgers agree",
  missing: () => missingPostgres([]) ?? (hasRedis() ? null : "no redis-server"),
  async run(limits) {
    const cluster = await startCluster();
    const stack = await startStack({ port: 0, databaseUrl: cluster.url });
    try {
      return await compareLedgers(limits, stack, cluster.url);
    } finally {
      await stack.close();
      await cluster.close();
    }
  },
};

/**
 * Compares until the time is up.
 *
 * @param url The stack's database.
 */
export async function compareLedgers(
  { seed, seconds }: TrialLimits,
  stack: Stack,
  url: string,
): Promise<readonly Tally[]> {
  const secret = { id: "one", secret: new Uint8Array(32) };
  const tally = new Tally("each ledger answers as the one in memory");
  await using redis = await startRedis();
  const sql = postgres(url, { max: 4 });
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  // They are on one table, so each has its turn.
  const databases = Object.entries({
    "postgres.js": postgresLedger(sql),
    "pg": postgresLedger(pool),
    "the Data API": supabaseLedger(project(stack).client),
  });
  const users = [await signUp(stack), await signUp(stack)] as const;
  const accounts = [users[0].userId, users[1].userId] as const;
  const until = performance.now() + seconds * 1000;
  try {
    for (let next = seed; performance.now() < until; next++) {
      await sql`delete from public.idempotency_keys`;
      await redis.send(["FLUSHALL"]);
      const random = randomFrom(next);
      const [name, ledger] = random.pick(databases);
      const sides = [
        inMemory("memory", (ledger) => ledger),
        inMemory(
          "encrypted memory",
          (ledger) => encrypted(ledger, { keys: [secret] }),
        ),
        onServer(name, ledger, (seconds) => sql.unsafe(AGE_KEYS, [seconds])),
      ];
      const purges = random.chance(0.5);
      if (purges) {
        sides.push(
          onServer(
            "redis",
            redisLedger(redis.send),
            (seconds) => ageRedis(redis.send, seconds),
          ),
        );
      }
      const found = await disagreement(random, sides, { accounts, purges });
      if (found === "late") continue;
      tally.count(found === null, () => `seed ${next}\n${found}`);
    }
  } finally {
    await sql.end();
    await pool.end();
  }
  return [tally];
}

/** A ledger of a server, whose clock nobody moves: what it holds grows older. */
function onServer(name: string, ledger: Ledger, age: Side["age"]): Side {
  return { name, ledger, age, now: Date.now };
}

/** A ledger in memory, under a clock that is ahead of the machine's. */
export function inMemory(
  name: string,
  wrap: (ledger: Ledger, now: () => number) => Ledger,
): Side {
  let ahead = 0;
  const now = () => Date.now() + ahead;
  return {
    name,
    ledger: wrap(memoryLedger({ now }), now),
    age: (seconds) => void (ahead += seconds * 1000),
    now,
  };
}
