import { assertEquals } from "@std/assert";
import { runMany } from "../../shared/idempotency.ts";
import { tripsOf } from "../support/database_calls.ts";
import { unique } from "../support/probe.ts";
import { type Actor, project, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

function batch(count: number) {
  return {
    supabase: project(stack()).client,
    userId: ada.userId,
    route: "invoices",
    items: Array.from({ length: count }, (_, n) => ({
      key: unique("invoice"),
      payload: { n },
      input: n,
    })),
  };
}

Deno.test("60 operations take two database trips, a retry one, whatever becomes of each", async () => {
  const invoices = batch(60);
  let runs = 0;
  const send = () =>
    runMany(invoices, ({ input }) => {
      runs += 1;
      if (input === 7 && runs <= 60) throw new Error("out of paper");
      return Promise.resolve({ status: 201, body: { sent: input } });
    });
  assertEquals(await tripsOf(send), [
    "rpc/idempotency_claim_many",
    "rpc/idempotency_settle_many",
  ]);
  assertEquals(await tripsOf(send), [
    "rpc/idempotency_claim_many",
    "rpc/idempotency_settle_many",
  ]);
  assertEquals(runs, 61);
  assertEquals(await tripsOf(send), ["rpc/idempotency_claim_many"]);
  const outcomes = await send();
  assertEquals(runs, 61);
  assertEquals(
    outcomes.map(({ status, body, replayed }) => [status, body, replayed]),
    invoices.items.map(({ input }) => [201, { sent: input }, true]),
  );
});

Deno.test("answers too large for one call are recorded in several", async () => {
  const exports = batch(6);
  const body = "x".repeat(1_500_000);
  const send = () =>
    runMany(exports, () => Promise.resolve({ status: 200, body }));
  assertEquals(
    (await tripsOf(send)).filter((call) =>
      call === "rpc/idempotency_settle_many"
    )
      .length,
    3,
  );
  const outcomes = await send();
  assertEquals(
    outcomes.map((outcome) => outcome.replayed && outcome.body === body),
    Array(6).fill(true),
  );
});
