import { assert, assertEquals, assertRejects } from "@std/assert";
import { setEnvironment } from "../../scripts/stack/environment.ts";
import { supabaseLedger } from "../../shared/idempotency.ts";
import { codeBlocks, importBlock } from "../support/documented.ts";
import { unique } from "../support/probe.ts";
import { project, withStack } from "../support/stack.ts";

// The examples of docs/sources-of-keys.md that need a database.
const stack = withStack();
let importOrder: (req: Request) => Promise<Response>;

Deno.test.beforeAll(async () => {
  stack();
  const code = (await codeBlocks("sources-of-keys.md", "ts")).at(-1)!;
  importOrder = (await importBlock(code)).default.fetch;
});

async function send(body: unknown) {
  const response = await importOrder(
    new Request("http://x/import-orders", {
      method: "POST",
      headers: {
        ...project(stack()).headers,
        "Content-Type": "application/json",
      },
      body: typeof body === "string" ? body : JSON.stringify(body),
    }),
  );
  return {
    status: response.status,
    replayed: response.headers.has("x-idempotency-replay"),
    body: await response.json(),
  };
}

Deno.test("a documented key from a field of the body: the same order once, a changed one refused", async () => {
  const orderNumber = unique("order");
  const first = await send({ orderNumber, items: 1 });
  assertEquals([first.status, first.replayed], [200, false]);
  const again = await send({ items: 1, orderNumber });
  assertEquals([again.replayed, again.body], [true, first.body]);
  const changed = await send({ orderNumber, items: 2 });
  assertEquals([changed.status, changed.body.code], [
    422,
    "IDEMPOTENCY_KEY_REUSED",
  ]);
});

Deno.test("an execution's id is none of the keys: a retry that another execution serves is a replay", async () => {
  const orderNumber = unique("order");
  const sendTo = async (execution: string) => {
    const restore = setEnvironment({ SB_EXECUTION_ID: execution });
    try {
      return await send({ orderNumber });
    } finally {
      restore();
    }
  };
  const first = await sendTo(crypto.randomUUID());
  const retry = await sendTo(crypto.randomUUID());
  assertEquals([first.replayed, retry.replayed], [false, true]);
  assertEquals(retry.body, first.body);
});

Deno.test("a documented key from a field of the body is refused where it is missing or malformed", async () => {
  const cases: [unknown, string][] = [
    [{}, "IDEMPOTENCY_KEY_MISSING"],
    ["no JSON", "IDEMPOTENCY_KEY_MISSING"],
    [{ orderNumber: "a b" }, "IDEMPOTENCY_KEY_INVALID"],
    [{ orderNumber: 17 }, "IDEMPOTENCY_KEY_INVALID"],
  ];
  for (const [body, code] of cases) {
    const answer = await send(body);
    assertEquals([answer.status, answer.body.code], [400, code]);
  }
});

Deno.test("a documented tick: a job that is started twice in its period runs once, and again in the next one or after a failure", async () => {
  const [code] = await codeBlocks("sources-of-keys.md", "ts");
  const { oncePerTick, tickOf } = await importBlock(code!);
  assertEquals(
    ["2026-11-29T02:59:59.999Z", "2026-11-29T03:00:00.000Z"]
      .map((at) => tickOf(new Date(at), 60)),
    ["20261129T0200Z", "20261129T0300Z"],
  );
  assertEquals(
    tickOf(new Date("2026-11-29T23:59:00Z"), 1440),
    "20261129T0000Z",
  );

  const job = unique("job");
  let runs = 0;
  let fails = false;
  const start = (at: string) =>
    oncePerTick(
      // One each, as two schedulers have.
      supabaseLedger(project(stack()).client),
      job,
      60,
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        if (fails) throw new Error("not today");
        return ++runs;
      },
      new Date(at),
    );
  const both = await Promise.allSettled([
    start("2026-11-29T02:00:05Z"),
    start("2026-11-29T02:00:07Z"),
  ]);
  assert(both.some(({ status }) => status === "fulfilled"));
  const late = await start("2026-11-29T02:59:00Z");
  assertEquals([late.replayed, late.body, runs], [true, 1, 1]);

  fails = true;
  await assertRejects(() => start("2026-11-29T03:00:05Z"), Error, "not today");
  fails = false;
  const next = await start("2026-11-29T03:10:05Z");
  assertEquals([next.replayed, next.body, runs], [false, 2, 2]);
});
