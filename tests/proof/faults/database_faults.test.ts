import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  IdempotencyError,
  LedgerUnavailableError,
  OutcomeUnknownError,
} from "../../../shared/idempotency/errors.ts";
import type { Identity } from "../../../shared/idempotency/ledger.ts";
import {
  type FaultyDatabase,
  type Lock,
  perform,
  type Performed,
  startFaultyDatabase,
} from "./faulty_database.ts";

// The deadline of a claim is 5 s; the rest is for a busy machine.
const NO_HANG_MS = 15_000;
const ROUTES = ["supabase-js", "a direct connection"] as const;

let database: FaultyDatabase;

Deno.test.beforeAll(async () => {
  database = await startFaultyDatabase();
});
Deno.test.afterAll(async () => await database[Symbol.asyncDispose]());

function newIdentity(): Identity {
  return { userId: null, scope: "faults", key: `key-${crypto.randomUUID()}` };
}

/** Fails when it takes longer than any call may. */
async function inTime<T>(work: Promise<T>): Promise<T> {
  const start = performance.now();
  try {
    return await work;
  } finally {
    const ms = performance.now() - start;
    assert(ms < NO_HANG_MS, `it took ${ms.toFixed(0)} ms`);
  }
}

/** Asks until there is an answer, as a client with patience does. */
async function untilAnswered(ask: () => Promise<Performed>) {
  for (const end = Date.now() + NO_HANG_MS;;) {
    try {
      return await ask();
    } catch (error) {
      const over = !(error instanceof IdempotencyError) || Date.now() > end;
      if (over || error instanceof OutcomeUnknownError) throw error;
      await new Promise((wake) => setTimeout(wake, 100));
    }
  }
}

for (const route of ROUTES) {
  const test = (
    name: string,
    body: (t: {
      identity: Identity;
      ask: (
        options?: Parameters<typeof perform>[3],
      ) => Promise<Performed>;
    }) => Promise<void>,
  ) =>
    Deno.test({
      name: `over ${route}: ${name}`,
      // Connections are made anew in the background.
      sanitizeOps: false,
      sanitizeResources: false,
      fn: () => {
        const identity = newIdentity();
        const ledger = database.ledgers[route];
        return body({
          identity,
          ask: (options) =>
            inTime(perform(database, ledger, identity, options)),
        });
      },
    });

  test("a connection cut during the claim is made again, and the claim with it", async ({ identity, ask }) => {
    const lock = await database.lock(identity);
    const asked = ask();
    await lock.cutWhoWaits();
    await lock.release();
    assertEquals(await asked, { body: "attempt 1", as: "stored" });
    assertEquals(await ask(), { body: "attempt 1", as: "replayed" });
    assertEquals(await database.effects(identity), 1);
  });

  test("a connection cut while completing is made again, and the answer recorded", async ({ identity, ask }) => {
    let cutting: Promise<void> | undefined;
    const asked = ask({
      between: async () => {
        const lock = await database.lock(identity);
        cutting = lock.cutWhoWaits().then(lock.release);
      },
    });
    assertEquals(await asked, { body: "attempt 1", as: "stored" });
    await cutting;
    assertEquals(await ask(), { body: "attempt 1", as: "replayed" });
    assertEquals(await database.effects(identity), 1);
  });

  test("a server restarted between claim and complete finds the claim, and records the answer", async ({ identity, ask }) => {
    const asked = ask({ between: () => database.cluster.restart() });
    assertEquals(await asked, { body: "attempt 1", as: "stored" });
    assertEquals(await ask(), { body: "attempt 1", as: "replayed" });
    assertEquals(await database.effects(identity), 1);
  });

  test("a server that is away for 3 s while completing is asked again, and the answer recorded", async ({ identity, ask }) => {
    let restarting: Promise<void> | undefined;
    const asked = ask({
      between: async () => {
        const down = Promise.withResolvers<void>();
        restarting = database.cluster.restart(async () => {
          down.resolve();
          await new Promise((wake) => setTimeout(wake, 3_000));
        });
        await down.promise;
      },
    });
    assertEquals(await asked, { body: "attempt 1", as: "stored" });
    await restarting;
    assertEquals(await ask(), { body: "attempt 1", as: "replayed" });
    assertEquals(await database.effects(identity), 1);
  });

  test("while the server is down nothing runs, and afterwards it runs once", async ({ identity, ask }) => {
    await database.cluster.restart(async () => {
      await assertRejects(() => ask(), LedgerUnavailableError);
    });
    assertEquals(await database.effects(identity), 0);
    const answered = await untilAnswered(() => ask());
    assertEquals(answered, { body: "attempt 1", as: "stored" });
    assertEquals(await database.effects(identity), 1);
  });

  test("a claim that runs into the statement's time limit runs nothing", async ({ identity, ask }) => {
    const lock = await database.lock(identity);
    await database.limitStatements(200);
    try {
      await assertRejects(() => ask(), LedgerUnavailableError);
      assertEquals(await database.effects(identity), 0);
    } finally {
      await database.limitStatements(0);
      await lock.release();
    }
    assertEquals(await ask(), { body: "attempt 1", as: "stored" });
    assertEquals(await database.effects(identity), 1);
  });
}

Deno.test({
  name: "a call that is never answered ends at its deadline, over either route",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    // At once, because this is as long as anything here may take.
    await Promise.all(ROUTES.map(async (route) => {
      const identity = newIdentity();
      const ask = () =>
        inTime(
          perform(database, database.ledgers[route], identity, {
            leaseSeconds: 1,
          }),
        );
      const lock = await database.lock(identity);
      await assertRejects(ask, LedgerUnavailableError);
      await lock.release();
      assertEquals(await database.effects(identity), 0);
      // A call that nobody waits for any more may still be granted the key:
      // then its lease has to lapse first.
      assertEquals((await untilAnswered(ask)).as, "stored");
      assertEquals(await database.effects(identity), 1);
    }));
  },
});

Deno.test({
  name:
    "a completion that runs into the statement's time limit still answers; the key does not stay blocked, and where the route refuses to guess nothing is repeated",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    // At once, because each record is tried for 20 s.
    const routes = ROUTES.flatMap((route) =>
      (["retry", "refuse"] as const).map((onAbandoned) => {
        const identity = newIdentity();
        const ledger = database.ledgers[route];
        const ask = (between = () => Promise.resolve()) =>
          perform(database, ledger, identity, {
            leaseSeconds: 1,
            onAbandoned,
            between,
          });
        return { identity, onAbandoned, ask };
      })
    );
    const locks: Lock[] = [];
    const limited = Promise.withResolvers<void>();
    const answers = await Promise.all(
      routes.map(({ identity, ask }) =>
        ask(async () => {
          locks.push(await database.lock(identity));
          if (locks.length === routes.length) {
            await database.limitStatements(200);
            limited.resolve();
          }
          await limited.promise;
        })
      ),
    );
    await database.limitStatements(0);
    for (const lock of locks) await lock.release();
    for (const answer of answers) {
      assertEquals(answer, { body: "attempt 1", as: "unstored" });
    }
    for (const { identity, onAbandoned, ask } of routes) {
      if (onAbandoned === "refuse") {
        await assertRejects(() => untilAnswered(ask), OutcomeUnknownError);
        assertEquals(await database.effects(identity), 1);
        continue;
      }
      // The route retries: the second effect is what it allows, and no third.
      const again = await untilAnswered(ask);
      assertEquals(again, { body: "attempt 2", as: "stored" });
      assertEquals(await ask(), { body: "attempt 2", as: "replayed" });
      assertEquals(await database.effects(identity), 2);
    }
  },
});
