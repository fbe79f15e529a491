import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import {
  BodyConsumedError,
  BodyIncompleteError,
  RequestTooLargeError,
} from "../../shared/idempotency/errors.ts";
import {
  cloneUnread,
  type FingerprintOptions,
  fingerprintRequest,
  fingerprintValue,
  MAX_REQUEST_BYTES,
  sha256Hex,
} from "../../shared/idempotency/fingerprint.ts";
import { memoryLedger, withIdempotency } from "../../shared/idempotency.ts";

const request = (body: BodyInit, url = "http://localhost/pay") =>
  new Request(url, {
    method: "POST",
    headers: { "Content-Type": "application/json; charset=utf-8" },
    body,
  });

const json = (body: string, url?: string) =>
  fingerprintRequest(request(body, url));

const form = (file: string, name = "a.txt") => {
  const body = new FormData();
  body.set("title", "report");
  body.set("file", new File([file], name, { type: "text/plain" }));
  return fingerprintRequest(
    new Request("http://localhost/upload", { method: "POST", body }),
  );
};

const written = (body: string, type: string) =>
  fingerprintRequest(
    new Request("http://localhost/upload", {
      method: "POST",
      headers: { "Content-Type": type },
      body,
    }),
  );

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

Deno.test("the region that a retry goes to does not matter", async () => {
  const url = "http://localhost/orders";
  assertEquals(
    await json('{"a":1}', `${url}?forceFunctionRegion=eu-west-1`),
    await json('{"a":1}', `${url}?forceFunctionRegion=us-east-1`),
  );
  assertEquals(
    await json('{"a":1}', `${url}?forceFunctionRegion=eu-west-1`),
    await json('{"a":1}', url),
  );
});

Deno.test("the boundary of a form does not matter, its parts do", async () => {
  const first = await form("hello");
  assertEquals(await form("hello"), first);
  assertNotEquals(await form("hullo"), first);
  assertNotEquals(await form("hello", "b.txt"), first);
});

Deno.test("forms of which a parser drops a part differ by what is in it", async () => {
  const dropped = {
    "has no name": (amount: string) =>
      `--b\r\nContent-Disposition: form-data\r\n\r\n${amount}\r\n--b--\r\n`,
    "has no disposition": (amount: string) =>
      `--b\r\nContent-Type: text/plain\r\n\r\n${amount}\r\n--b--\r\n`,
    "has no end": (amount: string) =>
      `--b\r\nContent-Disposition: form-data; name="amount"\r\n\r\n${amount}\r\n`,
  };
  for (const [how, write] of Object.entries(dropped)) {
    for (const boundary of ["b", '"b"']) {
      const type = `multipart/form-data; boundary=${boundary}`;
      const [ten, twenty] = await Promise.all(
        ["10", "20"].map((amount) => written(write(amount), type)),
      );
      assertNotEquals(ten, twenty, how);
    }
  }
});

