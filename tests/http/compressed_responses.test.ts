import { assert, assertEquals } from "@std/assert";
import { toBase64 } from "../../shared/idempotency/body.ts";
import { probe, unique } from "../support/probe.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

async function rowOf(key: string) {
  const [row] = await stack().sql<{ response_encoding: string; size: number }>(
    `select response_encoding, octet_length(response) as size
       from public.idempotency_keys where idempotency_key = $1`,
    [key],
  );
  return row!;
}

Deno.test("a large answer is kept compressed and replayed byte for byte", async () => {
  const orders = Array.from({ length: 2_000 }, (_, n) => ({
    id: crypto.randomUUID(),
    status: n % 3 ? "open" : "paid",
    total: n * 1.1,
  }));
  const request = {
    key: unique("key"),
    body: {
      headers: { "content-type": "application/json" },
      body: JSON.stringify(orders),
    },
  };
  const first = await (await probe(stack(), ada, request)).bytes();
  const retry = await probe(stack(), ada, request);
  assertEquals(retry.headers.get("x-idempotency-replay"), "true");
  assertEquals(await retry.bytes(), first);
  const { response_encoding, size } = await rowOf(request.key);
  assertEquals(response_encoding, "gzip");
  assert(size < first.byteLength * 0.6, `${size} of ${first.byteLength}`);
});

Deno.test("a small answer stays readable in SQL", async () => {
  const request = { key: unique("key"), body: { body: "small" } };
  await (await probe(stack(), ada, request)).body?.cancel();
  assertEquals((await rowOf(request.key)).response_encoding, "text");
});

Deno.test("a bomb that somebody has put into a row is not inflated", async () => {
  const request = { key: unique("key"), body: { body: "done" } };
  await (await probe(stack(), ada, request)).body?.cancel();
  const zeros = new Blob([new Uint8Array(64 * 1024 * 1024)]).stream()
    .pipeThrough(new CompressionStream("gzip"));
  const bomb = toBase64(
    new Uint8Array(await new Response(zeros).arrayBuffer()),
  );
  await stack().sql(
    `update public.idempotency_keys
        set response = $2, response_encoding = 'gzip'
      where idempotency_key = $1`,
    [request.key, bomb],
  );
  const answer = await probe(stack(), ada, request);
  assertEquals(answer.status, 409);
  assertEquals((await answer.json()).code, "RESPONSE_NOT_STORED");
});
