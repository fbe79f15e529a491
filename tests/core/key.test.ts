import { assertEquals, assertThrows } from "@std/assert";
import { KeyInvalidError } from "../../shared/idempotency/errors.ts";
import {
  getIdempotencyKey,
  isValidIdempotencyKey,
  readIdempotencyKey,
} from "../../shared/idempotency/key.ts";

function requestWith(headers: Record<string, string>): Request {
  return new Request("http://localhost/orders", { headers });
}

Deno.test("a key is 3 to 256 letters, digits, dashes and underscores", () => {
  const valid = ["abc", "A-1_z", "x".repeat(256)];
  const invalid = [
    "",
    "ab",
    "x".repeat(257),
    "a b c",
    "ümläut",
    "a.b.c",
    "abc\n",
  ];
  assertEquals(valid.filter(isValidIdempotencyKey), valid);
  assertEquals(invalid.filter(isValidIdempotencyKey), []);
  assertEquals([null, undefined, 123].filter(isValidIdempotencyKey), []);
});

for (
  const [title, value, key] of [
    ["bare", "order-17", "order-17"],
    ["as a structured-field string", '"order-17"', "order-17"],
    ["with parameters that mean nothing to us", '"order-17";v=1', "order-17"],
    ["when it starts with a digit", "8e03978e-40d5", "8e03978e-40d5"],
    ["with white space around it", "  order-17 ", "order-17"],
  ] as const
) {
  Deno.test(`a key is read ${title}`, () => {
    for (const name of ["Idempotency-Key", "X-Idempotency-Key"]) {
      const req = requestWith({ [name]: value });
      assertEquals([getIdempotencyKey(req), readIdempotencyKey(req)], [
        key,
        key,
      ]);
    }
  });
}

Deno.test("two headers may agree, one quoted and one bare", () => {
  const headers = {
    "Idempotency-Key": '"order-17"',
    "X-Idempotency-Key": "order-17",
  };
  assertEquals(readIdempotencyKey(requestWith(headers)), "order-17");
});

for (
  const [title, headers] of [
    ["an empty key", { "Idempotency-Key": "" }],
    ["an empty string", { "Idempotency-Key": '""' }],
    ["an open quote", { "Idempotency-Key": '"order-17' }],
    ["a key with a forbidden character", { "Idempotency-Key": "order 17" }],
    ["a header sent twice", { "Idempotency-Key": "order-17, order-18" }],
    ["two headers that disagree", {
      "Idempotency-Key": "order-17",
      "X-Idempotency-Key": "order-18",
    }],
    ["a bad key beside a good one", {
      "Idempotency-Key": "order-17",
      "X-Idempotency-Key": "!",
    }],
  ] as const
) {
  Deno.test(`${title} is refused, never taken for none`, () => {
    assertThrows(
      () => readIdempotencyKey(requestWith(headers)),
      KeyInvalidError,
    );
  });
}

Deno.test("getIdempotencyKey() gives the text it found, valid or not, and never throws", () => {
  const found: [Record<string, string>, string | null][] = [
    [{}, null],
    [{ "Idempotency-Key": "" }, ""],
    [{ "Idempotency-Key": '""' }, ""],
    [{ "Idempotency-Key": '"order-17' }, '"order-17'],
    [{ "Idempotency-Key": "order 17" }, "order 17"],
    [{ "Idempotency-Key": '"order 17"' }, "order 17"],
    [{ "X-Idempotency-Key": "!" }, "!"],
    [{ "Idempotency-Key": "order-17", "X-Idempotency-Key": "b" }, "order-17"],
  ];
  for (const [headers, key] of found) {
    assertEquals(getIdempotencyKey(requestWith(headers)), key);
  }
});
