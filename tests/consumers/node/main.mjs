import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";
import {
  LedgerMisconfiguredError,
  memoryLedger,
  postgresLedger,
  redisLedger,
  withIdempotency,
} from "supabase-idempotency";
import { createIdempotentFetch } from "supabase-idempotency/client";
import * as postgres from "supabase-idempotency/postgres";
import * as redis from "supabase-idempotency/redis";
import { ledgerContract } from "supabase-idempotency/testing";
import { executeWithLogging, hashUserId } from "supabase-idempotency/tracing";

function openMemory() {
  let now = Date.now();
  return {
    ledger: memoryLedger({ now: () => now }),
    users: ["ada", "bob"],
    age: (seconds) => void (now += seconds * 1000),
  };
}

test("a plain operation takes effect once", async () => {
  const store = memoryLedger();
  let orders = 0;
  const place = (payload) =>
    withIdempotency(
      { store, userId: "ada", route: "orders", key: "order-17", payload },
      () => Promise.resolve({ status: 201, body: { order: ++orders } }),
    );
  const first = await place("tea");
  const again = await place("tea");
  assert.deepEqual([first.replayed, again.replayed], [false, true]);
  assert.deepEqual(again.body, { order: 1 });
  assert.equal((await place("coffee")).status, 422);
});

test("what an entry point throws is what the root exports", async () => {
  const refused = Object.assign(new Error("not allowed"), { code: "42501" });
  const ledger = postgres.postgresLedger({
    unsafe: () => Promise.reject(refused),
  });
  await assert.rejects(
    ledger.read({ userId: null, scope: "orders", key: "order-17" }),
    LedgerMisconfiguredError,
  );
});

test("an entry point gives what the root gives", () => {
  assert.equal(postgres.postgresLedger, postgresLedger);
  assert.equal(redis.redisLedger, redisLedger);
});

test("require() finds the same modules", () => {
  const require = createRequire(import.meta.url);
  assert.equal(
    require("supabase-idempotency").withIdempotency,
    withIdempotency,
  );
  assert.match(
    require("supabase-idempotency/package.json").version,
    /^\d+\.\d+\.\d+/,
  );
});

test("the client sends a lost request again, under its key", async () => {
  const keys = [];
  const send = createIdempotentFetch({
    fetch: (input, init) => {
      keys.push(new Request(input, init).headers.get("idempotency-key"));
      return keys.length === 1
        ? Promise.reject(new TypeError("fetch failed"))
        : Promise.resolve(new Response("{}", { status: 201 }));
    },
    match: ({ url }) => url.endsWith("/orders"),
    retry: { baseMs: 1 },
  });
  const { status } = await send("http://localhost/functions/v1/orders", {
    method: "POST",
    body: "{}",
  });
  assert.equal(status, 201);
  assert.equal(keys.length, 2);
  assert.ok(keys[0] && keys[0] === keys[1]);
});

test("tracing logs without a runtime of its own", async () => {
  assert.match(hashUserId("ada"), /^[0-9a-f]{16}$/);
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const sum = () => Promise.resolve(3);
  assert.equal(await executeWithLogging("sum", trace, sum), 3);
});

for (const { name, run } of ledgerContract(openMemory)) {
  test(`memory ledger: ${name}`, run);
}
