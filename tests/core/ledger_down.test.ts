import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import {
  type IdempotencyConfig,
  type IdempotencyEvent,
  LedgerUnavailableError,
  memoryLedger,
  withIdempotency,
} from "../../shared/idempotency.ts";

/** A function whose database refuses connections; it admits the secret key. */
function app(config: IdempotencyConfig) {
  let runs = 0;
  const fetch = pipeline(
    [
      withSupabase({
        auth: "secret",
        env: {
          url: "http://127.0.0.1:9",
          publishableKeys: { default: "sb_publishable_x" },
          secretKeys: { default: "sb_secret_x" },
        },
      }),
      withIdempotency({ scope: "orders", ...config }),
    ],
    (_req, ctx) =>
      Promise.resolve(
        Response.json({ runs: ++runs, key: ctx.idempotency.key }),
      ),
  );
  const post = (headers: Record<string, string> = {}) =>
    fetch(
      new Request("http://localhost/orders", {
        method: "POST",
        headers: { apikey: "sb_secret_x", ...headers },
      }),
    );
  return { post, runs: () => runs };
}

const KEY = { "Idempotency-Key": "order-17" };

Deno.test("a ledger out of reach refuses the request with 503 and when to come back", async () => {
  const told = Promise.withResolvers<IdempotencyEvent>();
  const { post, runs } = app({ onEvent: told.resolve });
  const response = await post(KEY);
  assertEquals(response.status, 503);
  assert(Number(response.headers.get("retry-after")) >= 1);
  const problem = await response.json();
  assertEquals([problem.code, problem.retryable], ["LEDGER_UNAVAILABLE", true]);
  assertEquals(runs(), 0);
  const { outcome, error } = await told.promise;
  assertEquals(outcome, "unavailable");
  assertInstanceOf(error, LedgerUnavailableError);
});

Deno.test("a ledger out of reach lets the request run where the route says so", async () => {
  const { post, runs } = app({ onLedgerDown: "run" });
  const response = await post(KEY);
  assertEquals(response.status, 200);
  assertEquals(await response.json(), { runs: 1, key: null });
  assertEquals(response.headers.get("x-idempotency-stored"), null);
  assertEquals(runs(), 1);
});

Deno.test("a ledger out of reach does not touch requests without a key", async () => {
  const response = await app({}).post();
  assertEquals(response.status, 200);
  await response.body?.cancel();
});

Deno.test("a store of one's own is out of reach, whatever it gives as the cause", async () => {
  for (const cause of [undefined, null, "away", { code: "E1" }]) {
    const store = {
      ...memoryLedger(),
      claim: () =>
        Promise.reject(new LedgerUnavailableError("claim the key", cause)),
    };
    const response = await app({ store }).post(KEY);
    assertEquals(response.status, 503);
    await response.body?.cancel();
  }
});
