import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { MAX_STORED_BYTES } from "../../shared/idempotency/response.ts";
import { sqlLedger } from "../../shared/idempotency/sql_ledger.ts";
import {
  type Ledger,
  LedgerUnavailableError,
  memoryLedger,
  runMany,
  withIdempotency,
} from "../../shared/idempotency.ts";

interface Trips {
  readonly store: Ledger;
  readonly calls: string[];
  /** How many were under way at once, at the most. */
  atOnce(): number;
}

/** A ledger in memory that notes each trip; a trip takes a moment. */
function counted(ledger = memoryLedger()): Trips {
  const calls: string[] = [];
  let underWay = 0;
  let atOnce = 0;
  const note = async <T>(call: string, result: () => Promise<T>) => {
    calls.push(call);
    atOnce = Math.max(atOnce, ++underWay);
    await new Promise((resolve) => setTimeout(resolve, 1));
    underWay -= 1;
    return await result();
  };
  const store: Ledger = {
    ...ledger,
    claim: (...args) => note("claim", () => ledger.claim(...args)),
    complete: (...args) => note("complete", () => ledger.complete(...args)),
    fail: (...args) => note("fail", () => ledger.fail(...args)),
    claimMany: (...args) =>
      note(`claim ${args[2].length}`, () => ledger.claimMany!(...args)),
    settleMany: (...args) =>
      note(`settle ${args[2].length}`, () => ledger.settleMany!(...args)),
  };
  return { store, calls, atOnce: () => atOnce };
}

const owner = { userId: "u1", route: "invoices" };
const items = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    key: `invoice-${n}`,
    payload: { n },
    input: n,
  }));
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const sent = ({ input }: { input: number }) =>
  Promise.resolve({ status: 201, body: { sent: input } });

Deno.test("100 operations take two trips, and one when they are retried", async () => {
  const { store, calls } = counted();
  const batch = { ...owner, store, items: items(100) };
  const first = await runMany(batch, sent);
  assertEquals(calls.splice(0), ["claim 100", "settle 100"]);
  const retry = await runMany(batch, () => Promise.reject("ran again"));
  assertEquals(calls, ["claim 100"]);
  first.forEach(({ key, status, body, headers, replayed }, n) => {
    assertEquals([key, status, body], [`invoice-${n}`, 201, { sent: n }]);
    assertEquals([headers["X-Idempotency-Stored"], replayed], ["true", false]);
    assertEquals(retry[n]?.body, body);
    assertEquals(retry[n]?.replayed, true);
  });
});

Deno.test("more than 100 operations take two trips for each 100, one after the other", async () => {
  const { store, calls, atOnce } = counted();
  const outcomes = await runMany({ ...owner, store, items: items(250) }, sent);
  assertEquals(outcomes.length, 250);
  assertEquals(calls.filter((call) => call.startsWith("claim")).length, 3);
  assertEquals(calls.filter((call) => call.startsWith("settle")).length, 3);
  assertEquals(atOnce(), 1);
});

Deno.test("answers travel together up to the size of the largest that is kept", async () => {
  const settled = async (bytes: number) => {
    const { store, calls } = counted();
    // With the quotes of its JSON.
    const body = "x".repeat(bytes - 2);
    await runMany(
      { ...owner, store, items: items(5) },
      () => Promise.resolve({ status: 200, body }),
    );
    return calls.slice(1);
  };
  const half = MAX_STORED_BYTES / 2;
  assertEquals(await settled(half), ["settle 2", "settle 2", "settle 1"]);
  assertEquals(await settled(half + 1), Array(5).fill("settle 1"));
});

