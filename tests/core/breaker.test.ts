import FakeTimers from "@sinonjs/fake-timers";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  LedgerMisconfiguredError,
  LedgerUnavailableError,
  TooManyKeysError,
} from "../../shared/idempotency/errors.ts";
import { postgresLedger } from "../../shared/idempotency/postgres_ledger.ts";
import {
  type CallOutcome,
  sqlLedger,
} from "../../shared/idempotency/sql_ledger.ts";

const IDENTITY = { userId: null, scope: "orders", key: "order-17" };
const TERMS = {
  fingerprint: "a".repeat(64),
  ownerToken: crypto.randomUUID(),
  leaseSeconds: 60,
  ttlSeconds: 3600,
  onAbandoned: "retry",
  maxAttempts: 5,
  metadata: null,
} as const;
const CLAIMED: CallOutcome = {
  data: [{ outcome: "claimed", attempt: 1, fence: 1, steps: null }],
  error: null,
};
const RECORDED: CallOutcome = { data: [{ outcome: "completed" }], error: null };

/** A place that takes as long as it is told, under a clock of its own. */
async function withPlace(
  test: (t: {
    clock: FakeTimers.Clock;
    /** What the place does from here on; `null`: it does not answer. */
    answers: (outcome: CallOutcome | null) => void;
    calls: () => number;
    claim: () => Promise<unknown>;
    complete: () => Promise<unknown>;
    /** Waits for it under the fake clock, and says how long it took, in ms. */
    timed: (work: Promise<unknown>) => Promise<number>;
  }) => Promise<void>,
): Promise<void> {
  const clock = FakeTimers.install({
    now: 1,
    toFake: ["setTimeout", "clearTimeout", "Date", "performance"],
  });
  let outcome: CallOutcome | null = CLAIMED;
  let calls = 0;
  const ledger = sqlLedger(async (_fn, _args, withinMs) => {
    calls++;
    if (outcome !== null) return outcome;
    await new Promise((resolve) => setTimeout(resolve, withinMs));
    return { error: { message: "no answer" }, isTransient: true };
  }, { place: crypto.randomUUID() });
  try {
    await test({
      clock,
      answers: (next) => void (outcome = next),
      calls: () => calls,
      claim: () => ledger.claim(IDENTITY, TERMS),
      complete: () =>
        ledger.complete(
          IDENTITY,
          TERMS.ownerToken,
          { status: 200, headers: {}, body: null },
          3600,
        ),
      async timed(work) {
        const startedAt = clock.now;
        let endedAt: number | undefined;
        work.catch(() => {}).finally(() => endedAt = clock.now);
        for (let n = 0; endedAt === undefined && n < 300; n++) {
          await clock.tickAsync(100);
        }
        return endedAt! - startedAt;
      },
    });
  } finally {
    clock.uninstall();
  }
}

Deno.test("a claim that gets no answer is refused after 5 s, a record after 20 s", async () => {
  await withPlace(async ({ answers, claim, complete, timed, calls }) => {
    answers(null);
    const claimMs = await timed(claim());
    assert(claimMs > 4_500 && claimMs <= 5_000, `${claimMs} ms`);
    assertEquals(calls(), 3);
    const recordMs = await timed(complete());
    assert(recordMs > 12_000 && recordMs <= 20_000, `${recordMs} ms`);
  });
});

Deno.test("where the ledger refuses at once, as what restarts does, a claim is given up soon, and a record is tried for 20 s", async () => {
  const restarting: CallOutcome = {
    error: { message: "the database system is starting up", code: "57P03" },
    isTransient: true,
  };
  await withPlace(async ({ answers, claim, complete, timed }) => {
    answers(restarting);
    assert(await timed(claim()) <= 500);
    setTimeout(() => answers(RECORDED), 15_000);
    const recordMs = await timed(complete());
    assert(recordMs >= 15_000 && recordMs <= 16_100, `${recordMs} ms`);
    answers(restarting);
    const unrecorded = complete();
    const unrecordedMs = await timed(unrecorded);
    assert(
      unrecordedMs > 19_000 && unrecordedMs <= 20_100,
      `${unrecordedMs} ms`,
    );
    await assertRejects(() => unrecorded, LedgerUnavailableError);
  });
});

Deno.test("after three claims without an answer the next are refused at once, and say when to come", async () => {
  await withPlace(async ({ answers, claim, timed, calls }) => {
    answers(null);
    for (let n = 0; n < 3; n++) assert(await timed(claim()) > 4_500);
    const asked = calls();
    const error = await assertRejects(claim, LedgerUnavailableError);
    assertEquals([calls(), error.retryAfterSeconds], [asked, 3]);
  });
});

