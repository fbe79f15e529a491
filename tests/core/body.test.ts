import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  decodeBody,
  encodeBody,
} from "../../shared/idempotency/stored_body.ts";

const roundTrip = (bytes: Uint8Array) => {
  const { body, encoding } = encodeBody(bytes);
  return decodeBody(body, encoding);
};

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
  }
});

Deno.test("a megabyte of binary is encoded without running out of stack", () => {
  const bytes = new Uint8Array(1024 * 1024).fill(0xfe);
  assertEquals(roundTrip(bytes), bytes);
});

Deno.test("no body and an empty body are two things", () => {
  assertEquals(roundTrip(new Uint8Array()), new Uint8Array());
  assertEquals(encodeBody(null), { body: null, encoding: "none" });
  assertEquals(decodeBody(null, "none"), null);
});