Deno.test("one that throws and one that is not final fail alone, and run again", async () => {
  const { store, calls } = counted();
  const batch = { ...owner, store, items: items(4) };
  const runs: number[] = [];
  const work = async (item: { input: number }, run: { attempt: number }) => {
    runs.push(item.input);
    if (run.attempt > 1) return await sent(item);
    if (item.input === 1) throw new Error("out of paper");
    return item.input === 2 ? { status: 503, body: "later" } : await sent(item);
  };
  const first = await runMany<number, unknown>(batch, work);
  assertEquals(calls, ["claim 4", "settle 4"]);
  assertEquals(first.map(({ status }) => status), [201, 500, 503, 201]);
  assertEquals((first[1]?.error as Error).message, "out of paper");
  assertEquals((first[1]?.body as { code: string }).code, "OPERATION_FAILED");
  assert(!JSON.stringify(first[1]?.body).includes("out of paper"));
  runs.length = 0;
  const second = await runMany<number, unknown>(batch, work);
  assertEquals(runs, [1, 2]);
  assertEquals(second.map(({ replayed }) => replayed), [
    true,
    false,
    false,
    true,
  ]);
});

Deno.test("refusals are problem documents, each for its own item", async () => {
  const { store } = counted();
  const [a, b, c] = items(3) as [
    { key: string; payload: unknown; input: number },
    { key: string; payload: unknown; input: number },
    { key: string; payload: unknown; input: number },
  ];
  const running = Promise.withResolvers<void>();
  const elsewhere = runMany({ ...owner, store, items: [a] }, async (item) => {
    await running.promise;
    return await sent(item);
  });
  await runMany({ ...owner, store, items: [b] }, sent);
  const outcomes = await runMany<number, unknown>({
    ...owner,
    store,
    items: [a, { ...b, payload: "other" }, { ...c, key: "not a key" }, c],
  }, sent);
  assertEquals(
    outcomes.map((
      { status, body },
    ) => [status, (body as { code?: string }).code]),
    [
      [409, "REQUEST_IN_PROGRESS"],
      [422, "IDEMPOTENCY_KEY_REUSED"],
      [400, "IDEMPOTENCY_KEY_INVALID"],
      [201, undefined],
    ],
  );
  running.resolve();
  assertEquals((await elsewhere)[0]?.status, 201);
});

Deno.test("of the same key and payload one runs and all have its outcome; another payload is refused", async () => {
  const { store, calls } = counted();
  const [item] = items(1) as [{ key: string; payload: unknown; input: number }];
  let runs = 0;
  const outcomes = await runMany<number, unknown>({
    ...owner,
    store,
    items: [item, item, { ...item, payload: { n: 0 } }, {
      ...item,
      payload: 2,
    }],
  }, async (item) => {
    runs += 1;
    return { ...await sent(item), headers: { location: "/sent/0" } };
  });
  assertEquals(runs, 1);
  assertEquals(calls, ["claim 2", "settle 1"]);
  assertEquals(outcomes.map(({ status }) => status), [201, 201, 201, 422]);
  assertEquals(outcomes.map(({ replayed }) => replayed), [
    false,
    true,
    true,
    false,
  ]);
  assertEquals(outcomes.map(({ headers }) => headers["location"]), [
    "/sent/0",
    "/sent/0",
    "/sent/0",
    undefined,
  ]);
});

Deno.test("no more operations run at once than asked for", async () => {
  let now = 0;
  let most = 0;
  await runMany(
    { ...owner, store: memoryLedger(), items: items(20), concurrency: 3 },
    async (item) => {
      most = Math.max(most, ++now);
      await sleep(2);
      now -= 1;
      return await sent(item);
    },
  );
  assertEquals(most, 3);
});

Deno.test("answers do not wait long for one that takes its time", async () => {
  const { store, calls } = counted();
  const outcomes = await runMany(
    { ...owner, store, items: items(10) },
    async (item) => {
      if (item.input === 0) await sleep(900);
      return await sent(item);
    },
  );
  assertEquals(calls, ["claim 10", "settle 9", "settle 1"]);
  assertEquals(outcomes.every(({ status }) => status === 201), true);
});

Deno.test("two batches with the same keys in another order that wait for each other both end", async () => {
  const { store } = counted();
  const runs: number[] = [];
  const batch = { ...owner, store, onConcurrent: "wait" as const };
  const work = async (item: { input: number }) => {
    runs.push(item.input);
    await sleep(20);
    return await sent(item);
  };
  const results = await Promise.all([
    runMany({ ...batch, items: items(10) }, work),
    runMany({ ...batch, items: items(10).toReversed() }, work),
  ]);
  assertEquals(
    runs.toSorted((a, b) => a - b),
    items(10).map(({ input }) => input),
  );
  assertEquals(
    results[0].map(({ body }) => body),
    items(10).map(({ input }) => ({ sent: input })),
  );
  assertEquals(
    results[1].map(({ body }) => body),
    results[0].map(({ body }) => body).toReversed(),
  );
});

