/**
 * Twenty-four bugs that other systems shipped; `table.ts` says which test stands
 * against each. Here are those that no other file had reason to hold.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { resolveConfig } from "../../../shared/idempotency/config.ts";
import { RequestInProgressError } from "../../../shared/idempotency/errors.ts";
import type { Answer, Ledger } from "../../../shared/idempotency/ledger.ts";
import { memoryLedger } from "../../../shared/idempotency/memory_ledger.ts";
import type { Attempt } from "../../../shared/idempotency/attempt.ts";
import { claim } from "../../../shared/idempotency/claim.ts";
import { withIdempotency } from "../../../shared/idempotency.ts";
import { FIELD_BUGS } from "./table.ts";

const IDENTITY = { userId: "ada", scope: "orders", key: "order-17" };
const DONE: Answer = {
  status: 200,
  headers: {},
  body: new TextEncoder().encode("done"),
};

async function begin(ledger: Ledger): Promise<Attempt> {
  const claimed = await claim(ledger, IDENTITY, {
    fingerprint: "a".repeat(64),
    config: resolveConfig(),
  });
  if (claimed.kind !== "attempt") {
    throw new Error(`${claimed.kind}: no attempt`);
  }
  return claimed.attempt;
}

const order = (store: Ledger, payload: unknown = null) => ({
  store,
  payload,
  userId: IDENTITY.userId,
  route: IDENTITY.scope,
  key: IDENTITY.key,
});

Deno.test("each of the twenty-four bugs names tests that are there", async () => {
  assertEquals(FIELD_BUGS.length, 24);
  for (const { bug, tests } of FIELD_BUGS) {
    assert(tests.length > 0, bug);
    for (const [file, test] of tests) {
      const url = new URL(`../../../${file}`, import.meta.url);
      const source = await Deno.readTextFile(url);
      assert(source.includes(test), `${bug}: no "${test}" in ${file}`);
    }
  }
});

Deno.test("a rejected duplicate leaves the owner's record alone", async () => {
  const ledger = memoryLedger();
  const owner = await begin(ledger);
  for (let n = 0; n < 3; n++) {
    await assertRejects(() => begin(ledger), RequestInProgressError);
  }
  assertEquals((await owner.respond(DONE)).as, "stored");
  assertEquals(await ledger.read(IDENTITY), DONE);
});

Deno.test("a handler that nobody gave a deadline still runs alone", async () => {
  let now = 0;
  const ledger = memoryLedger({ now: () => now });
  const owner = await begin(ledger);
  now += 15_000;
  await assertRejects(() => begin(ledger), RequestInProgressError);
  assertEquals((await owner.respond(DONE)).as, "stored");
});

Deno.test("a handler that changes its input completes the key it was given", async () => {
  const store = memoryLedger();
  const ask = (payload: { items: number[] }) => {
    const context = order(store, payload);
    return withIdempotency(context, () => {
      payload.items.push(99);
      Object.assign(context, { key: "order-18", route: "refunds" });
      return Promise.resolve({ status: 201, body: "made" });
    });
  };
  assertEquals((await ask({ items: [1] })).replayed, false);
  assertEquals((await ask({ items: [1] })).replayed, true);
  assertEquals((await ask({ items: [1, 99] })).status, 422);
  const other = { ...IDENTITY, scope: "refunds", key: "order-18" };
  assertEquals(await store.read(other), null);
});

Deno.test("a zombie's heartbeat renews nobody's lease", async () => {
  let now = 0;
  const ledger = memoryLedger({ now: () => now });
  const claimAs = (ownerToken: string) =>
    ledger.claim(IDENTITY, {
      fingerprint: "a".repeat(64),
      ownerToken,
      leaseSeconds: 60,
      ttlSeconds: 3600,
      onAbandoned: "retry",
      maxAttempts: 5,
      metadata: null,
    });
  await claimAs("zombie");
  now += 61_000;
  await claimAs("successor");
  now += 59_000;
  assertEquals(await ledger.renew(IDENTITY, "zombie", 60), { outcome: "lost" });
  now += 2_000;
  assertEquals((await claimAs("third")).outcome, "taken_over");
});

Deno.test("no answer is given before it is recorded", async () => {
  const recording = Promise.withResolvers<void>();
  const ledger = memoryLedger();
  const store: Ledger = {
    ...ledger,
    async complete(...args) {
      await recording.promise;
      return await ledger.complete(...args);
    },
  };
  let answered = false;
  const asked = withIdempotency(
    order(store),
    () => Promise.resolve({ status: 201, body: "made" }),
  ).finally(() => answered = true);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(answered, false);
  recording.resolve();
  const headers = new Headers((await asked).headers);
  assertEquals(headers.get("x-idempotency-stored"), "true");
});

Deno.test("a generic 503 is no final answer: the retry runs", async () => {
  const store = memoryLedger();
  const statuses = [503, 201];
  const ask = () =>
    withIdempotency(
      order(store),
      () => Promise.resolve({ status: statuses.shift() ?? 500, body: null }),
    );
  assertEquals((await ask()).status, 503);
  assertEquals((await ask()).status, 201);
  assertEquals((await ask()).replayed, true);
});
