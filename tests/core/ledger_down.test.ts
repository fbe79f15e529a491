import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotEquals,
} from "@std/assert";
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

Deno.test("an effect has the same name in a run without the ledger as in one with it", async () => {
  const ledger = memoryLedger();
  let isDown = true;
  const run = () =>
    withIdempotency({
      store: {
        ...ledger,
        claim: (identity, terms) =>
          isDown
            ? Promise.reject(
              new LedgerUnavailableError("claim the key", "away"),
            )
            : ledger.claim(identity, terms),
      },
      onLedgerDown: "run",
      userId: "ada",
      route: "orders",
      key: "order-17",
      payload: { sku: "A-1" },
    }, async ({ attempt, effectKey, step }) => ({
      status: 201,
      body: {
        attempt,
        row: await effectKey("order"),
        charge: await step("charge", (charge) => charge.idempotencyKey),
      },
    }));

  const { body: without } = await run();
  isDown = false;
  const { body: withIt } = await run();
  assertEquals([without.attempt, withIt.attempt], [0, 1]);
  assertEquals([without.row, without.charge], [withIt.row, withIt.charge]);
  assertNotEquals(without.row, without.charge);
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
