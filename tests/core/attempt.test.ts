import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  type Attempt,
  unprotectedAttempt,
} from "../../shared/idempotency/attempt.ts";
import { claim } from "../../shared/idempotency/claim.ts";
import {
  type IdempotencyConfig,
  resolveConfig,
} from "../../shared/idempotency/config.ts";
import {
  LeaseLostError,
  LedgerUnavailableError,
  OutcomeUnknownError,
  RequestInProgressError,
} from "../../shared/idempotency/errors.ts";
import type { IdempotencyEvent } from "../../shared/idempotency/event.ts";
import type { Answer, Ledger } from "../../shared/idempotency/ledger.ts";
import { memoryLedger } from "../../shared/idempotency/memory_ledger.ts";

const ANSWER: Answer = {
  status: 200,
  headers: {},
  body: new TextEncoder().encode("done"),
};

/** One key on a ledger whose clock can be moved. */
function bench(
  options: IdempotencyConfig = {},
  wrap: (ledger: Ledger) => Ledger = (ledger) => ledger,
) {
  let ahead = 0;
  const events: IdempotencyEvent[] = [];
  const calls: string[] = [];
  const ledger = listening(
    wrap(memoryLedger({ now: () => Date.now() + ahead })),
    calls,
  );
  const identity = { userId: "ada", scope: "orders", key: crypto.randomUUID() };
  const start = (more: IdempotencyConfig = {}) =>
    claim(ledger, identity, {
      fingerprint: "a".repeat(64),
      config: resolveConfig({
        onEvent: (event) => events.push(event),
        ...options,
        ...more,
      }),
    });
  return {
    ledger,
    identity,
    calls,
    events,
    begin: start,
    run: async (more: IdempotencyConfig = {}): Promise<Attempt> => {
      const begun = await start(more);
      if (begun.kind !== "attempt") throw new Error("expected to run");
      return begun.attempt;
    },
    age: (seconds: number) => void (ahead += seconds * 1000),
  };
}

/** A ledger of which one method is down. */
function without(ledger: Ledger, name: "complete" | "fail"): Ledger {
  const down = () =>
    Promise.reject(new LedgerUnavailableError("record the answer", "gone"));
  return { ...ledger, [name]: down };
}

