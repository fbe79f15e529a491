import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  encodeBody,
  restoreBody,
  storeBody,
  type StoredBody,
  toBase64,
} from "../../shared/idempotency/body.ts";
import { MAX_STORED_BYTES } from "../../shared/idempotency/response.ts";

const roundTrip = (bytes: Uint8Array) => restoreBody(encodeBody(bytes));

Deno.test("any bytes come back as they were", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
      assertEquals(roundTrip(bytes), bytes);
    }),
  );
});

Deno.test("any text comes back as it was, and is kept as text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 500 }), (text) => {
      const bytes = new TextEncoder().encode(text);
      assertEquals(roundTrip(bytes), bytes);
      assertEquals(
        encodeBody(bytes).encoding,
        /\0|^\uFEFF/.test(text) ? "base64" : "text",
      );
    }),
  );
});

Deno.test("a byte order mark and half a character survive", () => {
  for (const bytes of [[0xef, 0xbb, 0xbf, 0x41], [0xf0, 0x9f], [0xff, 0xfe]]) {
    assertEquals(roundTrip(Uint8Array.from(bytes)), Uint8Array.from(bytes));
    // Some drivers drop the mark from a text.
    assertEquals(encodeBody(Uint8Array.from(bytes)).encoding, "base64");
  }
});

Deno.test("a megabyte of binary is encoded without running out of stack", () => {
  const bytes = new Uint8Array(1024 * 1024).fill(0xfe);
  assertEquals(roundTrip(bytes), bytes);
});

Deno.test("no body and an empty body are two things", () => {
  assertEquals(roundTrip(new Uint8Array()), new Uint8Array());
  assertEquals(encodeBody(null), { body: null, encoding: "none" });
  assertEquals(restoreBody({ body: null, encoding: "none" }), null);
});

const JSON_TYPE = { "content-type": "application/json" };
const utf8 = (text: string) => new TextEncoder().encode(text);

async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const stream = new Blob([bytes]).stream()
    .pipeThrough(new CompressionStream("gzip"));
  return toBase64(new Uint8Array(await new Response(stream).arrayBuffer()));
}

Deno.test("any bytes of any size come back as they were", async () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(
      pieces,
      fc.integer({ min: 1, max: 400 }),
      async (pieces, times) => {
        const some = pieces.flatMap((piece) => [...piece]);
        const bytes = new Uint8Array(some.length * times);
        for (let n = 0; n < times; n++) bytes.set(some, n * some.length);
        const stored = await storeBody(bytes, {});
        assertEquals(await restoreBody(stored), bytes);
      },
    ),
    { numRuns: 60 },
  );
});

/** What Postgres stores of it, in bytes. */
const sizeOf = ({ body }: StoredBody) => utf8(body ?? "").byteLength;

Deno.test("what saves little is compressed all the same, what saves nothing is not", async () => {
  // Of 2^bits characters of three bytes each, drawn at random.
  const letters = (bits: number) =>
    utf8(
      String.fromCharCode(
        ...Array.from(
          crypto.getRandomValues(new Uint16Array(20_000)),
          (drawn) => 0x4e00 + drawn % 2 ** bits,
        ),
      ),
    );
  const noise = (share: number) =>
    crypto.getRandomValues(new Uint8Array(40_000)).fill(7, 40_000 * share);
  // Smaller than its bytes, and longer than its characters.
  for (const bytes of [letters(8), letters(11)]) {
    const stored = await storeBody(bytes, {});
    assertEquals(stored.encoding, "gzip");
    assert(stored.body!.length > 20_000);
  }
  // Smaller than its base64, and longer than its bytes.
  const stored = await storeBody(noise(0.9), {});
  assertEquals(stored.encoding, "gzip");
  assert(stored.body!.length > 40_000);
  assertEquals((await storeBody(noise(1), {})).encoding, "base64");
});

Deno.test("what is stored is never longer than it would be uncompressed", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: "grapheme", minLength: 200, maxLength: 400 }),
      fc.integer({ min: 1, max: 200 }),
      async (text, times) => {
        const bytes = utf8(text.repeat(times));
        const { body, encoding } = await storeBody(bytes, JSON_TYPE);
        assert(sizeOf({ body, encoding }) <= sizeOf(encodeBody(bytes)));
        assertEquals(await restoreBody({ body, encoding }), bytes);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("large text is compressed, small text and what is compressed already is not", async () => {
  const encodingOf = async (
    bytes: Uint8Array,
    headers: Record<string, string> = JSON_TYPE,
  ) => (await storeBody(bytes, headers)).encoding;
  const row = JSON.stringify({ id: "an id", title: "a title" });
  const large = utf8(row.repeat(1_000));
  const random = crypto.getRandomValues(new Uint8Array(40_000));
  assertEquals(await encodingOf(large), "gzip");
  const bound = 16 * 1024;
  assertEquals(await encodingOf(large.subarray(0, bound)), "gzip");
  assertEquals(await encodingOf(large.subarray(0, bound - 1)), "text");
  assertEquals(await encodingOf(random), "base64");
  assertEquals(
    await encodingOf(large, { "content-type": "image/png" }),
    "text",
  );
  assertEquals(
    await encodingOf(large, { ...JSON_TYPE, "content-encoding": "br" }),
    "text",
  );
  assertEquals(
    await encodingOf(new Uint8Array(40_000), { "content-type": "image/bmp" }),
    "gzip",
  );
});

Deno.test("a large answer is kept uncompressed on a platform that cannot compress", async () => {
  const { CompressionStream } = globalThis;
  Reflect.deleteProperty(globalThis, "CompressionStream");
  try {
    const large = utf8("order ".repeat(10_000));
    const stored = await storeBody(large, JSON_TYPE);
    assertEquals(stored.encoding, "text");
    assertEquals(await restoreBody(stored), large);
  } finally {
    Object.assign(globalThis, { CompressionStream });
  }
});

Deno.test("the largest body that is kept comes back, one byte more does not", async () => {
  assertEquals(MAX_STORED_BYTES, 4_194_304);
  const most = new Uint8Array(MAX_STORED_BYTES).fill(32);
  assertEquals(
    await restoreBody({ body: await gzip(most), encoding: "gzip" }),
    most,
  );
  const more = new Uint8Array(MAX_STORED_BYTES + 1);
  assertEquals(
    await restoreBody({ body: await gzip(more), encoding: "gzip" }),
    null,
  );
});

Deno.test("a bomb of a gigabyte is given up after the most that is kept", async () => {
  const part = new Uint8Array(1024 * 1024);
  let left = 1024;
  const zeros = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (controller) =>
      left-- > 0 ? controller.enqueue(part) : controller.close(),
  });
  const bomb = toBase64(
    new Uint8Array(
      await new Response(zeros.pipeThrough(new CompressionStream("gzip")))
        .arrayBuffer(),
    ),
  );
  const before = Deno.memoryUsage().rss;
  assertEquals(await restoreBody({ body: bomb, encoding: "gzip" }), null);
  const grown = Deno.memoryUsage().rss - before;
  assert(grown < 128 * 1024 * 1024, `grew by ${grown} bytes`);
});

Deno.test("a row that somebody has tampered with is as one that was not kept", async () => {
  const whole = await gzip(utf8("done".repeat(100)));
  for (
    const body of ["not base64!", toBase64(utf8("no gzip")), whole.slice(0, 20)]
  ) {
    assertEquals(await restoreBody({ body: body, encoding: "gzip" }), null);
  }
  assertEquals(await restoreBody({ body: null, encoding: "gzip" }), null);
});
