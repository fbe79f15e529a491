import { assert, assertEquals, assertRejects } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import {
  type Answer,
  checkIdempotency,
  createIdempotencyKey,
  fingerprintRequest,
  getIdempotencyStatus,
  type IdempotencyConfig,
  type IdempotencyContext,
  memoryLedger,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { MAX_REQUEST_BYTES } from "../../shared/idempotency/fingerprint.ts";
import {
  CONTEXT_MARK,
  route,
  type RouteRequest,
} from "../support/middleware.ts";

/** A route that numbers its runs, on a ledger of its own. */
function numbered(config: IdempotencyConfig = {}) {
  let runs = 0;
  const ask = route(
    { store: memoryLedger(), ...config },
    () =>
      Response.json({ run: ++runs }, {
        status: 201,
        headers: { location: `/orders/${runs}` },
      }),
  );
  return {
    runs: () => runs,
    async ask(request: RouteRequest) {
      const response = await ask(request);
      return {
        status: response.status,
        headers: response.headers,
        replayed: response.headers.has("x-idempotency-replay"),
        body: await response.json(),
      };
    },
  };
}

const KEY = "order-17";

for (const authMode of ["publishable", "none"]) {
  const caller = { key: KEY, userId: null, authMode };

  Deno.test(`a key from a caller who is nobody (${authMode}) is a 403 that says what to do, and nothing runs`, async () => {
    const { ask, runs } = numbered();
    const { status, headers, body } = await ask(caller);
    assertEquals([status, body.code, body.retryable], [
      403,
      "CALLER_UNKNOWN",
      false,
    ]);
    assertEquals(headers.get("content-type"), "application/problem+json");
    assert(body.detail.includes('callers: "project"'), body.detail);
    assertEquals(runs(), 0);
  });

  Deno.test(`a caller who is nobody (${authMode}) and sends no key is served`, async () => {
    const { key: _, ...rest } = caller;
    assertEquals((await numbered().ask(rest)).status, 201);
  });

  Deno.test(`callers: "project" lets those who are nobody (${authMode}) share keys, with the secret key's holder and with no user`, async () => {
    const { ask } = numbered({ callers: "project" });
    assertEquals((await ask(caller)).replayed, false);
    assertEquals((await ask(caller)).replayed, true);
    const project = { key: KEY, userId: null, authMode: "secret" };
    assertEquals((await ask(project)).replayed, true);
    assertEquals((await ask({ key: KEY })).body.run, 2);
  });
}

Deno.test("a user made of the verified claims lets colleagues share an attempt", async () => {
  const { ask, runs } = numbered({
    user: (_req, ctx) => `org:${ctx.userClaims.id.split("@")[1]}`,
  });
  const first = await ask({ key: KEY, userId: "ada@engines" });
  const colleague = await ask({ key: KEY, userId: "grace@engines" });
  assertEquals([first.replayed, colleague.replayed], [false, true]);
  assertEquals((await ask({ key: KEY, userId: "eve@other" })).replayed, false);
  assertEquals(runs(), 2);
});

Deno.test("an entry of a pipeline may say both whose a key is and where it is kept", async () => {
  const entry = withIdempotency({
    store: memoryLedger(),
    user: (_req, ctx) => `org:${ctx.userClaims.id.split("@")[1]}`,
  });
  const handler = entry(() => Promise.resolve(new Response("done")));
  const ask = async (id: string) => {
    const headers = { "Idempotency-Key": KEY };
    const req = new Request("http://x/orders", { method: "POST", headers });
    const upstream = { userClaims: { id }, authMode: "user" };
    const seeded = { [CONTEXT_MARK]: true, ...upstream };
    return (await handler(req, seeded as never)).headers;
  };
  assert((await ask("ada@engines")).has("x-idempotency-stored"));
  assert((await ask("grace@engines")).has("x-idempotency-replay"));
});

// In JavaScript `data.user?.id` slips through.
Deno.test("a user id that is missing is nobody's, and never the project's", async () => {
  const store = memoryLedger();
  const { ask, runs } = numbered({ store, user: () => undefined as never });
  assertEquals((await ask({ key: KEY })).body.code, "CALLER_UNKNOWN");
  const missing = undefined as unknown as string;
  const operation = { store, userId: missing, route: "orders", key: KEY };
  const outcome = await withIdempotency(operation, () => {
    throw new Error("ran");
  });
  assertEquals(outcome.status, 403);
  for (
    const call of [
      checkIdempotency,
      createIdempotencyKey,
      getIdempotencyStatus,
    ]
  ) await assertRejects(() => call(store, KEY, missing), TypeError, "userId");
  assertEquals(runs(), 0);
});

Deno.test("a scope made of the request keeps the organisations of one user apart", async () => {
  const seen: unknown[] = [];
  const { ask } = numbered({
    scope: (req, ctx) => {
      seen.push(ctx.userClaims.id);
      return `orders/${req.headers.get("x-organisation")}`;
    },
  });
  const as = (organisation: string) =>
    ask({ key: KEY, headers: { "x-organisation": organisation } });
  const answers = [await as("north"), await as("south"), await as("north")];
  assertEquals(answers.map(({ body }) => body.run), [1, 2, 1]);
  assertEquals(answers.map(({ replayed }) => replayed), [false, false, true]);
  assertEquals(seen, ["ada", "ada", "ada"]);
});

Deno.test("an answer whose body is not kept leaves its status and Location to retries", async () => {
  const { ask, runs } = numbered({ keepBody: () => false });
  const first = await ask({ key: KEY });
  assertEquals([first.status, first.body], [201, { run: 1 }]);
  const retry = await ask({ key: KEY });
  assertEquals([retry.status, retry.body.code, retry.body.storedStatus], [
    409,
    "RESPONSE_NOT_STORED",
    201,
  ]);
  assertEquals([retry.headers.get("location"), runs()], ["/orders/1", 1]);
  // Else a page on another origin could not read where the result is.
  const exposed = retry.headers.get("access-control-expose-headers") ?? "";
  assert(exposed.split(", ").includes("Location"), exposed);
});

Deno.test("of an answer whose body is not kept the ledger holds no secret of its headers", async () => {
  const store = memoryLedger();
  const stored: Answer[] = [];
  const handler = withIdempotency({
    user: () => "ada",
    store: {
      ...store,
      complete(identity, ownerToken, answer, ttlSeconds) {
        stored.push(answer);
        return store.complete(identity, ownerToken, answer, ttlSeconds);
      },
    },
    keepBody: () => false,
  }, () => {
    const headers = { "X-Api-Key": "secret", "Location": "/keys/1" };
    return new Response("secret", { status: 201, headers });
  });
  const headers = { "Idempotency-Key": KEY };
  const { status } = await handler(
    new Request("http://localhost/keys", { method: "POST", headers }),
  );
  const kept = { status, headers: { location: "/keys/1" }, body: null };
  assertEquals(stored, [kept]);
});

Deno.test("keepBody sees the answer, and decides for each", async () => {
  const { ask } = numbered({
    keepBody: (response) => response.headers.get("location") !== "/orders/1",
  });
  await ask({ key: KEY });
  await ask({ key: "order-18" });
  assertEquals((await ask({ key: KEY })).status, 409);
  assertEquals((await ask({ key: "order-18" })).body, { run: 2 });
});

Deno.test("keepBody and isFinal may take their time", async () => {
  const open = numbered({ isFinal: (status) => Promise.resolve(status < 200) });
  assertEquals((await open.ask({ key: KEY })).body, { run: 1 });
  assertEquals((await open.ask({ key: KEY })).body, { run: 2 });
  const secret = numbered({
    keepBody: async (response) => (await response.json()).run !== 1,
  });
  await secret.ask({ key: KEY });
  assertEquals(
    (await secret.ask({ key: KEY })).body.code,
    "RESPONSE_NOT_STORED",
  );
});

Deno.test("what the fingerprint leaves out may differ between tries, and nothing else", async () => {
  const { ask } = numbered({
    fingerprint: (req) =>
      fingerprintRequest(req, {
        ignoreQuery: ["confirm"],
        ignoreFields: ["/sentAt"],
        headers: ["x-organisation"],
      }),
  });
  const send = (
    order: object,
    { query = "", organisation = "north" } = {},
  ) =>
    ask({
      key: KEY,
      url: `http://localhost/orders${query}`,
      headers: {
        "content-type": "application/json",
        "x-organisation": organisation,
      },
      body: JSON.stringify(order),
    });
  assertEquals((await send({ item: 1, sentAt: 1 })).status, 201);
  const again = await send({ sentAt: 2, item: 1 }, { query: "?confirm=1" });
  assertEquals([again.status, again.replayed], [201, true]);
  for (
    const other of [
      send({ item: 2, sentAt: 1 }),
      send({ item: 1 }, { query: "?other=1" }),
      send({ item: 1 }, { organisation: "south" }),
    ]
  ) assertEquals((await other).body.code, "IDEMPOTENCY_KEY_REUSED");
});

Deno.test("a body that something read before is a 500 that says so, and nothing runs", async () => {
  const { ask, runs } = numbered();
  const { status, body } = await ask({ key: KEY, isRead: true });
  assertEquals([status, body.code, body.retryable], [
    500,
    "REQUEST_BODY_CONSUMED",
    false,
  ]);
  assert(body.detail.includes("it was read before"), body.detail);
  assertEquals(runs(), 0);
});

Deno.test("GET, HEAD and OPTIONS pass through, with a key or without", async () => {
  for (const method of ["GET", "HEAD", "OPTIONS"]) {
    let runs = 0;
    const ask = route(
      { store: memoryLedger(), enforcement: "required" },
      () => new Response(null, { status: 200 + runs++ }),
    );
    for (const key of [KEY, KEY, undefined]) {
      const { headers } = await ask({ method, ...key && { key } });
      assertEquals(headers.get("x-idempotency-stored"), null, method);
      assertEquals(headers.get("x-idempotency-replay"), null, method);
    }
    assertEquals(runs, 3, method);
  }
});

Deno.test("a body beyond 64 MiB is refused with 413, without a Content-Length too, and nothing runs", async () => {
  const { ask, runs } = numbered();
  const part = new Uint8Array(8 * 1024 * 1024);
  let left = MAX_REQUEST_BYTES / part.byteLength + 1;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) =>
      left-- > 0 ? controller.enqueue(part) : controller.close(),
  });
  const { status, body: problem } = await ask({ key: KEY, body });
  assertEquals([status, problem.code], [413, "REQUEST_TOO_LARGE"]);
  assertEquals(runs(), 0);
});

