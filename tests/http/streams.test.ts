import { assert, assertEquals, assertRejects } from "@std/assert";
import type { IdempotencyContext } from "../../shared/idempotency.ts";
import { letLeaseLapse } from "../support/ledger_row.ts";
import { unique } from "../support/probe.ts";
import { serve, type Served } from "../support/serve.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

const SCOPE = "streams";
const TEXT = { headers: { "Content-Type": "text/plain" } };
const EVENTS = { headers: { "Content-Type": "text/event-stream" } };

const stack = withStack();
let ada: Actor;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

async function statusOf(key: string): Promise<string> {
  const [row] = await stack().sql<{ status: string }>(
    "select status from public.idempotency_keys where idempotency_key = $1",
    [key],
  );
  return row!.status;
}

/** Waits until a key is no longer in progress. */
async function settled(key: string): Promise<string> {
  for (let tries = 0; tries < 2_000; tries++) {
    const status = await statusOf(key);
    if (status !== "processing") return status;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`"${key}" was still in progress after 50 s`);
}

/** A body that the test writes while it is read. */
function writable() {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  return {
    readable,
    write: (text: string) => writer.write(encoder.encode(text)),
    close: () => writer.close(),
    abort: (reason: unknown) => writer.abort(reason),
    /** Ends once whoever reads has gone away. */
    closed: writer.closed,
  };
}

/** Serves one body for each run, in order. */
function serveBodies(
  bodies: (BodyInit | null)[],
  respond: (idempotency: IdempotencyContext, body: BodyInit | null) => Response,
): Served {
  const left = [...bodies];
  return serve(stack(), { scope: SCOPE }, (idempotency) => {
    if (left.length === 0) throw new Error("Nobody expected another run");
    return respond(idempotency, left.shift()!);
  });
}

// Where a stream does not come as it is made, its reader waits for good.
const test = (name: string, fn: () => Promise<void>) =>
  Deno.test(name, { timeout: 15_000 }, fn);

const streamed = (idempotency: IdempotencyContext, body: BodyInit | null) =>
  idempotency.streamed(new Response(body, TEXT));

const events = (_: IdempotencyContext, body: BodyInit | null) =>
  new Response(body, EVENTS);

for (const [kind, respond] of Object.entries({ streamed, events })) {
  test(`a stream (${kind}) passes as it comes, is completed when it ends, and replayed to the byte`, async () => {
    const key = unique("key");
    const body = writable();
    await using app = serveBodies([body.readable], respond);
    const asking = app.ask(ada, key);
    await body.write("data: one\n\n");
    const reader = (await asking).body!.pipeThrough(new TextDecoderStream())
      .getReader();
    assertEquals((await reader.read()).value, "data: one\n\n");
    const duplicate = await app.ask(ada, key);
    assertEquals(duplicate.status, 409);
    await duplicate.body?.cancel();
    await body.write("data: zwölf\n\n");
    assertEquals((await reader.read()).value, "data: zwölf\n\n");
    assertEquals(await statusOf(key), "processing");
    await body.close();
    assertEquals((await reader.read()).done, true);
    assertEquals(await statusOf(key), "completed");

    const replay = await app.ask(ada, key);
    assertEquals(replay.headers.get("x-idempotency-replay"), "true");
    assertEquals(
      replay.headers.get("content-type"),
      respond({ streamed: (r) => r } as IdempotencyContext, null)
        .headers.get("content-type"),
    );
    assertEquals(await replay.text(), "data: one\n\ndata: zwölf\n\n");
  });
}

test("a stream that its client leaves is not completed, and the retry runs", async () => {
  const key = unique("key");
  const body = writable();
  await using app = serveBodies([body.readable, "whole"], streamed);
  const left = new AbortController();
  const asking = app.ask(ada, key, { signal: left.signal });
  await body.write("the first half");
  const reader = (await asking).body!.getReader();
  await reader.read();
  left.abort();
  await assertRejects(() => reader.read());
  // The function has nothing more to say: it is told, rather than found out.
  await body.closed.catch(() => {});
  assertEquals(await settled(key), "failed");
  const retry = await app.ask(ada, key);
  assertEquals(retry.headers.has("x-idempotency-replay"), false);
  assertEquals(await retry.text(), "whole");
  assertEquals(await statusOf(key), "completed");
});

test("a stream that fails leaves the key failed, and the client without an end", async () => {
  const key = unique("key");
  const body = writable();
  await using app = serveBodies([body.readable, "whole"], streamed);
  const asking = app.ask(ada, key);
  await body.write("the first half");
  const response = await asking;
  await body.abort(new Error("the model hung up"));
  await assertRejects(() => response.text());
  assertEquals(await settled(key), "failed");
  assertEquals(await (await app.ask(ada, key)).text(), "whole");
});

test("a stream over 4 MiB passes through; the replay says that it was not kept", async () => {
  const key = unique("key");
  const part = new Uint8Array(1024 * 1024).fill(120);
  const parts = ReadableStream.from(Array(5).fill(part));
  await using app = serveBodies([parts], streamed);
  const first = await app.ask(ada, key);
  assertEquals((await first.arrayBuffer()).byteLength, 5 * part.byteLength);
  assertEquals(await statusOf(key), "completed");
  const replay = await app.ask(ada, key);
  const { code, storedStatus } = await replay.json();
  assertEquals([code, storedStatus], ["RESPONSE_NOT_STORED", 200]);
});

test("a stream without a body is completed at once", async () => {
  const key = unique("key");
  await using app = serveBodies([null], streamed);
  await (await app.ask(ada, key)).body?.cancel();
  assertEquals(await statusOf(key), "completed");
});

test("a stream whose key was taken over does not look complete", async () => {
  const key = unique("key");
  const body = writable();
  await using app = serveBodies([body.readable, "of the other"], streamed);
  const asking = app.ask(ada, key);
  await body.write("the first half");
  const late = await asking;
  await letLeaseLapse(stack(), key);
  assertEquals(await (await app.ask(ada, key)).text(), "of the other");
  await body.close();
  await assertRejects(() => late.text());
  const replay = await app.ask(ada, key);
  assertEquals(await replay.text(), "of the other");
  assert(replay.headers.has("x-idempotency-replay"));
});
