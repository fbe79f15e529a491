import { assert, assertEquals } from "@std/assert";
import {
  configure,
  getJsonLinesFormatter,
  getLogger,
  type LogRecord,
  reset,
} from "@logtape/logtape";
import fc from "fast-check";
import { hashUserId, traceRequest } from "../../../shared/tracing.ts";
import {
  loggable,
  pathOf,
  redacting,
  redactText,
} from "../../../shared/tracing/redaction.ts";
import { secretsOf } from "../../../shared/tracing/secrets.ts";
import { createRequestContext } from "../../../shared/tracing/request_context.ts";
import {
  formatTraceparent,
  newSpanId,
  newTraceId,
} from "../../../shared/tracing/trace_context.ts";

const JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLW9mLWFkYQ";

Deno.test("what looks like a secret is taken out of a text", () => {
  for (
    const [text, secret] of [
      ["Mail to ada@example.com failed", "ada@example.com"],
      ["Card 4111 1111 1111 1111 declined", "1111 1111"],
      ["Card 4111111111111111 declined", "4111111111111111"],
      [`Bad token ${JWT}`, JWT],
      [`Cut off ${JWT.slice(0, 30)}`, JWT.slice(0, 30)],
      ["Authorization: Bearer abcdefgh", "abcdefgh"],
      ["Authorization: Basic YWRhOmh1bnRlcjI=", "YWRhOmh1bnRlcjI="],
      ["the key sb_secret_0123456789abcdef", "0123456789abcdef"],
      ["the key sk_live_0123456789abcdef", "0123456789abcdef"],
      ["the key sk-proj-0123456789abcdef", "0123456789abcdef"],
      ["postgresql://postgres:hunter2@db.example:5432/x", "hunter2"],
      ['{"password":"hunter2"}', "hunter2"],
      ["postgresql://postgres:hunt@er2@localhost:5432/x", "er2"],
      ["url (https://maps.example/v1?address=x&key=0123abcd)", "0123abcd"],
      ["url (https://files.example/x?X-Amz-Signature=0af1)", "0af1"],
      ["url (https://files.example/x?sv=1&sig=0af1&se=2)", "0af1"],
      ["the key AIzaSyA1234567890abcdefghijklmnopqrstu", "SyA1234567"],
      ["the key SG.0123456789abcdef.0123456789abcdef", "0123456789"],
      ['{"password":"correct horse"}', "horse"],
      ['{"password":"hun,ter&two"}', "ter"],
      ['{"password":"a\\"b c"}', "b"],
      ["{ password: 'correct horse' }", "horse"],
      [JSON.stringify({ body: '{"password":"hunter2"}' }), "hunter2"],
      [
        JSON.stringify(JSON.stringify({ body: '{"pwd":"hunter2"}' })),
        "hunter2",
      ],
      ["password is hunter2", "hunter2"],
      ["Cookie: theme=dark; session=hunter2", "hunter2"],
      ["wrong password hunter2", "hunter2"],
      ["wrong passwords hunter2", "hunter2"],
      ['{"tokens":"hunter"}', "hunter"],
      [
        "pi_3MtwBw_secret_YrKJUKribcBjcGhHVhfZluoGH",
        "YrKJUKribcBjcGhHVhfZluoGH",
      ],
      ["api_key=0123abcd&x=1", "0123abcd"],
      ['The key "order-17" was taken over', "order-17"],
      ["Key (user_id, email)=(7f0c9a52, ada) already exists.", "7f0c9a52"],
      ["Key (phone)=((555) 0100) already exists.", "0100"],
      ["Key (phone)=((555) 0100) is not present", "0100"],
      ["Failing row contains (7, (new). Ada, 2026-11-30).", "Ada"],
      [`Failing row contains (7, ${"Ada ".repeat(600)}).`, "Ada"],
      ["SSN 078-05-1120", "078-05-1120"],
      [
        "url (https://hooks.slack.com/services/T1AB/B2CD/aBcDeFgH12)",
        "aBcDeFgH12",
      ],
      ["-----BEGIN RSA PRIVATE KEY-----\nMIIE\nAbC=", "AbC="],
    ] as const
  ) {
    const redacted = redactText(text);
    assert(!redacted.includes(secret), `${text} became ${redacted}`);
  }
});