Deno.test("a body that breaks off is refused with 400, and the key stays free", async () => {
  const { ask, runs } = numbered();
  const broken = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(new TypeError("cut off")),
  });
  const cut = await ask({ key: KEY, body: broken });
  assertEquals([cut.status, cut.body.code, cut.body.retryable], [
    400,
    "REQUEST_BODY_INCOMPLETE",
    true,
  ]);
  assertEquals(runs(), 0);
  assertEquals((await ask({ key: KEY })).status, 201);
});

Deno.test("a route may look its scope up, and is told what is none", async () => {
  const store = memoryLedger();
  const found = numbered({ store, scope: () => Promise.resolve("looked-up") });
  assertEquals((await found.ask({ key: KEY })).status, 201);
  const known = (scope: string) =>
    store.status!({ userId: "ada", scope, key: KEY });
  assertEquals((await known("looked-up"))?.status, "completed");
  for (const scope of ["", "a".repeat(201), "a\0", undefined]) {
    const route = numbered({ scope: () => scope as string });
    await assertRejects(() => route.ask({ key: KEY }), TypeError, "the scope");
    assertEquals(route.runs(), 0);
  }
});

Deno.test("a path of any length is served, with a key or without, where it names the scope", async () => {
  const { ask } = numbered();
  const url = `http://localhost/${"a".repeat(300)}`;
  assertEquals((await ask({ url })).status, 201);
  assertEquals((await ask({ url, key: KEY })).status, 201);
  assertEquals((await ask({ url, key: KEY })).replayed, true);
  // Paths that differ beyond that are not taken for each other.
  assertEquals((await ask({ url: `${url}b`, key: KEY })).status, 422);
});