Deno.test("the boundary of a form does not matter where it is quoted", async () => {
  const quoted = (boundary: string) =>
    written(
      `--${boundary}\r\nContent-Disposition: form-data; name=amount\r\n\r\n10\r\n--${boundary}--\r\n`,
      `multipart/form-data; charset=utf-8; boundary="${boundary}"`,
    );
  assertEquals(await quoted("first try"), await quoted("second:try"));
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

Deno.test("a header takes part where it is named, and its absence does", async () => {
  const of = (organisation?: string, ...headers: string[]) => {
    const req = request("{}");
    if (organisation !== undefined) {
      req.headers.set("X-Organisation", organisation);
    }
    return fingerprintRequest(req, { headers });
  };
  assertEquals(await of("a"), await of("b"));
  assertNotEquals(
    await of("a", "x-organisation"),
    await of("b", "x-organisation"),
  );
  assertNotEquals(
    await of("", "x-organisation"),
    await of(undefined, "x-organisation"),
  );
  assertEquals(
    await of("a", "X-Organisation"),
    await of("a", "x-organisation"),
  );
});

Deno.test("two accounts beyond 2^53 are two fingerprints", async () => {
  assertNotEquals(
    await json('{"account":9007199254740993}'),
    await json('{"account":9007199254740992}'),
  );
});

Deno.test("a number that its double is not worth is compared as it is written", async () => {
  for (
    const number of [
      "9007199254740993",
      "-9007199254740993",
      "1e400",
      "1e-400",
      "0.1000000000000000055",
      "123456789012345678901",
      "9007199254740993.0",
    ]
  ) {
    assertNotEquals(
      await json(`{"a":${number}}`),
      await json(`{ "a":${number} }`),
      number,
    );
  }
});

Deno.test("a number that its double is worth is compared by its worth", async () => {
  for (
    const [one, other] of [
      ["1", "1.0"],
      ["100", "1E+2"],
      ["0", "-0.0"],
      ["0", "0e999999999999"],
      ["9007199254740992", "9007199254740992.000"],
      ["1e23", "100000000000000000000000"],
      ["0.1", "0.100000000000000000000"],
      ["5e-324", "0.5e-323"],
      ["1.7976931348623157e308", "17976931348623157E+292"],
    ]
  ) {
    assertEquals(await json(`[${one}]`), await json(`[${other}]`), other);
  }
});

Deno.test("digits in a text are no number", async () => {
  assertEquals(
    await json('{"a":"9007199254740993 \\" 1e400","b":1}'),
    await json('{"b":1,"a":"9007199254740993 \\" 1e400"}'),
  );
});

const fields = (options: FingerprintOptions) => (body: string) =>
  fingerprintRequest(request(body), options);

Deno.test("an ignored field may differ or be missing, and no other", async () => {
  const of = fields({ ignoreFields: ["/sentAt", "/items/0/id", "/a~1b~0c"] });
  const first = await of('{"sentAt":1,"items":[{"id":1,"n":1}],"a/b~c":1}');
  assertEquals(await of('{"items":[{"id":2,"n":1}]}'), first);
  assertEquals(await of('{"items":[{"n":1}],"a/b~c":[1],"sentAt":{}}'), first);
  for (
    const other of [
      '{"items":[{"n":2}]}',
      '{"items":[{"n":1},{"id":1}]}',
      '{"items":[{"n":1,"sentAt":1}]}',
      '{"items":{"0":{"n":1}}}',
    ]
  ) assertNotEquals(await of(other), first, other);
});

Deno.test("an ignored element still counts, and the rest keeps its place", async () => {
  const of = fields({ ignoreFields: ["/0", "/2"] });
  assertEquals(await of("[1,2,3]"), await of("[4,2,6]"));
  assertNotEquals(await of("[1,2,3]"), await of("[1,2]"));
  assertNotEquals(await of("[1,2,3]"), await of("[1,3,3]"));
});

Deno.test("only the fields that matter are compared", async () => {
  const of = fields({
    onlyFields: ["/order", "/note"],
    ignoreFields: ["/order/sentAt"],
  });
  const first = await of('{"order":{"id":1,"sentAt":1},"try":1}');
  assertEquals(await of('{"try":2,"order":{"sentAt":2,"id":1}}'), first);
  assertNotEquals(await of('{"order":{"id":2}}'), first);
  // A field that is null is there.
  assertNotEquals(await of('{"order":{"id":1},"note":null}'), first);
});

Deno.test("with fields, too, each digit of a number matters", async () => {
  const of = fields({ ignoreFields: ["/sentAt"] });
  const first = await of('{"account":9007199254740993,"n":1,"sentAt":1}');
  assertEquals(
    await of('{ "sentAt": 1e400, "n": 1.0, "account": 9007199254740993 }'),
    first,
  );
  for (
    const other of [
      '{"account":9007199254740992,"n":1}',
      '{"account":"9007199254740993","n":1}',
      '{"account":"n9007199254740993","n":1}',
      '{"account":9007199254740993,"n":"1"}',
      '{"account":9007199254740993,"n":01}',
      '{"saccount":9007199254740993,"n":1}',
    ]
  ) assertNotEquals(await of(other), first, other);
});

Deno.test("what a field that does not matter holds decides nothing, digits and half pairs neither", async () => {
  const ignoring = fields({ ignoreFields: ["/sentAt", "/trace/0"] });
  const choosing = fields({ onlyFields: ["/order", "/none"] });
  // In nanoseconds: a moment that ends in zeros loses no digit as a double.
  const sentAt = ["1700000000123456789", "1700000000123456000", '"\\ud83d"'];
  for (const printOf of [ignoring, choosing]) {
    const prints = await Promise.all(
      sentAt.map((at) =>
        printOf(`{"order":{"id":1,"name":"é"},"trace":[${at}],"sentAt":${at}}`)
      ),
    );
    assertEquals(new Set(prints).size, 1);
    assertNotEquals(
      await printOf('{"order":{"id":2,"name":"é"},"trace":[1],"sentAt":1}'),
      prints[0],
    );
  }
  for (const id of ["9007199254740993", '"\\ud83d"']) {
    const print = await choosing(`{"order":${id},"sentAt":1}`);
    assertEquals(await choosing(`{"sentAt":1e400,"order":${id}}`), print);
    assertNotEquals(await choosing('{"order":9007199254740992}'), print);
  }
  const named = await choosing('{"order":{"\\ud83d":1}}');
  assertNotEquals(await choosing('{"order":{"\\ud83e":1}}'), named);
});

Deno.test("a field that is no JSON Pointer is refused by name", async () => {
  for (const field of ["sentAt", "/a~2", "$.sentAt"]) {
    await assertRejects(
      () => fields({ ignoreFields: [field] })("{}"),
      TypeError,
      `"${field}": it is no JSON Pointer`,
    );
  }
});

Deno.test("JSON that is nested 100,000 levels deep is compared by its bytes", async () => {
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  assertEquals(await json(deep), await json(deep));
  assertNotEquals(await json(deep), await json(` ${deep}`));
  const of = fields({ ignoreFields: ["/0"] });
  assertEquals(await of(deep), await of(deep));
});

Deno.test("JSON of a mebibyte is read in well under a second", async () => {
  const body = `[${"1234567890.123456,".repeat(55_000)}1]`;
  const start = performance.now();
  assertEquals(await json(body), await json(` ${body}`));
  assert(performance.now() - start < 5_000);
});

Deno.test("a number of a million zeros takes no time", async () => {
  const zeros = "0".repeat(1_000_000);
  assertNotEquals(await json(`[0.${zeros}1]`), await json(`[0.${zeros}2]`));
});

Deno.test("larger JSON is compared by its bytes", async () => {
  const long = `["${"x".repeat(1024 * 1024)}"]`;
  assertEquals(await json(long), await json(long));
  assertNotEquals(await json(long), await json(` ${long}`));
});

Deno.test("a body that was read before is an error that says so", async () => {
  const req = request("{}");
  await req.text();
  await assertRejects(
    () => fingerprintRequest(req),
    BodyConsumedError,
    "Cannot fingerprint the body of POST /pay: it was read before",
  );
  assertThrows(() => cloneUnread(req), BodyConsumedError, "req.clone()");
});

Deno.test("a body that a reader holds is an error that says so", async () => {
  const req = request("{}");
  req.body!.getReader();
  await assertRejects(
    () => fingerprintRequest(req),
    BodyConsumedError,
    "a reader or a stream holds it",
  );
});

Deno.test("a body that breaks off is an error that says so", async () => {
  const broken = new ReadableStream({
    pull: (controller) => controller.error(new TypeError("cut off")),
  });
  const error = await assertRejects(
    () => fingerprintRequest(request(broken)),
    BodyIncompleteError,
    "The body of POST /pay broke off before its end",
  );
  assertEquals([error.status, error.retryable], [400, true]);
});

Deno.test("a clone leaves the body to the handler", async () => {
  const req = request('{"a":1}');
  assertEquals(
    await fingerprintRequest(cloneUnread(req)),
    await json('{"a":1}'),
  );
  assertEquals(await req.json(), { a: 1 });
});

Deno.test("a body without a length is read up to the limit and no further", async () => {
  let sent = 0;
  const chunk = new Uint8Array(1024 * 1024);
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      sent += chunk.byteLength;
      controller.enqueue(chunk);
      if (sent > 2 * MAX_REQUEST_BYTES) controller.close();
    },
  });
  await assertRejects(
    () => fingerprintRequest(cloneUnread(request(body))),
    RequestTooLargeError,
  );
  assert(sent < MAX_REQUEST_BYTES + 10 * chunk.byteLength, `sent ${sent}`);
});