const hex = (digits: number) =>
  fc.array(fc.constantFrom(..."0123456789abcdef"), {
    minLength: digits,
    maxLength: digits,
  }).map((all) => all.join(""));

// Few letters: every other one holds digits enough for a card number.
const mostlyDigits = (digits: number) =>
  fc.array(fc.constantFrom(..."01234567890123456789f"), {
    minLength: digits,
    maxLength: digits,
  }).map((all) => all.join(""));

const uuid = (digits: fc.Arbitrary<string>) =>
  digits.map((d) =>
    [
      d.slice(0, 8),
      d.slice(8, 12),
      d.slice(12, 16),
      d.slice(16, 20),
      d.slice(20),
    ]
      .join("-")
  );

/** Ids as they are made here, and such as chance makes once in years. */
const madeHere = fc.oneof(
  fc.constant(null).map(newTraceId),
  fc.constant(null).map(newSpanId),
  hex(32),
  mostlyDigits(32),
  fc.uuid(),
  uuid(mostlyDigits(32)),
  fc.uuid().map((id) => `idem_${id}`),
  uuid(mostlyDigits(32)).map((id) => `idem_${id}`),
  mostlyDigits(64).map((id) => `idem_${id}`),
  fc.uuid().map((id) => hashUserId(id)),
  fc.record({ traceId: hex(32), spanId: hex(16), sampled: fc.boolean() })
    .map(formatTraceparent),
  fc.record({
    traceId: mostlyDigits(32),
    spanId: mostlyDigits(16),
    sampled: fc.boolean(),
  }).map(formatTraceparent),
);

const SENTENCES: readonly ((id: string) => string)[] = [
  (id) => id,
  (id) => `Attempt 3 of ${id} took 1204 ms of 30000`,
  (id) => `{"id":"${id}","n":4111}`,
  (id) => `in ${id}: 23505`,
  (id) => `user ${id}, 12 1234 of 5678`,
];

Deno.test("no id that was made here is taken for a secret, in 20,000 of them", () => {
  fc.assert(
    fc.property(madeHere, fc.constantFrom(...SENTENCES), (id, sentence) => {
      assertEquals(redactText(sentence(id)), sentence(id));
    }),
    { numRuns: 20_000, seed: 9 },
  );
});

// ISO/IEC 7812-1, annex B: every other digit from the right is doubled.
function withCheckDigit(digits: string): string {
  const sum = [...digits].reverse().map(Number).reduce(
    (sum, digit, at) =>
      sum + (at % 2 === 1 ? digit : digit * 2 % 10 + Math.floor(digit / 5)),
    0,
  );
  return `${digits}${(10 - sum % 10) % 10}`;
}

const AROUND_A_SECRET: readonly ((secret: string) => string)[] = [
  (secret) => secret,
  (secret) => `The provider refused ${secret}, 3 times`,
  (secret) => `{"text":"${secret}"}`,
  (secret) => `order_${secret}`,
  (secret) => `<${secret}>`,
];

Deno.test("every card number is found by its check digit, in one piece or in groups", () => {
  const digits = fc.array(fc.constantFrom(..."0123456789"), {
    minLength: 12,
    maxLength: 18,
  }).map((all) => withCheckDigit(`4${all.slice(1).join("")}`));
  const grouped = (card: string, by: string) =>
    card.replace(/\d{4}(?=\d)/g, `$&${by}`);
  fc.assert(
    fc.property(
      digits,
      fc.constantFrom("", " ", "-"),
      fc.constantFrom(...AROUND_A_SECRET),
      (card, by, around) => {
        const text = around(grouped(card, by));
        const shown = redactText(text);
        assert(!shown.includes(grouped(card, by)), `${text} became ${shown}`);
      },
    ),
    { numRuns: 5_000, seed: 9 },
  );
});