Deno.test("a replay names no trace, request or duration of the first answer", async () => {
  const perAnswer = {
    "b3": "0",
    "cf-ray": "8f0a1b2c3d4e5f60-FRA",
    "sb-request-id": "019a",
    "sentry-trace": "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
    "server-timing": "db;dur=53",
    "traceresponse": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "x-amzn-trace-id": "Root=1-67891233-abcdef012345678912345678",
    "x-b3-traceid": "4bf92f3577b34da6a3ce929d0e0e4736",
    "x-cloud-trace-context": "4bf92f3577b34da6a3ce929d0e0e4736/1;o=1",
  };
  const ask = route(
    { store: memoryLedger() },
    () => new Response("made", { headers: { ...perAnswer, "x-kept": "yes" } }),
  );
  const first = await ask({ key: KEY });
  assertEquals(first.headers.get("server-timing"), "db;dur=53");
  const { headers } = await ask({ key: KEY });
  assertEquals(headers.get("x-kept"), "yes");
  assertEquals(Object.keys(perAnswer).filter((name) => headers.has(name)), []);
});

Deno.test("a cookie that a NextResponse sets is neither kept nor replayed, under its second name either", async () => {
  const cookies = {
    "set-cookie": "session=secret; Path=/",
    "x-middleware-set-cookie": "session=secret; Path=/",
  };
  const ask = route(
    { store: memoryLedger() },
    () => new Response("signed in", { headers: cookies }),
  );
  const first = await ask({ key: KEY });
  const retry = await ask({ key: KEY });
  for (const [name, value] of Object.entries(cookies)) {
    assertEquals([first, retry].map(({ headers }) => headers.get(name)), [
      value,
      null,
    ]);
  }
});

