import { assert, assertEquals } from "@std/assert";
import { toBase64 } from "../../shared/idempotency/stored_body.ts";
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

Deno.test("a bomb that a user writes into an own row is not inflated", async () => {
  const request = { key: unique("key"), body: { body: "done" } };
  await (await probe(stack(), ada, request)).body?.cancel();
  const zeros = new Blob([new Uint8Array(64 * 1024 * 1024)]).stream()
    .pipeThrough(new CompressionStream("gzip"));
  const bomb = toBase64(
    new Uint8Array(await new Response(zeros).arrayBuffer()),
  );
  const other = unique("key");
  const claim = {
    p_user_id: ada.userId,
    p_scope: "probe",
    p_idempotency_key: other,
    p_owner_token: crypto.randomUUID(),
  };
  const [{ request_fingerprint }] = await stack().sql<
    { request_fingerprint: string }
  >(
    `select request_fingerprint from public.idempotency_keys
      where idempotency_key = $1`,
    [request.key],
  ) as [{ request_fingerprint: string }];
  await ada.client.rpc("idempotency_claim", {
    ...claim,
    p_fingerprint: request_fingerprint,
    p_lease_seconds: 60,
    p_ttl_seconds: 60,
  }).throwOnError();
  await ada.client.rpc("idempotency_complete", {
    ...claim,
    p_status_code: 200,
    p_response: bomb,
    p_response_encoding: "gzip",
    p_response_headers: {},
  }).throwOnError();
  const answer = await probe(stack(), ada, { ...request, key: other });
  assertEquals(answer.status, 409);
  assertEquals((await answer.json()).code, "RESPONSE_NOT_STORED");
});