Deno.test("a card number is found where it is a number, and a time is left alone", () => {
  const times = Array.from({ length: 10 }, (_, n) => 1764526244000 + n);
  const shown = loggable(
    [4111111111111111, 4111111111111111n, 5, 1e300, ...times],
    (text) => text,
  );
  const masked = "XXXX-XXXX-XXXX-XXXX";
  assertEquals(shown, [masked, masked, 5, 1e300, ...times]);
});

Deno.test("a field of an id is kept where it is one, at any depth", () => {
  const seen: LogRecord[] = [];
  // Sixteen digits with the check digit of a card.
  const spanId = "4111111111111111";
  redacting((record) => seen.push(record))({
    category: ["app"],
    level: "info",
    timestamp: 0,
    message: ["x"],
    rawMessage: "x",
    properties: {
      spanId,
      keyHash: spanId,
      link: { parentSpanId: spanId },
      traceId: "Bearer abc.def",
      number: spanId,
    },
  });
  assertEquals(seen[0]?.properties, {
    spanId,
    keyHash: spanId,
    link: { parentSpanId: spanId },
    traceId: "Bearer [redacted]",
    number: "XXXX-XXXX-XXXX-XXXX",
  });
});

Deno.test("a span id and a user's hash have a letter: none is a card number", () => {
  const random = crypto.getRandomValues;
  let isFirst = true;
  crypto.getRandomValues = (array) => {
    if (!isFirst) return random.call(crypto, array) as typeof array;
    isFirst = false;
    (array as unknown as Uint8Array).fill(0x11);
    return array;
  };
  try {
    assert(/[a-f]/.test(newSpanId()));
  } finally {
    crypto.getRandomValues = random;
  }
  // The SHA-256 of this text begins with decimal digits only.
  assertEquals(
    hashUserId("user-258", { get: () => undefined }),
    "901172516722028b",
  );
});

Deno.test("what is no secret stays readable", () => {
  for (
    const text of [
      "Cannot read document 7f0c9a52-9d0c-4a31-a4a5-3f5a1e0d8b11: timeout (57014)",
      "Could not claim the key: the idempotency ledger did not answer, send the same request again later",
      'insert or update on table "recognitions" violates foreign key constraint',
      "2026-11-22T10:42:18.256Z",
      ...Array.from(
        { length: 10 },
        (_, n) => `held since ${1764526244000 + n}`,
      ),
      ...Array.from({ length: 10 }, (_, n) => `at 176452624400000${n}`),
      "push_tokens",
      "https://x/@ada, https://x/?sort=keys&monkeys=3",
      '["token","user"]',
      "/v1/tokens",
      "/password/reset",
      "access_token_expires_at",
      "promptTokens",
      "Tokenization failed: authorization_pending",
    ]
  ) {
    assertEquals(redactText(text), text);
  }
});

Deno.test("a long text is cut where no half of a secret is left", () => {
  for (
    const secret of [
      "ada@example.com",
      "4111 1111 1111 1111",
      "card:4111 1111 1111 1111",
      "order-4111 1111 1111 1111",
      JWT,
    ]
  ) {
    for (let at = 1_960; at < 2_010; at++) {
      const redacted = redactText(
        `${"word ".repeat(450).slice(0, at)} ${secret}`,
      );
      assert(redacted.length < 2_100);
      assert(!/ada@|4111|eyJ/.test(redacted), redacted.slice(-60));
    }
  }
});

Deno.test("a long text is cut where no half of an id is left", () => {
  for (
    const id of [
      "4bf92f3577b34da6a3ce929d0e0e4736",
      "7f0c9a52-9d0c-4a31-a4a5-123456789012",
    ]
  ) {
    for (let at = 1_900; at < 2_010; at++) {
      const redacted = redactText(
        `${"word ".repeat(450).slice(0, at)} ${id} ${"12 ".repeat(50)}`,
      );
      assert(
        redacted.includes(id) || !redacted.includes(id.slice(0, 8)),
        redacted.slice(-60),
      );
    }
  }
});