function listening(ledger: Ledger, calls: string[]): Ledger {
  return new Proxy(ledger, {
    get(target, name: keyof Ledger) {
      const method = target[name] as
        | ((...args: unknown[]) => unknown)
        | undefined;
      if (method === undefined) return undefined;
      return (...args: unknown[]) => {
        calls.push(name);
        return method.apply(target, args);
      };
    },
  });
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

Deno.test("a lease is renewed for as long as the handler runs", async () => {
  const t = bench({ leaseSeconds: 1 });
  const run = await t.run();
  await sleep(2_500);
  await assertRejects(() => t.begin(), RequestInProgressError);
  assertEquals((await run.respond(ANSWER)).as, "stored");
  assertEquals((await t.begin()).kind, "answer");
});

Deno.test("nothing is renewed once the handler has ended", async () => {
  const t = bench({ leaseSeconds: 1 });
  await (await t.run()).respond(ANSWER);
  const next = bench({ leaseSeconds: 1 });
  await (await next.run()).fail("no");
  await sleep(800);
  assertEquals([...t.calls, ...next.calls].includes("renew"), false);
});

Deno.test("a handler that lost its lease is told so, and its answer gives way", async () => {
  const t = bench({ leaseSeconds: 1 });
  const late = await t.run();
  t.age(60);
  const winner = await t.run({ leaseSeconds: 60 });
  assertEquals(winner.number, 2);
  assert(winner.fence > late.fence);
  await sleep(600);
  assertEquals(late.signal.aborted, true);

  await assertRejects(() => late.respond(ANSWER), RequestInProgressError);
  const won = { ...ANSWER, status: 201 };
  await winner.respond(won);
  const finished = await late.respond(ANSWER);
  assertEquals([finished.as, finished.answer], ["replayed", won]);
});

Deno.test("a handler that throws after it lost its lease gives the winner's answer", async () => {
  const t = bench();
  const late = await t.run();
  t.age(60);
  await (await t.run()).respond(ANSWER);
  assertEquals(await late.fail(new Error("too late")), ANSWER);
});

Deno.test("a worker that is told to go hears of it, and keeps its keys for as long as it is at work", async () => {
  const t = bench({ leaseSeconds: 1 });
  const run = await t.run();
  globalThis.dispatchEvent(new Event("beforeunload"));
  assertEquals(run.signal.aborted, true);
  await sleep(1_500);
  await assertRejects(() => t.begin(), RequestInProgressError);
  assertEquals((await run.respond(ANSWER)).as, "stored");
});

Deno.test("a finished step is not run again by a later attempt", async () => {
  const t = bench();
  const keys: string[] = [];
  let charges = 0;
  const charge = (run: Attempt) =>
    run.step("charge", ({ idempotencyKey }) => {
      keys.push(idempotencyKey);
      return { charge: ++charges };
    });
  const first = await t.run();
  assertEquals(await charge(first), { charge: 1 });
  t.age(60);
  const second = await t.run();
  assertEquals(await charge(second), { charge: 1 });
  assertEquals([charges, keys.length], [1, 1]);
  await second.respond(ANSWER);
  first.fail("late");
});

Deno.test("a step costs one call, and none when it is finished", async () => {
  const t = bench();
  const run = await t.run();
  await run.step("a", () => 1);
  await run.step("a", () => 2);
  await run.respond(ANSWER);
  assertEquals(t.calls, ["claim", "checkpoint", "complete"]);
});

Deno.test("a step hands the provider the same key in every attempt, and no other step does", async () => {
  const t = bench();
  const keys: string[] = [];
  const ask = (run: Attempt, name: string) =>
    run.step(name, ({ idempotencyKey }) => {
      keys.push(idempotencyKey);
      throw new Error("no answer from the provider");
    });
  for (let attempt = 1; attempt <= 2; attempt++) {
    const run = await t.run();
    await assertRejects(() => ask(run, "charge"));
    await assertRejects(() => ask(run, "refund"));
    await run.fail("no answer");
  }
  assertEquals([keys[0], keys[1]], [keys[2], keys[3]]);
  assert(keys[0] !== keys[1]);
  assert(/^idem_[0-9a-f]{64}$/.test(keys[0] ?? ""));
});

Deno.test("effectKey() names an effect the same in every attempt, as a step does, without a call", async () => {
  const t = bench();
  const first = await t.run();
  const key = await first.effectKey("charge");
  await first.fail("no answer");
  const second = await t.run();
  assertEquals(await second.effectKey("charge"), key);
  assert(await second.effectKey("refund") !== key);
  await second.step("charge", ({ idempotencyKey }) => {
    assertEquals(idempotencyKey, key);
  });
  assertEquals(t.calls, ["claim", "fail", "claim", "checkpoint"]);
});

for (const result of [false, 0, "", null, undefined, [], { a: [1] }]) {
  Deno.test(`a step's result of ${JSON.stringify(result)} is kept as it was`, async () => {
    const t = bench();
    const first = await t.run();
    assertEquals(await first.step("s", () => result as unknown), result);
    await first.fail("again");
    const second = await t.run();
    assertEquals(await second.step("s", () => "other" as unknown), result);
    await second.respond(ANSWER);
  });
}

Deno.test("a step sees what its result will be, in the first attempt too", async () => {
  const run = await bench().run();
  const when: unknown = await run.step("s", () => new Date(0));
  assertEquals(when, "1970-01-01T00:00:00.000Z");
  await assertRejects(
    () => run.step("n", () => 10n),
    TypeError,
    "no JSON form",
  );
  await run.fail("done");
});

for (const isProtected of [true, false]) {
  const kind = isProtected ? "" : ", where no ledger remembers it";
  Deno.test(`a step that is asked for twice in one attempt runs once, and gives JSON both times${kind}`, async () => {
    const { step, fail } = isProtected
      ? await bench().run()
      : unprotectedAttempt();
    let works = 0;
    const charge = () =>
      step("charge", () => ({ at: new Date(0), n: ++works }));
    const results: unknown[] = [...await Promise.all([charge(), charge()])];
    const result = { at: "1970-01-01T00:00:00.000Z", n: 1 };
    assertEquals([...results, await charge()], [result, result, result]);
    await assertRejects(
      async () => await step("n", () => 10n),
      TypeError,
      "no JSON form",
    );
    await fail("done");
  });
}

Deno.test("a step whose result could not be kept is kept when it is tried again, and its work is not done again", async () => {
  let isDown = true;
  const t = bench({}, (ledger) => ({
    ...ledger,
    checkpoint: (...args) =>
      isDown
        ? Promise.reject(new LedgerUnavailableError("keep it", "gone"))
        : ledger.checkpoint(...args),
  }));
  const first = await t.run();
  let works = 0;
  const charge = () => first.step("charge", () => ++works);
  await assertRejects(charge, LedgerUnavailableError);
  await assertRejects(charge, LedgerUnavailableError);
  isDown = false;
  assertEquals(await charge(), 1);
  await first.fail("again");
  assertEquals(await (await t.run()).step("charge", () => ++works), 1);
});

Deno.test("a kept result is checked before a later attempt takes it", async () => {
  const t = bench();
  const first = await t.run();
  await first.step("s", () => ({ v: 1 }));
  await first.fail("again");
  const second = await t.run();
  const parse = () => {
    throw new TypeError("v must be a string");
  };
  await assertRejects(() => second.step("s", () => 1, { parse }), TypeError);
  await second.fail("done");
});

Deno.test("a step whose attempt lost the key says so", async () => {
  const t = bench();
  const late = await t.run();
  t.age(60);
  const winner = await t.run();
  await assertRejects(() => late.step("s", () => 1), LeaseLostError);
  await winner.respond(ANSWER);
  assertEquals(await late.fail(new LeaseLostError("k")), ANSWER);
});

const endings: Record<string, (run: Attempt) => Promise<unknown>> = {
  "has lost its key": () => sleep(600),
  "has run for too long": () => sleep(1_200),
  "has failed": (run) => run.fail("a step beside it threw"),
  "has answered": (run) => run.respond(ANSWER),
};
for (const [what, end] of Object.entries(endings)) {
  Deno.test(`an attempt that ${what} begins no more steps`, async () => {
    const t = bench({ leaseSeconds: 1 });
    const late = await t.run({ maxRunSeconds: 1 });
    let works = 0;
    assertEquals(await late.step("a", () => ++works), 1);
    if (what === "has lost its key") {
      t.age(60);
      await t.run({ leaseSeconds: 60, maxRunSeconds: 1 });
    }
    await end(late);
    await assertRejects(() => late.step("b", () => ++works), Error);
    assertEquals([await late.step("a", () => ++works), works], [1, 1]);
  });
}

Deno.test("duplicates that wait in one isolate share one run and one claim", async () => {
  const t = bench({ onConcurrent: "wait" });
  const run = await t.run();
  const duplicates = Array.from({ length: 10 }, () => t.begin());
  await sleep(20);
  await run.respond(ANSWER);
  for (const begun of await Promise.all(duplicates)) {
    assert(begun.kind === "answer");
  }
  assertEquals(t.calls.filter((call) => call === "claim").length, 1);
  await sleep(20);
  assertEquals(
    t.events.filter(({ outcome }) => outcome === "shared").length,
    10,
  );
});

Deno.test("a duplicate that waits for a run that hangs takes over with the end of its lease, not with that of its patience", async () => {
  const t = bench({ leaseSeconds: 1 });
  const waiting = { onConcurrent: "wait", waitSeconds: 120 } as const;
  const hung = await t.run({ ...waiting, maxRunSeconds: 1 });
  const next = await t.run(waiting);
  assertEquals(next.number, 2);
  await next.respond(ANSWER);
  assertEquals((await hung.respond(ANSWER)).as, "replayed");
});

Deno.test("a duplicate that waits for a run that was cut off takes over once its patience is over", async () => {
  const t = bench(
    { onConcurrent: "wait", waitSeconds: 2, leaseSeconds: 1 },
    // As where its isolate let go of the request.
    (ledger) => ({ ...ledger, renew: () => new Promise(() => {}) }),
  );
  const cut = await t.run();
  const next = await t.run();
  assertEquals(next.number, 2);
  await next.respond(ANSWER);
  assertEquals((await cut.respond(ANSWER)).as, "replayed");
});

for (const where of ["elsewhere", "in the same isolate"]) {
  Deno.test(`a duplicate that waits for a run ${where} does not run beside it when the ledger falls silent`, async () => {
    let isDown = false;
    const down = () =>
      Promise.reject(new LedgerUnavailableError("claim the key", "gone"));
    const t = bench(
      { onConcurrent: "wait", onLedgerDown: "run", waitSeconds: 1 },
      (ledger) => ({
        ...ledger,
        claim: (...args) => isDown ? down() : ledger.claim(...args),
      }),
    );
    // Whoever does not wait announces no run.
    const isElsewhere = where === "elsewhere";
    const run = await t.run({ onConcurrent: isElsewhere ? "reject" : "wait" });
    const duplicate = assertRejects(() => t.begin(), RequestInProgressError);
    await sleep(30);
    isDown = true;
    await duplicate;
    assertEquals((await run.respond(ANSWER)).as, "stored");
  });
}

Deno.test("duplicates that arrive together with the first share its run, too", async () => {
  const t = bench({ onConcurrent: "wait" });
  const crowd = Array.from({ length: 10 }, () => t.begin());
  const first = await Promise.race(crowd);
  if (first.kind !== "attempt") throw new Error("expected to run");
  await sleep(500);
  await first.attempt.respond(ANSWER);
  const kinds = (await Promise.all(crowd)).map(({ kind }) => kind).sort();
  assertEquals(kinds, [...Array(9).fill("answer"), "attempt"]);
  assertEquals(t.calls.filter((call) => call === "claim").length, 1);
});

Deno.test("a crowd at an interrupted key asks once, and once more for each policy", async () => {
  const t = bench({ leaseSeconds: 1 });
  const run = await t.run({ maxRunSeconds: 1 });
  t.age(10);
  t.calls.length = 0;
  const refused = Array.from(
    { length: 5 },
    () =>
      assertRejects(
        () => t.begin({ onAbandoned: "refuse" }),
        OutcomeUnknownError,
      ),
  );
  const next = t.run({ onAbandoned: "retry" });
  await Promise.all(refused);
  assertEquals(t.calls, ["claim", "claim"]);
  assertEquals((await (await next).respond(ANSWER)).as, "stored");
  assertEquals((await run.respond(ANSWER)).as, "replayed");
});

Deno.test("events tell who waited for a run elsewhere from who replays at once", async () => {
  const t = bench({ onConcurrent: "wait", waitSeconds: 5 });
  const elsewhere = crypto.randomUUID();
  await t.ledger.claim(t.identity, {
    fingerprint: "a".repeat(64),
    ownerToken: elsewhere,
    leaseSeconds: 60,
    ttlSeconds: 3600,
    onAbandoned: "retry",
    maxAttempts: 5,
    metadata: null,
  });
  const waiting = t.begin();
  await sleep(10);
  // Before its second look.
  await t.ledger.complete(t.identity, elsewhere, ANSWER, 3600);
  assertEquals((await waiting).kind, "answer");
  assertEquals((await t.begin()).kind, "answer");
  await sleep(10);
  assertEquals(
    t.events.map(({ outcome }) => outcome),
    ["replayed_after_wait", "replayed"],
  );
});

Deno.test("a duplicate that waits runs itself when the first one fails", async () => {
  const t = bench({ onConcurrent: "wait" });
  const run = await t.run();
  const duplicate = t.run();
  await run.fail(new Error("no"));
  assertEquals((await duplicate).number, 2);
  await (await duplicate).respond(ANSWER);
});

Deno.test("whoever takes over an abandoned run says so, whoever retries a failed one does not", async () => {
  const t = bench();
  await (await t.run()).fail("no");
  await t.run();
  t.age(60);
  await (await t.run()).respond(ANSWER);
  await sleep(20);
  const taken = t.events.filter(({ outcome }) => outcome === "taken_over");
  assertEquals(taken.map(({ attempt }) => attempt), [3]);
});

Deno.test("events say what became of each request, without its key", async () => {
  const t = bench();
  await (await t.run()).respond(ANSWER);
  await sleep(20);
  await t.begin();
  await sleep(20);
  assertEquals(t.events.map(({ outcome, attempt }) => [outcome, attempt]), [
    ["executed", 1],
    ["replayed", 0],
  ]);
  assert(t.events.every(({ keyHash }) => /^[0-9a-f]{16}$/.test(keyHash)));
});

Deno.test("an answer that could not be recorded is given to its caller alone, not to those who wait", async () => {
  const t = bench(
    { onConcurrent: "wait", waitSeconds: 1, leaseSeconds: 60 },
    (ledger) => without(ledger, "complete"),
  );
  const run = await t.run();
  const waiting = assertRejects(() => t.begin(), RequestInProgressError);
  await sleep(20);
  assertEquals((await run.respond(ANSWER)).as, "unstored");
  await waiting;
  await sleep(20);
  assertEquals(t.events.some(({ outcome }) => outcome === "shared"), false);
});

Deno.test("an answer that gave way to a winner's is not given to those who wait", async () => {
  const t = bench({ onConcurrent: "wait", waitSeconds: 5 });
  const late = await t.run();
  t.age(60);
  const won = { ...ANSWER, status: 201 };
  const winner = {
    fingerprint: "a".repeat(64),
    ownerToken: crypto.randomUUID(),
    leaseSeconds: 60,
    ttlSeconds: 600,
    onAbandoned: "retry" as const,
    maxAttempts: 5,
    metadata: null,
  };
  await t.ledger.claim(t.identity, winner);
  const waiting = t.begin();
  await sleep(20);
  await t.ledger.complete(t.identity, winner.ownerToken, won, 600);
  assertEquals((await late.respond(ANSWER)).as, "replayed");
  const begun = await waiting;
  assertEquals(begun.kind === "answer" && begun.answer, won);
});

Deno.test("whoever ran too long is told of as lost_lease: answered late, lost, or the stream cut off", async () => {
  const outcomes = async (end: (late: Attempt) => Promise<unknown>) => {
    const t = bench();
    const late = await t.run();
    t.age(60);
    const winner = await t.run();
    t.events.length = 0;
    await end(late);
    await sleep(20);
    await winner.respond(ANSWER);
    return t.events
      .filter(({ attempt }) => attempt === 1)
      .map(({ outcome }) => outcome);
  };
  assertEquals(
    await outcomes((late) => assertRejects(() => late.respond(ANSWER))),
    ["lost_lease"],
  );
  assertEquals(
    await outcomes((late) => late.fail(new LeaseLostError("order-17"))),
    ["lost_lease"],
  );
  assertEquals(await outcomes((late) => late.fail(new Error("no"))), [
    "failed",
  ]);
});

Deno.test("however long the lease, a duplicate is asked to come back in at most 2 s", async () => {
  const t = bench({ leaseSeconds: 600 });
  const run = await t.run();
  const error = await assertRejects(() => t.begin(), RequestInProgressError);
  assertEquals(error.retryAfterSeconds, 2);
  await run.fail("no");
});

Deno.test("a failure that could not be recorded frees its key with the lease", async () => {
  const t = bench({ leaseSeconds: 1 }, (ledger) => without(ledger, "fail"));
  const run = await t.run();
  assertEquals(await run.fail(new Error("no")), null);
  await assertRejects(() => t.begin(), RequestInProgressError);
  await sleep(1_100);
  const again = await t.run();
  assertEquals(again.number, 2);
  await again.respond(ANSWER);
});

Deno.test("a handler that kept the event loop busy for longer than its lease has lost the key to whoever came", async () => {
  const t = bench({ leaseSeconds: 1 });
  const late = await t.run();
  const until = performance.now() + 1_200;
  while (performance.now() < until);
  // Before any timer of this worker: the other one had its loop to itself.
  const winner = await t.run();
  assertEquals(winner.number, 2);
  await assertRejects(() => late.respond(ANSWER), RequestInProgressError);
  await winner.respond(ANSWER);
  await sleep(20);
  assertEquals(
    t.events.map(({ outcome, attempt }) => [outcome, attempt]),
    [["taken_over", 2], ["lost_lease", 1], ["executed", 2]],
  );
});

Deno.test("a worker that was frozen for longer than its lease asks who has the key before it begins a step", async () => {
  const t = bench({ leaseSeconds: 1 });
  const late = await t.run();
  let works = 0;
  const freeze = () => {
    const until = performance.now() + 1_200;
    while (performance.now() < until);
  };
  freeze();
  assertEquals(await late.step("a", () => ++works), 1);
  freeze();
  const winner = await t.run();
  await assertRejects(() => late.step("b", () => ++works), LeaseLostError);
  assertEquals(works, 1);
  assertEquals(await winner.step("b", () => ++works), 2);
  await winner.respond(ANSWER);
});

// Refused by the database after the work, each attempt would do it again.
Deno.test("a step's name has 1 to 100 characters that a database can hold, or its work is not done", async () => {
  const { run } = bench();
  const { step } = await run();
  let works = 0;
  for (const name of ["", "a".repeat(101), "pay a\0", "pay \ud83d"]) {
    const error = assertThrows(() => step(name, () => works++), TypeError);
    assertStringIncludes(
      error.message,
      `Cannot run a step by the name ${JSON.stringify(name.slice(0, 64))}`,
    );
  }
  assertEquals(works, 0);
  for (const name of ["a", "a".repeat(100), "\u{1f4b3}\n".repeat(50)]) {
    assertEquals(await step(name, () => name), name);
  }
});

Deno.test("a key has at most 100 steps over all attempts, and the work of one more is not done", async () => {
  const t = bench();
  const first = await t.run();
  for (let n = 0; n < 99; n++) await first.step(`s${n}`, () => n);
  await first.fail("later");
  const second = await t.run();
  const { step } = second;
  assertEquals(await step("s7", () => -1), 7);
  await assertRejects(() => step("s99", () => Promise.reject(new Error("no"))));
  assertEquals(await step("s99", () => 99), 99);
  let works = 0;
  const error = await assertRejects(
    async () => await step("s100", () => works++),
    TypeError,
  );
  assertStringIncludes(error.message, "a key has at most 100 steps");
  assertEquals([works, await step("s99", () => -1)], [0, 99]);
});