Deno.test("with the ledger out of reach all are refused, or all run, as configured", async () => {
  const down = () =>
    Promise.reject(new LedgerUnavailableError("claim the keys", "gone"));
  const store = { ...memoryLedger(), claimMany: down };
  const refused = await runMany({ ...owner, store, items: items(3) }, sent);
  assertEquals(refused.map(({ status }) => status), [503, 503, 503]);
  const ran = await runMany(
    { ...owner, store, items: items(3), onLedgerDown: "run" },
    sent,
  );
  assertEquals(ran.map(({ status, headers }) => [status, headers]), [
    [201, {}],
    [201, {}],
    [201, {}],
  ]);
});

Deno.test("when the answers cannot be recorded, they are given unmarked", async () => {
  const down = () =>
    Promise.reject(new LedgerUnavailableError("record the answers", "gone"));
  const store = { ...memoryLedger(), settleMany: down };
  const outcomes = await runMany({ ...owner, store, items: items(2) }, sent);
  assertEquals(outcomes.map(({ status, headers }) => [status, headers]), [
    [201, {}],
    [201, {}],
  ]);
});

Deno.test("a batch of nothing makes no trip", async () => {
  const { store, calls } = counted();
  assertEquals(await runMany({ ...owner, store, items: [] }, sent), []);
  assertEquals(calls, []);
});

Deno.test("a wrong configuration is refused before anything is claimed", async () => {
  const { store, calls } = counted();
  for (const wrong of [{ leaseSeconds: 0 }, { concurrency: 0 }]) {
    await assertRejects(
      () => runMany({ ...owner, store, items: items(1), ...wrong }, sent),
      TypeError,
    );
  }
  await assertRejects(
    () => runMany({ ...owner, items: items(1) }, sent),
    TypeError,
    "no ledger was given",
  );
  assertEquals(calls, []);
});