Deno.test("what is to be recorded is tried although the ledger is known to be down", async () => {
  await withPlace(async ({ answers, claim, complete, timed, calls }) => {
    answers(null);
    for (let n = 0; n < 3; n++) await timed(claim());
    const asked = calls();
    answers(RECORDED);
    await complete();
    assertEquals(calls(), asked + 1);
    // It answered: claims are asked for again.
    answers(CLAIMED);
    await claim();
  });
});

Deno.test("after 3 s one claim looks whether the ledger is back; the others wait for what it finds", async () => {
  await withPlace(async ({ clock, answers, claim, timed, calls }) => {
    answers(null);
    for (let n = 0; n < 3; n++) await timed(claim());
    await clock.tickAsync(2_800);
    await assertRejects(claim, LedgerUnavailableError);
    await clock.tickAsync(200);
    const asked = calls();
    const looking = timed(claim());
    await assertRejects(claim, LedgerUnavailableError);
    assertEquals(calls(), asked + 1);
    assert(await looking > 4_500);
    // Still down: for another 3 s nobody asks.
    await assertRejects(claim, LedgerUnavailableError);
    await clock.tickAsync(3_000);
    answers(CLAIMED);
    await claim();
    await claim();
  });
});

Deno.test("a refusal is an answer: who looks finds the ledger up", async () => {
  const refusals = {
    PT429: TooManyKeysError,
    "42501": LedgerMisconfiguredError,
  };
  for (const [code, Refusal] of Object.entries(refusals)) {
    await withPlace(async ({ clock, answers, claim, timed }) => {
      answers(null);
      for (let n = 0; n < 3; n++) await timed(claim());
      await clock.tickAsync(3_000);
      answers({ error: { message: "no", code }, isTransient: false });
      await assertRejects<Error>(claim, Refusal);
      // Somebody else's claim is none of it.
      answers(CLAIMED);
      await claim();
    });
  }
});

Deno.test("only failures in a row count", async () => {
  await withPlace(async ({ answers, claim, timed }) => {
    for (let n = 0; n < 3; n++) {
      answers(null);
      for (let n = 0; n < 2; n++) assert(await timed(claim()) > 4_500);
      answers(
        n === 0
          ? { error: { message: "no", code: "PT429" }, isTransient: false }
          : CLAIMED,
      );
      await claim().catch(() => {});
    }
  });
});

function shuttingDown() {
  return Promise.reject(
    Object.assign(new Error("shutting down"), { code: "57P01" }),
  );
}

Deno.test("clients that a pipeline makes for each request share what is known of their database", async () => {
  let calls = 0;
  const request = () => {
    const client = {
      query: shuttingDown,
      queryRaw: () => {
        calls++;
        return shuttingDown();
      },
    };
    return postgresLedger(client).claim(IDENTITY, TERMS);
  };
  for (let n = 0; n < 3; n++) {
    await assertRejects(request, LedgerUnavailableError);
  }
  const before = calls;
  await assertRejects(request, LedgerUnavailableError);
  assertEquals(calls, before);
});

Deno.test("a database that is down says nothing of another one's", async () => {
  const down = postgresLedger({ queryRaw: shuttingDown });
  for (let n = 0; n < 3; n++) {
    await assertRejects(
      () => down.claim(IDENTITY, TERMS),
      LedgerUnavailableError,
    );
  }
  const answer = { outcome: "claimed", attempt: 1, fence: 1, steps: null };
  const up = postgresLedger({ queryRaw: () => Promise.resolve([{ answer }]) });
  assertEquals((await up.claim(IDENTITY, TERMS)).outcome, "claimed");
});

Deno.test("a client whose ledger is made anew for each request keeps what is known of its database", async () => {
  const client = { queryRaw: shuttingDown };
  const request = () => postgresLedger(client).claim(IDENTITY, TERMS);
  for (let n = 0; n < 3; n++) {
    await assertRejects(request, LedgerUnavailableError);
  }
  client.queryRaw = () => Promise.reject(new Error("was asked all the same"));
  const { cause } = await assertRejects(request, LedgerUnavailableError);
  assertEquals(String(cause), "Error: 3 calls in a row got no answer");
});

Deno.test("a pooler that has no connection left is worth another try, an internal error of the database is not", async () => {
  const claimed = { outcome: "claimed", attempt: 1, fence: 1, steps: null };
  const ledger = (...severity: [name: string, value: string]) => {
    let calls = 0;
    const error = Object.assign(new Error("no"), {
      code: "XX000",
      ...Object.fromEntries([severity]),
    });
    return postgresLedger({
      queryRaw: () =>
        calls++ === 0
          ? Promise.reject(error)
          : Promise.resolve([{ answer: claimed }]),
    });
  };
  for (const name of ["severity", "severity_local"]) {
    const { outcome } = await ledger(name, "FATAL").claim(IDENTITY, TERMS);
    assertEquals(outcome, "claimed", name);
    await assertRejects(
      () => ledger(name, "ERROR").claim(IDENTITY, TERMS),
      LedgerMisconfiguredError,
      "XX000",
    );
  }
});
