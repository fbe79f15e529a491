import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { probe, unique } from "../support/probe.ts";
import { runs } from "../support/runs.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let ada: Actor;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

// Headers of one answer, by the contract or by HTTP itself, and the markers.
const PER_ANSWER = [
  "date",
  "set-cookie",
  "traceparent",
  "x-trace-id",
  "x-idempotency-replay",
  "x-idempotency-stored",
];

const status = fc.constantFrom(
  200,
  201,
  202,
  204,
  205,
  206,
  226,
  300,
  302,
  303,
  307,
  400,
  404,
  410,
  418,
  422,
  451,
);

// What fetch can send: no controls, nothing beyond Latin-1, no outer spaces.
const headerValue = fc.string({
  unit: fc.integer({ min: 0x20, max: 0xff })
    .filter((code) => code !== 0x7f && (code < 0x80 || code > 0x9f))
    .map((code) => String.fromCharCode(code)),
  maxLength: 60,
}).map((value) => value.trim());

// None that is of one answer, whatever the contract counts as such one day.
const headers = fc.dictionary(
  fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/).map((name) => `x-own-${name}`),
  headerValue,
  { maxKeys: 5 },
).chain((own) =>
  fc.constantFrom(
    {},
    { "content-type": "application/json", "cache-control": "no-store" },
    { "content-type": "text/plain; charset=utf-8", "etag": '"abc"' },
    { "content-type": "image/png", "location": "/somewhere?a=1#b" },
    { "vary": "Accept", "content-language": "de, en" },
    { "set-cookie": "session=1", "date": "now", "x-trace-id": "t1" },
  ).map((known) => ({ ...own, ...known }))
);

const body = fc.oneof(
  fc.constant({}),
  fc.string({ unit: "binary", maxLength: 300 }).map((text) => ({ body: text })),
  fc.json().map((text) => ({ body: ` ${text}\n` })),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => ({
    bodyBase64: btoa(String.fromCharCode(...bytes)),
  })),
  fc.constantFrom("\0", "\uFEFF{}", '{"b":1,"a":1.0}', "ﷺ🦕e\u0301")
    .map((text) => ({ body: text })),
);

async function read(response: Response) {
  const kept = [...response.headers]
    .filter(([name]) => !PER_ANSWER.includes(name))
    .sort(([a], [b]) => a < b ? -1 : 1);
  return {
    status: response.status,
    headers: kept,
    body: new Uint8Array(await response.arrayBuffer()),
  };
}

Deno.test("a replay differs from the first answer in its marker alone", async () => {
  await fc.assert(
    fc.asyncProperty(status, headers, body, async (status, headers, body) => {
      const request = {
        key: unique("key"),
        body: { status, headers, ...body },
      };
      const first = await probe(stack(), ada, request);
      assertEquals(first.headers.get("x-idempotency-stored"), "true");
      const replay = await probe(stack(), ada, request);
      assertEquals(replay.headers.get("x-idempotency-replay"), "true");
      assertEquals(await read(replay), await read(first));
    }),
    { numRuns: runs(60) },
  );
});

Deno.test("what belongs to one answer is never stored", async () => {
  const key = unique("key");
  const headers = {
    "set-cookie": "session=ada",
    "date": "Sun, 29 Nov 2026 12:00:00 GMT",
    "access-control-allow-origin": "https://ada.example",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "tracestate": "a=1",
    "baggage": "a=1",
    "x-trace-id": "t1",
    "x-correlation-id": "c1",
    "x-request-id": "r1",
    "x-kept": "yes",
  };
  await (await probe(stack(), ada, { key, body: { headers } })).body?.cancel();
  const [row] = await stack().sql<{ response_headers: Record<string, string> }>(
    "select response_headers from public.idempotency_keys where idempotency_key = $1",
    [key],
  );
  assertEquals(row?.response_headers, {
    "content-type": "text/plain;charset=UTF-8",
    "x-kept": "yes",
  });
});