Deno.test("a text of a megabyte takes no longer than a line does", () => {
  for (
    const text of [
      "a".repeat(1e6),
      "a@".repeat(1e6),
      "1 ".repeat(1e6),
      "1111 ".repeat(1e6),
      "f".repeat(1e6),
    ]
  ) {
    const startedAt = performance.now();
    assert(redactText(text).length < 4_000);
    assert(performance.now() - startedAt < 10_000);
  }
});

Deno.test("what a request brought in confidence is known wherever it turns up", () => {
  const claims = btoa(JSON.stringify({ sub: "7f0c9a52-user", email: "a@b" }));
  const hide = secretsOf(
    new Request("http://x/pay?token=query-secret&limit=5", {
      headers: {
        Authorization: `Bearer head.${claims}.signature`,
        apikey: "publishable-one",
        Cookie: "session=cookie-secret; theme=dark-one",
        "Idempotency-Key": '"order-17"',
        "X-Forwarded-For": "203.0.113.7",
      },
    }),
  );
  assertEquals(
    hide(
      "7f0c9a52-user of 203.0.113.7 sent order-17 and query-secret with cookie-secret and publishable-one, not order-177",
    ),
    `user ${
      hashUserId("7f0c9a52-user")
    } of [redacted] sent [key] and [redacted] with [redacted] and [redacted], not order-177`,
  );
  assert(!hide(`Bearer head.${claims}.signature`).includes(claims));
});

Deno.test("a secret in the query or a cookie is known as it came and as it is read", () => {
  const url = "http://x/pay?email=ada%40example.com&signature=a%2fb+c&limit=5";
  const Cookie = "session=one%2Ftwo; broken=%zz";
  const hide = secretsOf(new Request(url, { headers: { Cookie } }));
  assertEquals(
    hide(`${url} of ada@example.com, a/b c, one/two, ${Cookie}`),
    "http://x/pay?email=[redacted]&signature=[redacted]&limit=5 of [redacted], [redacted], [redacted], session=[redacted]; broken=[redacted]",
  );
});

Deno.test("what a header brought that is called like a secret is in no line, whoever sends it", () => {
  const headers = {
    "X-Webhook-Secret": "hook-1",
    "X-Gitlab-Token": "lab-1",
    "X-Hub-Signature-256": "sha256=0af1",
    "CF-Connecting-IP": "203.0.113.7",
    "X-Client-Info": "supabase-js-web",
  };
  const hide = secretsOf(new Request("http://x/", { headers }));
  assertEquals(
    hide(Object.values(headers).join(" ")),
    `${"[redacted] ".repeat(4)}supabase-js-web`,
  );
});

Deno.test("a request with a header of any length is told about, without it", () => {
  for (const length of [1_999, 2_001, 64_000, 300_000]) {
    const apikey = "long-".repeat(length / 5);
    const { hide, correlationId } = createRequestContext(
      new Request("http://x/", {
        headers: {
          apikey,
          Cookie: `a=${apikey}`,
          "X-Correlation-Id": "order-17",
        },
      }),
    );
    assertEquals(correlationId, "order-17");
    const shown = redactText(hide(`It was ${apikey}, refused`));
    assert(!shown.includes("long"), shown);
    assert(shown.startsWith("It was "), shown);
  }
});