Deno.test("a body that says it is too large is not read", async () => {
  const req = request("{}");
  req.headers.set("content-length", String(MAX_REQUEST_BYTES + 1));
  await assertRejects(() => fingerprintRequest(req), RequestTooLargeError);
  assert(!req.bodyUsed);
  req.headers.set("content-length", String(MAX_REQUEST_BYTES));
  await fingerprintRequest(req);
});

Deno.test("short and long data are hashed alike", async () => {
  for (const length of [0, 1, 2047, 2048, 2049, 100_000]) {
    const bytes = new Uint8Array(length).fill(7);
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    assertEquals(
      await sha256Hex(bytes),
      new Uint8Array(digest).toHex(),
      `${length}`,
    );
  }
  assertEquals(
    await sha256Hex("é"),
    await sha256Hex(new TextEncoder().encode("é")),
  );
});

Deno.test("JSON with half a surrogate pair is JSON, though it has no canonical form", async () => {
  const print = await json('{"note":"\\ud83d","a":1}');
  for (
    const same of [
      '{ "a": 1, "note": "\\uD83D" }',
      '{"a":1.0,"n\\u006fte":"\\ud83d"}',
    ]
  ) assertEquals(await json(same), print);
  for (
    const other of [
      '{"note":"\\ud83e","a":1}',
      '{"note":"\\\\ud83d","a":1}',
      '{"note":"\\"\\\\ud83d\\"","a":1}',
      '{"note":"\ufffd","a":1}',
    ]
  ) assertNotEquals(await json(other), print, other);
  const ignoring = (body: string) =>
    fingerprintRequest(request(body), { ignoreFields: ["/a"] });
  assertEquals(
    await ignoring('{"note":"\\ud83d","a":1}'),
    await ignoring('{"a":2,"note":"\\ud83d"}'),
  );
});

