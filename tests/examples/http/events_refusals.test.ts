import { assert, assertEquals } from "@std/assert";
import { type Call, call as callAny } from "../../support/call.ts";
import { overlapping } from "../../support/disturbed_calls.ts";
import { unique } from "../../support/probe.ts";
import { withStack } from "../../support/stack.ts";
import { books, subscribe, type Subscriber } from "../../support/subscriber.ts";

const stack = withStack();
let ada: Subscriber;

Deno.test.beforeAll(async () => {
  ada = await subscribe(stack(), { included: 0, cost: 5, credits: 99 });
});

const party = { title: "Party", startsAt: "2026-12-24T18:00:00Z" };
const CONFIRM = "?confirm_credit=1";

const call = (who: Subscriber, { query = "", ...init }: Call & {
  query?: string;
} = {}) => callAny(stack(), who, `events${query}`, init);

const accepting = (who: Subscriber, accept: string): Subscriber => ({
  ...who,
  headers: { ...who.headers, Accept: accept },
});

const withTitle = (title: unknown) => ({ ...party, title });
const at = (startsAt: unknown) => ({ ...party, startsAt });

const BAD_BODIES: [
  what: string,
  body: unknown,
  status: number,
  code: string,
][] = [
  ["no JSON", "{", 400, "JSON_MALFORMED"],
  ["nothing", "", 400, "JSON_MALFORMED"],
  ["null", "null", 400, "REQUEST_INVALID"],
  ["a list", [party], 400, "REQUEST_INVALID"],
  ["no member", {}, 400, "REQUEST_INVALID"],
  ["an unknown member", { ...party, cost: 0 }, 400, "REQUEST_INVALID"],
  ["a number as title", withTitle(7), 400, "REQUEST_INVALID"],
  ["no title", withTitle(null), 400, "REQUEST_INVALID"],
  ["a blank title", withTitle(" \n"), 400, "REQUEST_INVALID"],
  ["a title too long", withTitle("x".repeat(201)), 400, "REQUEST_INVALID"],
  ["a title with U+0000", withTitle("a\0b"), 400, "REQUEST_INVALID"],
  ["half a surrogate pair", withTitle("a\ud800"), 400, "REQUEST_INVALID"],
  ["no date", at("soon"), 400, "REQUEST_INVALID"],
  ["a number as date", at(1_798_000_000), 400, "REQUEST_INVALID"],
  ["a date without offset", at("2026-12-24T18:00:00"), 400, "REQUEST_INVALID"],
  ["a day that is not", at("2026-02-30T18:00:00Z"), 400, "REQUEST_INVALID"],
  ["1999", at("1999-12-31T23:59:59Z"), 400, "REQUEST_INVALID"],
  ["2100", at("2100-01-01T00:00:00Z"), 400, "REQUEST_INVALID"],
  ["infinity", at("infinity"), 400, "REQUEST_INVALID"],
  [
    "endless digits",
    at(`2026-12-24T18:00:00.${"0".repeat(99)}Z`),
    400,
    "REQUEST_INVALID",
  ],
  [
    "a long location",
    { ...party, location: "x".repeat(201) },
    400,
    "REQUEST_INVALID",
  ],
  [
    "a long description",
    { ...party, description: "x".repeat(2001) },
    400,
    "REQUEST_INVALID",
  ],
  [
    "no participant",
    { ...party, participants: 0 },
    400,
    "REQUEST_INVALID",
  ],
  [
    "half a participant",
    { ...party, participants: 1.5 },
    400,
    "REQUEST_INVALID",
  ],
  [
    "10,001 participants",
    { ...party, participants: 10_001 },
    400,
    "REQUEST_INVALID",
  ],
  [
    "256 KiB and more",
    withTitle("x".repeat(262_144)),
    413,
    "REQUEST_TOO_LARGE",
  ],
];

for (const [what, body, status, code] of BAD_BODIES) {
  Deno.test(`an event of ${what} is refused with ${status}, and nothing is done`, async () => {
    const before = await books(ada);
    const answer = await call(ada, {
      body,
      key: unique("key"),
      query: CONFIRM,
    });
    assertEquals([answer.status, answer.body.code], [status, code]);
    assertEquals(answer.headers.get("x-idempotency-stored"), null);
    assertEquals(
      answer.headers.get("content-type"),
      "application/problem+json",
    );
    assertEquals(await books(ada), before);
  });
}