Deno.test("a field that is called like a secret is masked, one of a user hashed, at any depth", () => {
  const seen: LogRecord[] = [];
  redacting((record) => seen.push(record))({
    category: ["app"],
    level: "info",
    timestamp: 0,
    message: ["x"],
    rawMessage: "x",
    properties: {
      userId: "ada",
      request: { headers: { Cookie: "a=b", accessToken: "t" }, tokens: 12 },
      list: [{ sender_id: "ben" }],
      keyHash: "0011",
      config: { resendApiKey: "k", private_key: "k", serviceRoleKey: "k" },
    },
  });
  assertEquals(seen[0]?.properties, {
    userId: hashUserId("ada"),
    request: {
      headers: { Cookie: "[redacted]", accessToken: "[redacted]" },
      tokens: 12,
    },
    list: [{ sender_id: hashUserId("ben") }],
    keyHash: "0011",
    config: {
      resendApiKey: "[redacted]",
      private_key: "[redacted]",
      serviceRoleKey: "[redacted]",
    },
  });
});

Deno.test("a user has one hash in all lines, also a known one and one called by an address", async () => {
  const claims = btoa(JSON.stringify({ sub: "7f0c9a52-user" }));
  const Authorization = `Bearer head.${claims}.signature`;
  const seen: LogRecord[] = [];
  const log = redacting((record) => seen.push(record));
  await traceRequest(
    new Request("http://x/", { headers: { Authorization } }),
    () => {
      for (const userId of ["7f0c9a52-user", "ada@example.com"]) {
        log({
          category: ["app"],
          level: "info",
          timestamp: 0,
          message: ["of ", userId, ""],
          rawMessage: "of {userId}",
          properties: { userId, deep: [{ userId }] },
        });
      }
      return Promise.resolve(new Response());
    },
  );
  for (const [at, id] of ["7f0c9a52-user", "ada@example.com"].entries()) {
    const userId = hashUserId(id);
    assertEquals(seen[at]!.properties, { userId, deep: [{ userId }] });
  }
  assertEquals(seen[0]!.message[1], hashUserId("7f0c9a52-user"));
});

Deno.test("a sink that writes the template of a message writes no secret of it", () => {
  const lines: string[] = [];
  const toJson = getJsonLinesFormatter({ message: "template" });
  redacting((record) => lines.push(toJson(record)))({
    category: ["app"],
    level: "info",
    timestamp: 0,
    message: ["Sent to ada@example.com, ", "hunter2", ""],
    rawMessage: "Sent to ada@example.com, {password}",
    properties: { password: "hunter2" },
  });
  const { message, properties } = JSON.parse(lines[0]!);
  assertEquals(
    [message, properties],
    [
      "Sent to REDACTED@EMAIL.ADDRESS, {password}",
      { password: "[redacted]" },
    ],
  );
});

Deno.test("a sink that holds lines back still writes them when it is disposed of", async () => {
  const lines: string[] = [];
  const held: LogRecord[] = [];
  const flush = () => {
    lines.push(...held.splice(0).map(({ message }) => message.join("")));
    return Promise.resolve();
  };
  const sink = redacting(
    Object.assign((record: LogRecord) => void held.push(record), {
      [Symbol.asyncDispose]: flush,
    }),
  );
  await configure({
    reset: true,
    sinks: { sink },
    loggers: [{ category: "app", sinks: ["sink"] }],
  });
  getLogger("app").info("to ada@example.com");
  await reset();
  assertEquals(lines, ["to REDACTED@EMAIL.ADDRESS"]);
});

Deno.test("a field that is called like a secret is masked within a message too", () => {
  const seen: LogRecord[] = [];
  const rawMessage = Object.assign(["signed up ", ""], { raw: [] });
  redacting((record) => seen.push(record))({
    category: ["app"],
    level: "info",
    timestamp: 0,
    message: ["signed up ", { password: "hunter2" }, ""],
    rawMessage,
    properties: {},
  });
  assertEquals(seen[0]?.message[1], { password: "[redacted]" });
});

Deno.test("whatever is logged becomes finite JSON", () => {
  const circle: Record<string, unknown> = { name: "circle" };
  circle["self"] = circle;
  circle["selves"] = Array.from({ length: 50 }, () => circle);
  const json = JSON.stringify(loggable(circle, (text) => text));
  assert(json.length < 100_000);
  fc.assert(
    fc.property(fc.anything({ withBigInt: true, withDate: true }), (value) => {
      JSON.stringify(loggable(value, (text) => text));
    }),
  );
});

