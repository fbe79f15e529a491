import { assertEquals, assertRejects } from "@std/assert";
import { resolveConfig } from "../../shared/idempotency/config.ts";
import { handlerRun } from "../../shared/idempotency/handler_run.ts";
import { begin } from "../../shared/idempotency/run.ts";
import { memoryLedger, withIdempotency } from "../../shared/idempotency.ts";

// Each of these ended in a key that was renewed without end.

Deno.test("an operation whose result has no JSON form leaves a key that runs again", async () => {
  const context = {
    store: memoryLedger(),
    userId: "ada",
    route: "orders",
    key: "order-17",
  };
  await assertRejects(
    () =>
      withIdempotency(
        context,
        () => Promise.resolve({ status: 200, body: 10n as unknown }),
      ),
    TypeError,
  );
  const retry = await withIdempotency(
    context,
    ({ attempt }) => Promise.resolve({ status: 200, body: attempt }),
  );
  assertEquals(retry.body, 2);
});

Deno.test("an isFinal that throws leaves a key that runs again, in both forms", async () => {
  const store = memoryLedger();
  const isFinal = () => {
    throw new RangeError("no rule for this status");
  };
  const shared = { store, userId: "ada", route: "orders", key: "order-18" };
  const run = () => Promise.resolve({ status: 200, body: 1 });
  await assertRejects(
    () => withIdempotency({ ...shared, isFinal }, run),
    RangeError,
  );
  assertEquals((await withIdempotency(shared, run)).status, 200);

  const identity = { userId: "ada", scope: "orders", key: "order-19" };
  const request = {
    ledger: store,
    identity,
    fingerprint: "a".repeat(64),
    config: resolveConfig({ isFinal }),
  };
  const begun = await begin(request);
  if (begun.kind !== "run") throw new Error("expected to run");
  const handler = handlerRun(begun.run, "orders", request.config);
  await assertRejects(() => handler.settle(new Response("done")), RangeError);
  const again = await begin(request);
  if (again.kind !== "run") throw new Error("expected to run again");
  assertEquals(again.run.attempt, 2);
  await again.run.fail("done");
});