Deno.test("an event at the bounds is created", async () => {
  for (
    const body of [
      { ...at("2000-01-01T00:00:00Z"), location: null, description: null },
      { ...at("2099-12-31T23:59:59.999999Z"), location: "x".repeat(200) },
      { ...at("2026-12-24T18:00:00+23:59"), title: "😀".repeat(100) },
      { ...party, description: "x".repeat(2000), title: "x".repeat(200) },
    ]
  ) {
    const { status } = await call(ada, {
      body,
      key: unique("key"),
      query: CONFIRM,
    });
    assertEquals(status, 201);
  }
});

Deno.test("a query that is not known, not valid or there twice is refused, and nothing is done", async () => {
  const before = await books(ada);
  const requests: Parameters<typeof call>[1][] = [
    "?confirm_credits=1",
    "?confirm_credit=yes",
    "?confirm_credit=",
    "?confirm_credit=1&max_cost=-1",
    "?confirm_credit=1&max_cost=1e3",
    "?confirm_credit=1&confirm_credit=0",
    "?limit=1",
  ].map((query) => ({ query, body: party, key: unique("key") }));
  for (
    const query of ["?limit=0", "?limit=101", "?limit=1.5", "?limit=x", "?a=b"]
  ) {
    requests.push({ query, method: "GET" });
  }
  for (const request of requests) {
    const { status, body } = await call(ada, request);
    assertEquals([status, body.code], [400, "REQUEST_INVALID"]);
  }
  assertEquals(await books(ada), before);
});

const ID = "00000000-0000-4000-8000-000000000000";

Deno.test("another method gets 405 with those there are", async () => {
  for (
    const [path, allow, ...methods] of [
      ["", "GET, HEAD, POST, OPTIONS", "PUT", "PATCH", "DELETE"],
      [`/${ID}`, "GET, HEAD, PATCH, DELETE, OPTIONS", "PUT", "POST"],
      [`/${ID}/cancel`, "POST, OPTIONS", "GET", "PATCH"],
      [`/${ID}/restore`, "POST, OPTIONS", "GET", "DELETE"],
    ] as const
  ) {
    for (const method of methods) {
      const { status, body, headers } = await call(ada, {
        query: path,
        method,
        ...(method === "GET" ? {} : { body: party, key: unique("key") }),
      });
      assertEquals([status, body.code], [405, "METHOD_NOT_ALLOWED"], path);
      assertEquals(headers.get("allow"), allow);
    }
  }
});

Deno.test("a path that is no route, and an event that is none, are told apart", async () => {
  for (
    const [query, code] of [
      ["/", "ROUTE_NOT_FOUND"],
      [`/${ID}/again`, "ROUTE_NOT_FOUND"],
      [`/${ID}`, "EVENT_NOT_FOUND"],
      ["/17", "EVENT_NOT_FOUND"],
    ]
  ) {
    const { status, body } = await call(ada, { method: "GET", query: query! });
    assertEquals([status, body.code], [404, code!], query);
  }
});

Deno.test("another content type gets 415", async () => {
  const { status, body } = await call(ada, {
    body: new FormData(),
    key: unique("key"),
  });
  assertEquals([status, body.code], [415, "UNSUPPORTED_CONTENT_TYPE"]);
});

Deno.test("without a key, or with a malformed one, nothing is created or spent", async () => {
  const before = await books(ada);
  const none = await call(ada, { body: party, query: CONFIRM });
  assertEquals([none.status, none.body.code], [400, "IDEMPOTENCY_KEY_MISSING"]);
  const bad = await call(ada, { body: party, query: CONFIRM, key: "a b" });
  assertEquals([bad.status, bad.body.code], [400, "IDEMPOTENCY_KEY_INVALID"]);
  assertEquals(await books(ada), before);
});

Deno.test("a duplicate is refused in the style that it asks for, a problem document by default", async () => {
  const key = unique("key");
  const ask = (accept: string) => () =>
    call(accepting(ada, accept), { body: party, key, query: CONFIRM });
  const [winner, ...losers] = (await overlapping(
    "rpc/create_event",
    [
      ask("application/json"),
      ask("application/json"),
      ask("*/*"),
      ask("application/json, text/plain, */*"),
      ask("application/json, application/problem+json"),
    ].map((asked) => asked),
  )).sort((a, b) => a.status - b.status);
  assertEquals(winner!.status, 201);
  assertEquals(losers.map(({ status }) => status), [409, 409, 409, 409]);
  const [envelopes, problems] = [
    losers.filter(({ body }) => body.success === false),
    losers.filter(({ body }) => body.type !== undefined),
  ];
  assert(envelopes.length >= 1 && problems.length >= 2);
  assertEquals(envelopes.length + problems.length, losers.length);
  for (const { body, headers } of envelopes) {
    const { code, message } = body.error;
    assertEquals(body, { success: false, error: { code, message } });
    assertEquals(code, "REQUEST_IN_PROGRESS");
    assertEquals(message, problems[0]!.body.detail);
    assertEquals(headers.get("content-type"), "application/json");
    assert(headers.has("retry-after"));
    assertEquals(headers.get("access-control-allow-origin"), "*");
  }
  for (const { body, headers } of problems) {
    assertEquals(body.code, "REQUEST_IN_PROGRESS");
    assertEquals(headers.get("content-type"), "application/problem+json");
  }
});