Deno.test("whatever throws, however often a batch is sent: each operation takes effect once", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(8), fc.nat(2)), { maxLength: 20 }),
      fc.integer({ min: 1, max: 4 }),
      async (wanted, concurrency) => {
        const store = memoryLedger();
        const effects = new Map<number, number>();
        const failures = new Map(wanted);
        const batch = {
          ...owner,
          store,
          concurrency,
          items: wanted.map(([n]) => ({
            key: `key-${n}`,
            payload: n,
            input: n,
          })),
        };
        for (let time = 0; time < 4; time++) {
          const outcomes = await runMany(batch, async ({ input }) => {
            await Promise.resolve();
            const left = failures.get(input) ?? 0;
            failures.set(input, left - 1);
            if (left > 0) throw new Error("not yet");
            effects.set(input, (effects.get(input) ?? 0) + 1);
            return { status: 200, body: input };
          });
          assertEquals(outcomes.length, wanted.length);
          if (time < 3) continue;
          outcomes.forEach(({ body }, index) => {
            assertEquals(body, wanted[index]![0]);
          });
        }
        assert([...effects.values()].every((count) => count === 1));
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("an item whose key has passed to somebody else while it waited for its turn does not run", async () => {
  const store = memoryLedger();
  const shared = { ...owner, store, leaseSeconds: 1, maxRunSeconds: 1 };
  const ran: string[] = [];
  const released = Promise.withResolvers<void>();
  const batch = runMany(
    { ...shared, concurrency: 1, items: items(2) },
    async ({ input }) => {
      ran.push(`${input} in its batch`);
      if (input === 0) await released.promise;
      return { status: 201, body: input };
    },
  );
  let other;
  do {
    await sleep(50);
    other = await withIdempotency(
      { ...shared, key: "invoice-1", payload: { n: 1 } },
      () => {
        ran.push("1 on its own");
        return Promise.resolve({ status: 201, body: 1 });
      },
    );
  } while (other.status === 409);
  released.resolve();
  const [, second] = await batch;
  assertEquals(ran, ["0 in its batch", "1 on its own"]);
  assertEquals([second?.status, second?.body], [201, 1]);
});

Deno.test("an item whose lease lapsed while it waited for its turn asks who has the key before it runs", async () => {
  let isAway = true;
  const ledger = memoryLedger();
  const store: Ledger = {
    ...ledger,
    renew: async (...call) => {
      if (!isAway) return await ledger.renew(...call);
      throw new LedgerUnavailableError("renew the lease", null);
    },
  };
  const shared = { ...owner, store, leaseSeconds: 1 };
  const ran: string[] = [];
  const [, second] = await runMany(
    { ...shared, concurrency: 1, items: items(2) },
    async ({ input }) => {
      ran.push(`${input} in its batch`);
      if (input === 0) {
        await sleep(1_100);
        await withIdempotency(
          { ...shared, key: "invoice-1", payload: { n: 1 } },
          () => {
            ran.push("1 on its own");
            return Promise.resolve({ status: 201, body: 1 });
          },
        );
        isAway = false;
      }
      return { status: 201, body: input };
    },
  );
  assertEquals(ran, ["0 in its batch", "1 on its own"]);
  assertEquals([second?.status, second?.body], [201, 1]);
});

Deno.test("of two items whose payload has half a surrogate pair one runs, too", async () => {
  const half = { key: "invoice-1", payload: "Ada \ud83d" };
  const batch = [1, 2].map((input) => ({ ...half, input }));
  const outcomes = await runMany(
    { ...owner, store: memoryLedger(), items: batch },
    sent,
  );
  const bodies = outcomes.map(({ body }) => body);
  assertEquals(bodies, [{ sent: 1 }, { sent: 1 }]);
});

Deno.test("items without a key, where nothing checks types, are no repetitions of each other", async () => {
  const runs: number[] = [];
  await runMany<number, unknown>({
    ...owner,
    store: memoryLedger(),
    items: [1, 2].map((input) => ({ key: null as never, input })),
  }, ({ input }) => {
    runs.push(input);
    return Promise.resolve({ status: 200, body: input });
  });
  assertEquals(runs, [1, 2]);
});

Deno.test("an item whose payload has no JSON form fails alone", async () => {
  const batch = items(2).map((item, n) =>
    n === 0 ? { ...item, payload: 10n } : item
  );
  const [first, second] = await runMany({
    ...owner,
    store: memoryLedger(),
    items: batch,
  }, sent);
  assertEquals([first?.status, second?.status], [500, 201]);
  assert(first?.error instanceof TypeError);
});

Deno.test("a header that no database can hold takes no answer's body along", async () => {
  const stored: unknown[][] = [];
  const store = sqlLedger((_fn, { p_requests, p_settlements }) => {
    const items = (p_requests ?? p_settlements) as Record<string, unknown>[];
    // As jsonb does, whichever of the items it is in.
    if (/\\u(0000|d[89a-f])/.test(JSON.stringify(items))) {
      const error = { message: "invalid input syntax", code: "22P02" };
      return Promise.resolve({ error, isTransient: false });
    }
    if (p_settlements !== undefined) {
      stored.push(
        ...items.map((item) => [item["response"], item["response_headers"]]),
      );
    }
    const outcome = p_requests === undefined ? "completed" : "claimed";
    const row = { outcome, attempt: 1, fence: 1, steps: null };
    return Promise.resolve({ data: items.map(() => row), error: null });
  });
  const notes = ["Zoë's", "cut 😀".slice(0, 5), "a\0b"];
  await runMany({ ...owner, store, items: items(3) }, async (item) => ({
    ...await sent(item),
    headers: { "x-note": notes[item.input]! },
  }));
  assertEquals(stored, [
    ['{"sent":0}', { "x-note": "Zoë's" }],
    ['{"sent":1}', { "x-note": "cut \ufffd" }],
    ['{"sent":2}', { "x-note": "a\ufffdb" }],
  ]);
});
