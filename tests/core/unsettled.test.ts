import { assertEquals, assertRejects } from "@std/assert";
import { memoryLedger, withIdempotency } from "../../shared/idempotency.ts";
import { route } from "../support/middleware.ts";

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

  const throwing = route({ store, isFinal }, () => new Response("done"));
  await assertRejects(() => throwing({ key: "order-19" }), RangeError);
  const again = route(
    { store },
    ({ attempt }) => new Response(`attempt ${attempt}`),
  );
  assertEquals(await (await again({ key: "order-19" })).text(), "attempt 2");
});
