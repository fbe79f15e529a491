import { assert, assertEquals, assertRejects, fail } from "@std/assert";
import {
  isOffline,
  pauseByTimer as pause,
} from "../../shared/client/sending.ts";
import {
  lost,
  order,
  ORDERS,
  recorded,
  scripted,
} from "../support/scripted_fetch.ts";

const never = new AbortController().signal;

Deno.test("a pause lasts as long as it is to", async () => {
  const start = performance.now();
  await pause(30, never);
  assert(performance.now() - start >= 29);
});

Deno.test("a pause ends when the browser is back online", async () => {
  const waiting = pause(60_000, never);
  globalThis.dispatchEvent(new Event("online"));
  await Promise.race([waiting, pause(1000, never).then(() => fail("it did"))]);
});

Deno.test("a pause ends with the signal's reason, also one given before", async () => {
  const controller = new AbortController();
  const waiting = pause(60_000, controller.signal);
  controller.abort(new Error("enough"));
  await assertRejects(() => waiting, Error, "enough");
  await assertRejects(() => pause(60_000, controller.signal), Error, "enough");
});

Deno.test("a pause longer than a timer can be does not end at once", async () => {
  const controller = new AbortController();
  const waiting = pause(2 ** 40, controller.signal);
  const early = await Promise.race([
    waiting.then(() => true),
    pause(20, never).then(() => false),
  ]);
  controller.abort();
  await assertRejects(() => waiting);
  assert(!early);
});

Deno.test("offline, the request waits for the network as long as the budget allows, and uses up no attempts", async () => {
  let onLine = false;
  Object.defineProperty(navigator, "onLine", {
    get: () => onLine,
    configurable: true,
  });
  try {
    assert(isOffline());
    const waits: number[] = [];
    const { send, seen } = scripted([lost(), lost(), lost(), recorded()], {
      retry: { attempts: 2, budgetMs: 45_000, baseMs: 100 },
      pause(ms) {
        waits.push(ms);
        // Back for a moment, gone again, back for good.
        onLine = waits.length > 1;
        return Promise.resolve();
      },
    });
    assertEquals((await send(ORDERS, order())).status, 201);
    assertEquals([waits, seen.length], [[45_000, 45_000, 50], 4]);
  } finally {
    Reflect.deleteProperty(navigator, "onLine");
  }
});