Deno.test("a value with half a surrogate pair has a fingerprint of its own, as JSON has", async () => {
  const half = "Ada \ud83d";
  const values: unknown[] = [
    half,
    "Ada \ud83e",
    "Ada \ufffd",
    JSON.stringify(half),
    `h${JSON.stringify(half)}`,
    [half],
    [JSON.stringify(half)],
    { note: half, a: 1 },
    { note: half, a: "1" },
    { note: half, a: "n1" },
    { [half]: 1 },
  ];
  const prints = await Promise.all(values.map(fingerprintValue));
  assertEquals(new Set(prints).size, values.length);
  assertEquals(await fingerprintValue({ a: 1, note: half }), prints[7]);
});

Deno.test("a value without a JSON form is refused", async () => {
  const circle: unknown[] = [];
  circle.push(circle);
  const odd = [undefined, () => {}, NaN, 1n, circle, ["\ud83d", Infinity]];
  for (const value of odd) {
    await assertRejects(() => fingerprintValue(value), TypeError, "JSON form");
  }
});

Deno.test("a payload that JSON would take for an empty object is refused, and says what to give", async () => {
  const form = new FormData();
  form.set("sku", "A-1");
  const opaque = [
    ...[form, new Map([["sku", "A-1"]]), new Blob(["A-1"])],
    Promise.resolve({ sku: "A-1" }),
  ];
  const within = opaque.map((value) => ({ note: "", lines: [{ value }] }));
  for (const payload of [...opaque, ...within]) {
    await assertRejects(
      () =>
        withIdempotency({
          store: memoryLedger(),
          userId: "ada",
          route: "orders",
          key: "order-17",
          payload,
        }, () => Promise.resolve({ status: 201, body: null })),
      TypeError,
      "await it or give what is in it",
    );
  }
  const foreign = Object.create(Object.create(null));
  for (const payload of [{}, foreign, Object.create(null), [], new Date()]) {
    await fingerprintValue(["orders", { payload, none: {} }]);
  }
});

const value = fc.jsonValue({ stringUnit: "grapheme", maxDepth: 4 });

/** The same JSON, spelt in another way. */
function respell(value: unknown): string {
  return JSON.stringify(
    value,
    (_name, part: unknown) =>
      typeof part === "object" && part !== null && !Array.isArray(part)
        ? Object.fromEntries(Object.entries(part).toReversed())
        : part,
    3,
  );
}

Deno.test("whatever is worth the same has the same fingerprint", async () => {
  await fc.assert(fc.asyncProperty(value, async (value) => {
    assertEquals(await json(respell(value)), await json(JSON.stringify(value)));
  }));
});

Deno.test("whatever differs has another fingerprint", async () => {
  await fc.assert(fc.asyncProperty(value, value, async (one, other) => {
    const [a, b] = [JSON.stringify(one), JSON.stringify(other)];
    fc.pre(a !== b && respell(one) !== respell(other));
    assertNotEquals(await json(a), await json(b));
  }));
});

Deno.test("a field that changes changes the fingerprint, unless it is ignored", async () => {
  const object = fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 });
  await fc.assert(fc.asyncProperty(object, value, async (object, next) => {
    const [name, before] = Object.entries(object)[0]!;
    fc.pre(JSON.stringify(before) !== JSON.stringify(next));
    const one = JSON.stringify(object);
    const other = JSON.stringify({ ...object, [name]: next });
    assertNotEquals(await json(one), await json(other));
    const pointer = `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    const of = fields({ ignoreFields: [pointer] });
    assertEquals(await of(one), await of(other));
  }));
});

Deno.test("two integers have one fingerprint only where they are the same", async () => {
  const integer = fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n });
  const near = fc.tuple(integer, fc.bigInt({ min: -3n, max: 3n }));
  const ignoring = fields({ ignoreFields: ["/none"] });
  await fc.assert(fc.asyncProperty(near, async ([n, step]) => {
    for (const print of [json, ignoring]) {
      const first = await print(`{"n":${n}}`);
      const second = await print(`{"n":${n + step}}`);
      assertEquals(first === second, step === 0n);
    }
  }));
});

Deno.test("a request of up to 64 MiB can be told apart", () => {
  assertEquals(MAX_REQUEST_BYTES, 67_108_864);
});