for (
  const [how, answer, stored] of [
    ["as it is", (_, response) => response, "true"],
    ["as not final", ({ notFinal }, response) => notFinal(response), null],
    ["as a stream", ({ streamed }, response) => streamed(response), null],
    [
      "to be finished later",
      ({ finishLater }, response) =>
        finishLater(response, () => Promise.resolve(new Response("made"))),
      null,
    ],
  ] as [
    string,
    (it: IdempotencyContext, response: Response) => Response,
    string | null,
  ][]
) {
  Deno.test(`an answer of another function that is handed on ${how} has no mark of that one's key`, async () => {
    const marks = ["missing", "replay", "stored"]
      .map((mark) => `x-idempotency-${mark}`);
    const ask = route({ store: memoryLedger() }, (idempotency) => {
      const headers = Object.fromEntries(marks.map((name) => [name, "true"]));
      return answer(idempotency, new Response("of another", { headers }));
    });
    const first = await ask({ key: KEY });
    assertEquals(await first.text(), "of another");
    assertEquals(marks.map((name) => first.headers.get(name)), [
      null,
      null,
      stored,
    ]);
  });
}

Deno.test("who leaves out a key that is read from elsewhere is not told to send a header", async () => {
  const enforcement = "required";
  const key = () => null;
  const [fromElsewhere, fromHeader] = await Promise.all(
    [numbered({ enforcement, key }), numbered({ enforcement })]
      .map(async ({ ask }) => (await ask({})).body),
  );
  assertEquals(fromElsewhere.code, "IDEMPOTENCY_KEY_MISSING");
  assert(!fromElsewhere.detail.includes("header"), fromElsewhere.detail);
  assert(fromHeader.detail.includes("header"), fromHeader.detail);
});

Deno.test("a route is told that its fingerprint is none, and nothing runs", async () => {
  for (const made of [undefined, null, 17]) {
    const route = numbered({ fingerprint: () => made as unknown as string });
    await assertRejects(
      () => route.ask({ key: KEY }),
      TypeError,
      "the fingerprint",
    );
    assertEquals(route.runs(), 0);
  }
});

Deno.test("a handler may be wrapped without a configuration", async () => {
  const handler = withIdempotency((_req, { idempotency }) =>
    Promise.resolve(Response.json(idempotency.scope))
  );
  const upstream = {
    [CONTEXT_MARK]: true,
    supabaseAdmin: createClient("http://127.0.0.1:9", "sb_secret_x"),
    userClaims: { id: "ada" },
    authMode: "user",
  };
  const req = new Request("http://localhost/orders", { method: "POST" });
  assertEquals(await (await handler(req, upstream)).json(), "orders");
});