Deno.test("every answer comes as an envelope to whoever asks for one", async () => {
  const eve = accepting(
    await subscribe(stack(), { included: 0, cost: 5, credits: 4 }),
    "application/json",
  );
  const key = unique("key");
  const question = await call(eve, { body: party, key });
  assertEquals(question.status, 409);
  assertEquals(question.body, {
    success: false,
    error: {
      code: "CREDIT_CONFIRMATION_REQUIRED",
      message: question.body.error.message,
      cost: 5,
      balance: 4,
      currency: "credits",
    },
  });
  const requests: [Parameters<typeof call>[1], number, string][] = [
    [{ body: party, key, query: CONFIRM }, 402, "TOO_FEW_CREDITS"],
    [{ body: withTitle("Other"), key }, 422, "IDEMPOTENCY_KEY_REUSED"],
    [{ body: {}, key: unique("key") }, 400, "REQUEST_INVALID"],
    [{ body: party }, 400, "IDEMPOTENCY_KEY_MISSING"],
    [
      { method: "PUT", body: party, key: unique("key") },
      405,
      "METHOD_NOT_ALLOWED",
    ],
  ];
  for (const [request, status, code] of requests) {
    const answer = await call(eve, request);
    assertEquals(
      [answer.status, answer.body.success, answer.body.error.code],
      [status, false, code],
    );
  }
  const list = await call(eve, { method: "GET" });
  assertEquals([list.status, list.body], [
    200,
    { success: true, data: { events: [] } },
  ]);
});

Deno.test("a success is wrapped as its replay is, and stored once for either style", async () => {
  const eve = await subscribe(stack(), { included: 1, cost: 5 });
  const key = unique("key");
  const bare = await call(eve, { body: party, key });
  const wrapped = await call(accepting(eve, "application/json"), {
    body: party,
    key,
  });
  assertEquals([wrapped.status, wrapped.replayed], [201, true]);
  assertEquals(wrapped.body, { success: true, data: bare.body });
  assertEquals(wrapped.headers.get("vary")?.includes("Accept"), true);
});

const inRussian = (who: Subscriber): Subscriber => ({
  ...who,
  headers: { ...who.headers, "Accept-Language": "ru-RU, ru;q=0.9, en;q=0.8" },
});

Deno.test("refusals are in Russian to whoever prefers it, of every layer, with the codes and figures that they have in English", async () => {
  const user = await subscribe(stack(), { included: 0, cost: 22, credits: 4 });
  const eve = inRussian(user);
  const key = unique("key");
  const question = await call(eve, { body: party, key });
  assertEquals(question.status, 409);
  assertEquals(question.headers.get("content-language"), "ru");
  assertEquals(question.body.title, "Нужно подтвердить списание кредитов");
  assert(question.body.detail.includes("нужно 22 кредита, у вас 4."));
  assertEquals(
    [question.body.code, question.body.cost],
    ["CREDIT_CONFIRMATION_REQUIRED", 22],
  );
  const requests: [Parameters<typeof call>[1], string][] = [
    [{ body: party, key, query: CONFIRM }, "Пополните баланс"],
    [{ body: withTitle("Other"), key }, "нужен новый ключ"],
    [{ body: { startsAt: "soon" }, key: unique("key") }, "title, startsAt"],
    [
      { body: party, key: unique("key"), query: "?confirm_credit=x" },
      "confirm",
    ],
    [{ body: party }, "Idempotency-Key"],
    [{ method: "GET", query: `/${ID}` }, "нет события"],
    [{ method: "PUT", body: party, key: unique("key") }, "Allow"],
  ];
  for (const [request, said] of requests) {
    const { body, headers } = await call(eve, request);
    assert(body.detail.includes(said), body.detail);
    assertEquals(headers.get("content-type"), "application/problem+json");
  }
  const english = await call(user, { body: party, key });
  assertEquals(english.headers.get("content-language"), "en");
  assert(english.body.detail.includes("it costs 22 credits"));
  const wrapped = await call(accepting(eve, "application/json"), {
    body: party,
    key,
  });
  assert(wrapped.body.error.message.includes("22 кредита"));
});
