import { assertEquals } from "@std/assert";
import { platform } from "../../shared/idempotency/platform.ts";
import {
  flushReplayCounts,
  memoryLedger,
  withIdempotency,
} from "../../shared/idempotency.ts";

Deno.test("a Worker is told to wait by its own module", async () => {
  const told: unknown[] = [];
  const { process } = globalThis as unknown as {
    process: { getBuiltinModule: unknown };
  };
  const real = process.getBuiltinModule;
  process.getBuiltinModule = (name: string) =>
    name === "cloudflare:workers"
      ? { waitUntil: (work: unknown) => told.push(work) }
      : undefined;
  const work = Promise.resolve();
  try {
    const { href } = new URL(
      "../../shared/idempotency/platform.ts?on-workers",
      import.meta.url,
    );
    const there: { platform: typeof platform } = await import(href);
    there.platform.waitUntil(work);
  } finally {
    process.getBuiltinModule = real;
  }
  assertEquals(told, [work]);
});

/** Runs it where the worker can be told to wait, and waits for as much. */
async function toldToWait(work: () => Promise<unknown>): Promise<void> {
  const told: Promise<unknown>[] = [];
  const waitUntil = (work: Promise<unknown>) => void told.push(work);
  Object.assign(globalThis, { EdgeRuntime: { waitUntil } });
  try {
    await work();
    await Promise.all(told);
  } finally {
    Reflect.deleteProperty(globalThis, "EdgeRuntime");
  }
}

Deno.test("the worker is told to wait until replays are counted", async () => {
  const counted: number[] = [];
  const store = {
    ...memoryLedger(),
    countReplays: (_user: string | null, _scope: string, count: number) =>
      Promise.resolve(void counted.push(count)),
  };
  const order = { store, userId: "ada", route: "orders", payload: null };
  const run = () =>
    withIdempotency(
      { ...order, key: "order-17" },
      () => Promise.resolve({ status: 200, body: 1 }),
    );
  await run();
  // What other tests left would be counted along, and the worker told before.
  await flushReplayCounts();
  await toldToWait(async () => {
    await run();
    await run();
  });
  assertEquals(counted, [2]);
});

Deno.test("a log line ends with the error, where there is one", () => {
  const real = console.error;
  const lines: unknown[][] = [];
  console.error = (...line) => void lines.push(line);
  const error = new Error("away");
  try {
    platform.log("Could not renew:", error);
    platform.log("Could not claim");
  } finally {
    console.error = real;
  }
  assertEquals(lines, [["Could not renew:", error], ["Could not claim"]]);
});