Deno.test("a map, a set, headers and an address are told, each redacted", () => {
  const values = {
    map: new Map<unknown, unknown>([["password", "hunter2"], [7, ["x"]]]),
    set: new Set(["ada@example.com", 7]),
    headers: new Headers({ "X-Api-Key": "k", Accept: "text/plain" }),
    url: new URL("http://ada:hunter2@x.example/?token=t"),
  };
  assertEquals(loggable(values, (text) => text), {
    map: { password: "[redacted]", 7: ["x"] },
    set: ["REDACTED@EMAIL.ADDRESS", 7],
    headers: { "x-api-key": "[redacted]", accept: "text/plain" },
    url: "http://[redacted]@x.example/?token=[redacted]",
  });
});

Deno.test("bytes are told by how many they are", () => {
  const body = new TextEncoder().encode("hunter2");
  assertEquals(loggable({ body }, (text) => text), { body: "[7 bytes]" });
});

Deno.test("an error is told by name, code, message and causes, each redacted", () => {
  const cause = Object.assign(new Error("to ada@example.com"), {
    code: "23505",
  });
  const told = loggable(
    new TypeError("password: hunter2", { cause }),
    (text) => text,
  ) as Record<string, unknown>;
  assertEquals([told["name"], told["message"]], [
    "TypeError",
    "password: [redacted]",
  ]);
  const { message, code } = told["cause"] as Record<string, unknown>;
  assertEquals([message, code], ["to REDACTED@EMAIL.ADDRESS", "23505"]);
});

Deno.test("an error of many tells each of them", () => {
  const all = [new Error("refused"), new TypeError("to ada@example.com")];
  const told = loggable(new AggregateError(all, "both"), (text) => text) as {
    errors: Record<string, unknown>[];
  };
  assertEquals(
    told.errors.map(({ name, message }) => [name, message]),
    [["Error", "refused"], ["TypeError", "to REDACTED@EMAIL.ADDRESS"]],
  );
});

Deno.test("an error whose message or stack is no text is told all the same", () => {
  const odd = { message: { password: "hunter2" }, stack: null };
  assertEquals(
    loggable(Object.assign(new Error(), odd), (text) => text),
    { name: "Error", message: { password: "[redacted]" } },
  );
});

Deno.test("a path is logged without its query and without segments that may be secret", () => {
  assertEquals(
    pathOf("/v1/charges/ch_17?api_key=secret#top"),
    "/v1/charges/ch_17",
  );
  assertEquals(
    pathOf(`/bot123:abc/ada%40example.com/${"x".repeat(41)}`),
    "/[redacted]/[redacted]/[redacted]",
  );
});

Deno.test("a user's hash depends on the secret key where there is one", () => {
  const withKey = (key?: string) => hashUserId("ada", { get: () => key });
  assertEquals(withKey("k"), withKey("k"));
  assert(new Set([withKey(), withKey("k"), withKey("l")]).size === 3);
  assert(/^[0-9a-f]{16}$/.test(withKey("k")));
});

Deno.test("a correlation id is taken from the client only where it is bounded, clean and no secret", () => {
  const correlationIdOf = (headers: Record<string, string>) =>
    createRequestContext(new Request("http://x/", { headers })).correlationId;
  assertEquals(correlationIdOf({ "X-Correlation-Id": "order-17" }), "order-17");
  for (
    const id of [
      "x".repeat(129),
      "a b",
      "-a",
      '"a"',
      "<script>",
      "ada@example.com",
      "4111111111111111",
      JWT,
    ]
  ) {
    assert(correlationIdOf({ "X-Correlation-Id": id }) !== id, `took ${id}`);
  }
  const key = "order-17";
  assert(
    correlationIdOf({ "X-Correlation-Id": key, "Idempotency-Key": key }) !==
      key,
  );
});
