import { assertEquals } from "@std/assert";
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
