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
  type Ledger,
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

Deno.test("a claim that is granted after its request was refused is given back, however often it comes", async () => {
  const ledger = memoryLedger();
  const failed: string[] = [];
  const ended = Promise.withResolvers<void>();
  // In this order: not granted yet; granted; granted again, by another try; and
  // the key is somebody else's.
  const late: (() => unknown)[] = [];
  let isDown = true;
  const store: Ledger = {
    ...ledger,
    async claim(identity, terms) {
      if (!isDown) return await ledger.claim(identity, terms);
      const grant = () => ledger.claim(identity, terms);
      late.push(grant, grant, () => route.post(KEY).then(answered), () => {});
      await new Promise((resolve) => setTimeout(resolve, 1_050));
      throw new LedgerUnavailableError("claim the key", "no answer");
    },
    async fail(...args) {
      const result = await ledger.fail(...args);
      failed.push(result.outcome);
      isDown = false;
      await late.shift()?.();
      if (late.length === 0) ended.resolve();
      return result;
    },
  };
  const route = app({ store, onAbandoned: "refuse" });
  const answered = async (response: Response) =>
    assertEquals([response.status, await response.json()], [200, {
      runs: 1,
      key: "order-17",
    }]);
  const refused = await route.post(KEY);
  assertEquals(refused.status, 503);
  await refused.body?.cancel();
  await ended.promise;
  assertEquals(failed, ["gone", "recorded", "recorded", "replay"]);
});

Deno.test("a claim that is granted late is given back, however long the ledger was silent", async () => {
  using clock = clockAhead();
  const ledger = memoryLedger();
  let grant: (() => Promise<unknown>) | undefined;
  const failed: string[] = [];
  const ended = Promise.withResolvers<void>();
  const store: Ledger = {
    ...ledger,
    claim(identity, terms) {
      grant = () => ledger.claim(identity, terms);
      clock.ahead += 5_000;
      return Promise.reject(
        new LedgerUnavailableError("claim the key", "no answer"),
      );
    },
    async fail(...args) {
      if (failed.length < 2) {
        clock.ahead += 20_000;
        failed.push("silent");
        throw new LedgerUnavailableError("record the failure", "no answer");
      }
      const result = await ledger.fail(...args);
      failed.push(result.outcome);
      // What waited longer than the one that gives back.
      if (result.outcome === "gone") {
        clock.ahead += 5_000;
        await grant!();
      } else {
        clock.ahead += 7_000;
        ended.resolve();
      }
      return result;
    },
  };
  const refused = await app({ store }).post(KEY);
  assertEquals(refused.status, 503);
  await refused.body?.cancel();
  await ended.promise;
  assertEquals(failed, ["silent", "silent", "gone", "recorded"]);
});

/** Moves what the code takes for the time that has passed, in ms. */
function clockAhead(): Disposable & { ahead: number } {
  const now = performance.now.bind(performance);
  const clock = {
    ahead: 0,
    [Symbol.dispose]: () => void (performance.now = now),
  };
  performance.now = () => now() + clock.ahead;
  return clock;
}

Deno.test("a claim that is granted late to a request that ran without the ledger is not given back", async () => {
  let ahead = 0;
  let failed = 0;
  const ledger = memoryLedger({ now: () => Date.now() + ahead });
  const store: Ledger = {
    ...ledger,
    async claim(identity, terms) {
      const granted = await ledger.claim(identity, terms);
      if (!("fence" in granted)) return granted;
      await new Promise((resolve) => setTimeout(resolve, 1_050));
      throw new LedgerUnavailableError("claim the key", "no answer");
    },
    fail(...args) {
      failed++;
      return ledger.fail(...args);
    },
  };
  const route = app({ store, onLedgerDown: "run", onAbandoned: "refuse" });
  const ran = await route.post(KEY);
  assertEquals(await ran.json(), { runs: 1, key: null });
  // Its effect may have happened, and nobody recorded how it ended.
  ahead = 31_000;
  const retried = await route.post(KEY);
  assertEquals((await retried.json()).code, "OUTCOME_UNKNOWN");
  assertEquals([route.runs(), failed], [1, 0]);
});

Deno.test("a claim that is refused at once is not given back", async () => {
  let failed = 0;
  const ledger = memoryLedger();
  const store: Ledger = {
    ...ledger,
    claim: () =>
      Promise.reject(new LedgerUnavailableError("claim the key", "away")),
    fail(...args) {
      failed++;
      return ledger.fail(...args);
    },
  };
  await (await app({ store }).post(KEY)).body?.cancel();
  assertEquals(failed, 0);
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
