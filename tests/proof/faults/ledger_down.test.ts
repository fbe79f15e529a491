/**
 * A ledger that does not answer, and one that will never answer like this: how
 * long a request waits, and what it is told to do.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import {
  LedgerMisconfiguredError,
  LedgerUnavailableError,
} from "../../../shared/idempotency/errors.ts";
import type { Ledger } from "../../../shared/idempotency/ledger.ts";
import { postgresLedger } from "../../../shared/idempotency/postgres_ledger.ts";
import { effects, probe, unique } from "../../support/probe.ts";
import { project } from "../../support/stack.ts";
import { type FaultyDatabase, startFaultyDatabase } from "./faulty_database.ts";

const LOCKED_MS = 12_000;
// The deadline of a claim is 5 s, as tests/core/breaker.test.ts proves; the rest
// is for a busy machine.
const MOST_CLAIM_MS = 10_000;
// Without a trip: far below the deadline of a claim, far above what a busy
// machine takes.
const AT_ONCE_MS = 1_000;
// A claim that nobody waits for any more is given back within seconds.
const MOST_RETURN_MS = 60_000;

let database: FaultyDatabase;

Deno.test.beforeAll(async () => {
  database = await startFaultyDatabase();
});
Deno.test.afterAll(async () => await database[Symbol.asyncDispose]());

const test = (name: string, fn: () => Promise<void>) =>
  // Connections are made anew in the background.
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });

const sleep = (ms: number) =>
  new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), ms));

async function timed<T>(work: () => Promise<T>) {
  const startedAt = performance.now();
  const result = await work();
  return { result, ms: performance.now() - startedAt };
}

function ask(key: string) {
  const { stack } = database;
  return timed(async () => {
    const response = await probe(stack, project(stack), {
      key,
      // What nobody ran must not count as an attempt whose outcome is unknown.
      config: { leaseSeconds: 1, onAbandoned: "refuse" },
      body: { effect: key },
    });
    return { response, problem: await response.json().catch(() => null) };
  });
}

function claimOf(ledger: Ledger) {
  const identity = { userId: null, scope: "faults", key: unique("down") };
  return () =>
    ledger.claim(identity, {
      fingerprint: "a".repeat(64),
      ownerToken: crypto.randomUUID(),
      leaseSeconds: 1,
      ttlSeconds: 3600,
      onAbandoned: "retry",
      maxAttempts: 5,
      metadata: null,
    });
}

test("while the table is locked requests are refused in time and then at once; a moment after, each runs once", async () => {
  const key = unique("locked");
  assertEquals((await ask(key)).result.response.status, 200);
  const locked = Promise.withResolvers<void>();
  const unlocked = database.sql.begin(async (sql) => {
    await sql`lock table public.idempotency_keys in access exclusive mode`;
    locked.resolve();
    await sleep(LOCKED_MS);
    return performance.now();
  });
  await locked.promise;
  const startedAt = performance.now();
  const isLocked = () => performance.now() - startedAt < LOCKED_MS - 500;

  const keys = [1, 2, 3].map(() => unique("locked"));
  const first = await Promise.all(keys.map(ask));
  for (const { result: { response, problem }, ms } of first) {
    assert(ms < MOST_CLAIM_MS, `refused after ${ms.toFixed(0)} ms`);
    assertUnavailable(response, problem);
  }
  // Of those that come when the pause is over one looks whether the ledger is
  // back, and takes as long as it takes.
  let looking = 0;
  let refusedAtOnce = 0;
  while (isLocked()) {
    // A key of its own: who asks about one that is being asked about waits too.
    const asked = await Promise.race([
      ask(unique("locked")),
      sleep(AT_ONCE_MS),
    ]);
    if (asked === undefined) {
      looking++;
    } else {
      assertUnavailable(asked.result.response, asked.result.problem);
      refusedAtOnce++;
    }
    await sleep(100);
  }
  // How many there were is the machine's matter.
  assert(
    refusedAtOnce > 3 * looking,
    `${refusedAtOnce} were refused at once, ${looking} waited`,
  );

  const unlockedAt = await unlocked;
  for (const key of keys) {
    let { result } = await ask(key);
    while (result.response.status !== 200) {
      assert(
        performance.now() - unlockedAt < MOST_RETURN_MS,
        `still ${result.response.status} ${result.problem.code}`,
      );
      await sleep(50);
      ({ result } = await ask(key));
    }
    assertEquals(await effects(database.stack, key), 1);
  }
});

function assertUnavailable(response: Response, problem: { code: string }) {
  assertEquals([response.status, problem.code], [503, "LEDGER_UNAVAILABLE"]);
  const seconds = Number(response.headers.get("retry-after"));
  assert(seconds >= 1 && seconds <= 5, `Retry-After: ${seconds}`);
}

test("over a direct connection, too, a ledger that is down is asked no more for a while", async () => {
  const sql = postgres(database.cluster.url, { max: 3, onnotice: () => {} });
  try {
    const ledger = postgresLedger(sql);
    await database.sql.begin(async (lock) => {
      await lock`lock table public.idempotency_keys in access exclusive mode`;
      const first = await Promise.all(
        [1, 2, 3].map(() =>
          timed(() => assertRejects(claimOf(ledger), LedgerUnavailableError))
        ),
      );
      for (const { ms } of first) assert(ms < MOST_CLAIM_MS, `${ms} ms`);
      const next = await timed(() =>
        assertRejects(claimOf(ledger), LedgerUnavailableError)
      );
      assert(next.ms < AT_ONCE_MS, `${next.ms} ms`);
    });
    const unlockedAt = performance.now();
    const claim = claimOf(ledger);
    while (!await claim().then(() => true, () => false)) {
      assert(performance.now() - unlockedAt < MOST_RETURN_MS);
      await sleep(50);
    }
  } finally {
    await sql.end({ timeout: 1 });
  }
});

const CLAIM =
  "public.idempotency_claim(text, text, text, text, uuid, integer, integer, text, integer, boolean, jsonb)";

const mistakes = {
  "a ledger that may not be written": {
    make: `revoke execute on function ${CLAIM} from service_role`,
    mend: `grant execute on function ${CLAIM} to service_role`,
    says: "give the ledger the secret key's client",
  },
  "a database without the migration": {
    make: `alter function ${CLAIM} rename to idempotency_claim_of_old`,
    mend: `alter function ${
      CLAIM.replace("idempotency_claim", "idempotency_claim_of_old")
    } rename to idempotency_claim`,
    says:
      "apply the idempotency migration (supabase db push, with --remote to the linked project)",
  },
};

for (const [name, { make, mend, says }] of Object.entries(mistakes)) {
  test(`${name} is a mistake of the set-up: 500, final, and says what to do`, async () => {
    const as = postgres(database.cluster.url, {
      max: 1,
      connection: { role: "service_role" },
      onnotice: () => {},
    });
    await database.sql.unsafe(make);
    await database.sql`notify pgrst, 'reload schema'`;
    const key = unique("mistake");
    try {
      for (let n = 0; n < 4; n++) {
        const { result: { response, problem }, ms } = await ask(key);
        assertEquals(
          [response.status, problem.code, problem.retryable],
          [500, "LEDGER_MISCONFIGURED", false],
        );
        assertEquals(response.headers.get("retry-after"), null);
        assert(problem.detail.includes(says), problem.detail);
        assert(ms < MOST_CLAIM_MS, `refused after ${ms.toFixed(0)} ms`);
      }
      await assertRejects(
        claimOf(postgresLedger(as)),
        LedgerMisconfiguredError,
        says,
      );
      assertEquals(await effects(database.stack, key), 0);
    } finally {
      await database.sql.unsafe(mend);
      await database.sql`notify pgrst, 'reload schema'`;
      await as.end({ timeout: 1 });
    }
    // It did not count as an outage: the next request runs.
    assertEquals((await ask(key)).result.response.status, 200);
  });
}
