import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { fingerprintRequest } from "../../../shared/idempotency/fingerprint.ts";

const json = (body: string, url = "http://localhost/pay") =>
  fingerprintRequest(
    new Request(url, {
      method: "POST",
      headers: { "Content-Type": "application/json; charset=utf-8" },
      body,
    }),
  );

const form = (file: string, name = "a.txt") => {
  const body = new FormData();
  body.set("title", "report");
  body.set("file", new File([file], name, { type: "text/plain" }));
  return fingerprintRequest(
    new Request("http://localhost/upload", { method: "POST", body }),
  );
};

Deno.test("a fingerprint is 64 lower-case hexadecimal digits", async () => {
  assertMatch(await json("{}"), /^[0-9a-f]{64}$/);
});

Deno.test("spaces and the order of members do not matter in JSON", async () => {
  assertEquals(
    await json('{"a":1,"b":[2,3]}'),
    await json('{ "b":[2, 3], "a":1.0 }'),
  );
});

Deno.test("values, the order of elements and types matter in JSON", async () => {
  const first = await json('{"a":1,"b":[2,3]}');
  for (
    const other of [
      '{"a":2,"b":[2,3]}',
      '{"a":1,"b":[3,2]}',
      '{"a":"1","b":[2,3]}',
    ]
  ) {
    assertNotEquals(await json(other), first);
  }
});

Deno.test("path and query matter, the order of the query does not", async () => {
  const first = await json("{}", "http://localhost/pay?a=1&b=2");
  assertEquals(await json("{}", "http://localhost/pay?b=2&a=1"), first);
  assertNotEquals(await json("{}", "http://localhost/pay?a=1&b=3"), first);
  assertNotEquals(await json("{}", "http://localhost/refund?a=1&b=2"), first);
});

Deno.test("a query parameter can be left out", async () => {
  const ask = (query: string) =>
    fingerprintRequest(
      new Request(`http://localhost/events${query}`, { method: "POST" }),
      { ignoreQuery: ["confirm_credit"] },
    );
  assertEquals(await ask("?confirm_credit=1"), await ask(""));
});

Deno.test("the boundary of a form does not matter, its parts do", async () => {
  const first = await form("hello");
  assertEquals(await form("hello"), first);
  assertNotEquals(await form("hullo"), first);
  assertNotEquals(await form("hello", "b.txt"), first);
});

Deno.test("malformed JSON still has a fingerprint, by its bytes", async () => {
  assertEquals(await json("{oops"), await json("{oops"));
  assertNotEquals(await json("{oops"), await json("{ oops"));
});

Deno.test("the method matters", async () => {
  const of = (method: string) =>
    fingerprintRequest(new Request("http://localhost/x", { method }));
  assertNotEquals(await of("PUT"), await of("DELETE"));
});
