import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import {
  createIdempotentFetch,
  idempotencyKeyOf,
  type IdempotentFetchOptions,
  type KeyStorage,
  memoryStorage,
} from "../../shared/client.ts";
import { isValidIdempotencyKey } from "../../shared/idempotency.ts";
import {
  type Line,
  lost,
  order,
  ORDERS,
  recorded,
  refused,
  scripted,
} from "../support/scripted_fetch.ts";

const ONCE: IdempotentFetchOptions = { retry: { attempts: 1 } };

/** The keys of two equal requests, the first of which gets `line`. */
async function keysAround(
  line: Line,
  [first, second]: [RequestInit, RequestInit] = [order(), order()],
  options: IdempotentFetchOptions = ONCE,
) {
  const { send, seen } = scripted([line, recorded()], options);
  await send(ORDERS, first).catch(() => {});
  await send(ORDERS, second);
  return seen.map(({ key }) => key!);
}

function as(sub: string): RequestInit {
  const claims = btoa(JSON.stringify({ sub, iat: Math.random() }));
  return { headers: { Authorization: `Bearer e30.${claims}.sig` } };
}

/** Sent on a server, in the name of a user who has a session there. */
function by(session: string): RequestInit {
  return { headers: { cookie: `session=${session}` } };
}

Deno.test("a request gets a key that the server takes", async () => {
  const { send, seen } = scripted([recorded()]);
  const response = await send(ORDERS, order());
  assert(isValidIdempotencyKey(seen[0]!.key));
  assertEquals(idempotencyKeyOf(response), seen[0]!.key!);
});

for (
  const [what, line] of [
    ["an answer that never came", lost()],
    ["401", new Response("", { status: 401 })],
    ["403", new Response("", { status: 403 })],
    ["429", new Response("", { status: 429 })],
    ["503", new Response("", { status: 503 })],
    ["an unknown outcome", refused(409, "OUTCOME_UNKNOWN")],
    ["a request still running", refused(409, "REQUEST_IN_PROGRESS")],
    ["a question", refused(409, "CREDIT_CONFIRMATION_REQUIRED")],
    [
      "503 that says it is not retryable",
      refused(503, "X", {
        retryable: false,
      }),
    ],
  ] as [string, Line][]
) {
  Deno.test(`the key is kept after ${what}`, async () => {
    const [first, second] = await keysAround(line);
    assertEquals(second, first);
  });
}

for (
  const [what, line] of [
    ["an answer that is recorded", recorded()],
    ["a failure that is recorded", recorded({}, 500)],
    [
      "a replay",
      Response.json({}, {
        headers: { "X-Idempotency-Replay": "true" },
      }),
    ],
    ["a success of a function that records nothing", Response.json({})],
    ["a refusal", refused(404, "DOCUMENT_NOT_FOUND")],
    [
      "a refusal of a function that answers in event streams",
      new Response("data: no\n\n", {
        status: 400,
        headers: { "Content-Type": "text/event-stream" },
      }),
    ],
    [
      "a key that was used for another request",
      refused(
        422,
        "IDEMPOTENCY_KEY_REUSED",
      ),
    ],
    [
      "an answer that was too large to keep",
      refused(
        409,
        "RESPONSE_NOT_STORED",
      ),
    ],
  ] as [string, Line][]
) {
  Deno.test(`the same request is a new attempt after ${what}`, async () => {
    const [first, second] = await keysAround(line);
    assertNotEquals(second, first);
  });
}

Deno.test("a refusal by something before the function does not end an attempt that may have taken effect", async () => {
  const { send, seen } = scripted(
    [lost(), new Response("", { status: 404 }), recorded()],
  );
  assertEquals((await send(ORDERS, order())).status, 404);
  await send(ORDERS, order());
  assertEquals(seen[2]!.key, seen[0]!.key);
});

Deno.test("a ledger that is not set up does not end an attempt that may have taken effect", async () => {
  const broken = refused(500, "LEDGER_MISCONFIGURED", { retryable: false });
  const { send, seen } = scripted([lost(), broken, recorded()]);
  assertEquals((await send(ORDERS, order())).status, 500);
  await send(ORDERS, order());
  assertEquals(seen[2]!.key, seen[0]!.key);
});

Deno.test("nor does it end an attempt from before a reload, or one sent by hand", async () => {
  const gone = new Response("", { status: 404 });
  const before = scripted([lost()], ONCE);
  await assertRejects(() => before.send(ORDERS, order()));
  const after = scripted([gone, recorded()], { storage: before.storage });
  await after.send(ORDERS, order());
  await after.send(ORDERS, order());
  assertEquals(after.seen[1]!.key, before.seen[0]!.key);

  const { send, seen } = scripted([lost(), gone, recorded()], ONCE);
  const attempt = await send.attempt(ORDERS, order());
  await assertRejects(() => attempt.send());
  await attempt.send();
  await send(ORDERS, order());
  assertEquals(seen[2]!.key, attempt.key);
});

Deno.test("a refusal for its key ends an attempt that was resumed", async () => {
  const { send, seen } = scripted(
    [lost(), refused(422, "IDEMPOTENCY_KEY_REUSED"), recorded()],
    ONCE,
  );
  await assertRejects(() => send(ORDERS, order()));
  await send(ORDERS, order());
  await send(ORDERS, order());
  assertEquals(seen[1]!.key, seen[0]!.key);
  assertNotEquals(seen[2]!.key, seen[1]!.key);
});

for (
  const [what, one, other] of [
    ["another body", order("1"), order("2")],
    ["no body", order("1"), { method: "POST" }],
    ["another method", order("1"), order("1", { method: "PUT" })],
    ["another file", order(form("a", "1")), order(form("a", "2"))],
    ["a file of another name", order(form("a", "1")), order(form("b", "1"))],
    ["another user", order("1", as("ada")), order("1", as("ben"))],
    ["another user's cookie", order("1", by("ada")), order("1", by("ben"))],
    ["other bytes", order(new Uint8Array([1])), order(new Uint8Array([2]))],
  ] as [string, RequestInit, RequestInit][]
) {
  Deno.test(`a request with ${what} is another attempt`, async () => {
    const [first, second] = await keysAround(lost(), [one, other]);
    assertNotEquals(second, first);
  });
}

for (
  const [what, make] of [
    ["text", () => order("1")],
    ["an equal form", () => order(form("a", "1"))],
    ["an equal file", () => order(new Blob(["1"]))],
    ["equal bytes", () => order(new Uint8Array([1, 2]))],
    ["equal parameters", () => order(new URLSearchParams({ a: "1" }))],
    ["a user whose token was renewed", () => order("1", as("ada"))],
    ["no body", () => ({ method: "DELETE" })],
  ] as [string, () => RequestInit][]
) {
  Deno.test(`a request with ${what} is the same attempt`, async () => {
    const [first, second] = await keysAround(lost(), [make(), make()]);
    assertEquals(second, first);
  });
}

Deno.test("a Request is known again, a form in it too, and is sent as it is", async () => {
  const { send, seen } = scripted([lost(), lost(), recorded()], ONCE);
  const make = () => new Request(ORDERS, order(form("a", "1")));
  await assertRejects(() => send(make()));
  await assertRejects(() => send(make()));
  await send(new Request(ORDERS, order(form("a", "2"))));
  assertEquals(seen[1]!.key, seen[0]!.key);
  assertNotEquals(seen[2]!.key, seen[0]!.key);
  assert(seen[0]!.body.includes('filename="a"'));
});

Deno.test("a Request without a body is sent, also one that only reads", async () => {
  const { send, seen } = scripted([lost(), recorded()], { match: () => true });
  for (const method of ["GET", "DELETE"]) {
    assertEquals((await send(new Request(ORDERS, { method }))).status, 201);
  }
  assertEquals(seen.map(({ method }) => method), ["GET", "GET", "DELETE"]);
});

Deno.test("an attempt of what is no address says so", async () => {
  const { send } = scripted([recorded()]);
  await assertRejects(
    () => send.attempt("/functions/v1/orders", order()),
    TypeError,
    "/functions/v1/orders",
  );
});

Deno.test("another address is another attempt, another fragment is not", async () => {
  const { send, seen } = scripted([lost()], ONCE);
  for (const url of [ORDERS, `${ORDERS}?a=1`, `${ORDERS}#top`]) {
    await assertRejects(() => send(url, order()));
  }
  assertNotEquals(seen[1]!.key, seen[0]!.key);
  assertEquals(seen[2]!.key, seen[0]!.key);
});

Deno.test("an address that its owner changes meanwhile is sent as it was", async () => {
  const client = scripted([recorded()]);
  const url = new URL(ORDERS);
  const sent = ["orders/1", "orders/2"].map((path) => {
    url.pathname = `/functions/v1/${path}`;
    return client.send(url, order());
  });
  await Promise.all(sent);
  assertEquals(client.seen.map(({ url }) => url).sort(), [
    `${ORDERS}/1`,
    `${ORDERS}/2`,
  ]);
});

Deno.test("what does not match goes through as it came, and gets no key", async () => {
  const passed: unknown[] = [];
  const plain = createIdempotentFetch({
    storage: memoryStorage(),
    fetch: (...called) => {
      passed.push(...called);
      return Promise.reject(lost());
    },
  });
  for (
    const [input, init] of [
      [ORDERS, undefined],
      [ORDERS, { method: "GET" }],
      [new URL("http://x/rest/v1/orders"), { method: "POST", body: "{}" }],
      ["http://x/auth/v1/token", { method: "POST" }],
      ["/no/base", { method: "POST" }],
    ] as [string | URL, RequestInit | undefined][]
  ) {
    await assertRejects(() => plain(input, init), TypeError, "reset");
    assertEquals(passed.splice(0), [input, init]);
  }
});

Deno.test("match says what gets a key", async () => {
  const { send, seen } = scripted([recorded()], {
    match: ({ url }) => url.endsWith("/api"),
  });
  await send("http://x/api", order());
  await send(ORDERS, order());
  assertEquals(seen.map(({ key }) => key !== null), [true, false]);
});

for (const name of ["Idempotency-Key", "X-Idempotency-Key"]) {
  Deno.test(`a key that the caller sets in ${name} is kept, over retries too`, async () => {
    const sent: (string | null)[] = [];
    const send = createIdempotentFetch({
      match: () => true,
      storage: memoryStorage(),
      pause: () => Promise.resolve(),
      fetch: (_, init) => {
        const headers = new Headers(init?.headers);
        sent.push(headers.get("Idempotency-Key"));
        sent.push(headers.get("X-Idempotency-Key"));
        return sent.length < 4
          ? Promise.reject(lost())
          : Promise.resolve(recorded());
      },
    });
    await send(ORDERS, order("1", { headers: { [name]: "mine" } }));
    const expected = name.startsWith("X") ? [null, "mine"] : ["mine", null];
    assertEquals(sent, [...expected, ...expected]);
  });
}

Deno.test("a confirmation under the question's key ends the attempt of the question", async () => {
  const { send, seen } = scripted([
    refused(409, "CREDIT_CONFIRMATION_REQUIRED", { retryable: false }),
    recorded(),
  ]);
  const question = await send(ORDERS, order());
  const key = idempotencyKeyOf(question)!;
  const headers = { "Idempotency-Key": key };
  await send(`${ORDERS}?confirm_credit=1`, order(undefined, { headers }));
  await send(ORDERS, order());
  assertEquals(seen[1]!.key, key);
  assertNotEquals(seen[2]!.key, key);
});

Deno.test("an attempt has a key to look at, and keeps it however often it is sent", async () => {
  const { send, seen } = scripted([recorded()]);
  const attempt = await send.attempt(ORDERS, order());
  const { key } = attempt;
  await attempt.send();
  await attempt.send();
  assertEquals(seen.map((one) => one.key), [key, key]);
  await attempt.reset();
  await attempt.send();
  assertNotEquals(seen[2]!.key, key);
  assertEquals(attempt.key, seen[2]!.key!);
});

Deno.test("an attempt that was given up is not resumed by an equal request", async () => {
  const { send, seen } = scripted([lost(), recorded()], ONCE);
  const attempt = await send.attempt(ORDERS, order());
  await assertRejects(() => attempt.send());
  await attempt.reset();
  await send(ORDERS, order());
  assertNotEquals(seen[1]!.key, seen[0]!.key);
  assertEquals(seen[1]!.key, attempt.key);
});

Deno.test("a reload resumes the attempt", async () => {
  const before = scripted([lost()], ONCE);
  await assertRejects(() => before.send(ORDERS, order()));
  const after = scripted([recorded()], { storage: before.storage });
  await after.send(ORDERS, order());
  await after.send(ORDERS, order());
  const [resumed, next] = after.seen;
  assertEquals(resumed!.key, before.seen[0]!.key);
  assertNotEquals(next!.key, resumed!.key);
});

Deno.test("keys are kept in localStorage where nothing else is named", async () => {
  const seen: (string | null)[] = [];
  const load = () =>
    createIdempotentFetch({
      retry: { attempts: 1 },
      fetch(_, init) {
        seen.push(new Headers(init?.headers).get("idempotency-key"));
        return seen.length === 1
          ? Promise.reject(lost())
          : Promise.resolve(recorded());
      },
    });
  await assertRejects(() => load()(ORDERS, order()));
  assertEquals(localStorage.length, 2);
  await load()(ORDERS, order());
  assertEquals(seen[1], seen[0]);
  assertEquals(localStorage.length, 0);
});

Deno.test("a key is kept no longer than the server keeps it", async () => {
  const { send, seen, advance } = scripted([lost()], ONCE);
  await assertRejects(() => send(ORDERS, order()));
  advance(86_399_999);
  await assertRejects(() => send(ORDERS, order()));
  advance(1);
  await assertRejects(() => send(ORDERS, order()));
  await assertRejects(() => send(ORDERS, order()));
  assertEquals(seen[1]!.key, seen[0]!.key);
  assertNotEquals(seen[2]!.key, seen[0]!.key);
  assertEquals(seen[3]!.key, seen[2]!.key);
});

Deno.test("a file larger than the server takes is not read, and known again by nobody", async () => {
  const huge = () =>
    Object.defineProperty(new Blob(["1"]), "size", { value: 2 ** 30 });
  const [first, second] = await keysAround(lost(), [
    order(huge()),
    order(huge()),
  ]);
  assertNotEquals(second, first);
});

Deno.test("what is kept names neither the request nor the user, and is gone with the answer", async () => {
  const items = new Map<string, string>();
  const storage: KeyStorage = {
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, value) => items.set(name, value),
    removeItem: (name) => items.delete(name),
  };
  const { send } = scripted([lost(), recorded()], { ...ONCE, storage });
  await assertRejects(() => send(ORDERS, order("secret", as("muriel"))));
  const kept = JSON.stringify([...items]);
  assertEquals(items.size, 2);
  for (const word of ["secret", "muriel", "orders"]) {
    assert(!kept.includes(word), `${word} is kept`);
  }
  await send(ORDERS, order("secret", as("muriel")));
  assertEquals(items.size, 0);
});

Deno.test("the storage stays bounded, and the oldest keys go first", async () => {
  const items = new Map<string, string>();
  const storage: KeyStorage = {
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, value) => items.set(name, value),
    removeItem: (name) => items.delete(name),
  };
  const { send, seen } = scripted([lost()], { ...ONCE, storage });
  for (let n = 0; n < 103; n++) {
    await assertRejects(() => send(ORDERS, order(`${n}`)));
  }
  assertEquals(items.size, 101);
  await assertRejects(() => send(ORDERS, order("102")));
  await assertRejects(() => send(ORDERS, order("0")));
  assertEquals(seen[103]!.key, seen[102]!.key);
  assertNotEquals(seen[104]!.key, seen[0]!.key);
});

for (
  const [what, storage] of [
    ["takes nothing", { setItem: fail }],
    ["gives nothing", { getItem: fail }],
    ["does nothing", { getItem: fail, setItem: fail, removeItem: fail }],
    ["is asynchronous and fails", {
      getItem: () => Promise.reject(new Error("private mode")),
      setItem: () => Promise.reject(new Error("private mode")),
    }],
    ["holds something else", { getItem: () => '{"a":1}' }],
    ["holds no JSON", { getItem: () => "?" }],
    ["holds a list of something else", { getItem: () => "[null,7]" }],
    ["keeps what it is to remove", { removeItem: fail }],
  ] as [string, Partial<KeyStorage>][]
) {
  Deno.test(`a storage that ${what} breaks no request`, async () => {
    const { send, seen } = scripted([lost(), recorded()], {
      storage: { ...memoryStorage(), ...storage },
    });
    assertEquals((await send(ORDERS, order())).status, 201);
    assertEquals((await send(ORDERS, order())).status, 201);
    assertEquals(seen[1]!.key, seen[0]!.key);
    assertNotEquals(seen[2]!.key, seen[1]!.key);
  });
}

Deno.test("a key that is to be kept for ever is kept", async () => {
  const [first, second] = await keysAround(lost(), undefined, {
    ...ONCE,
    keepMs: Infinity,
  });
  assertEquals(second, first);
});

Deno.test("a storage that does nothing is asked for no memory of what is done", async () => {
  const { set } = Map.prototype;
  const spare = new Set<Map<unknown, unknown>>();
  Map.prototype.set = function (name, value) {
    if (/^idempotency:/.test(`${name}`)) spare.add(this);
    return set.call(this, name, value);
  };
  try {
    const { send } = scripted([recorded()], {
      storage: { getItem: fail, setItem: fail, removeItem: fail },
    });
    for (let n = 0; n < 20; n++) await send(ORDERS, order(`${n}`));
  } finally {
    Map.prototype.set = set;
  }
  assertEquals([...spare].map(({ size }) => size), [0]);
});

Deno.test("an address that is listed leaves nothing behind, on a server that calls one for each user", async () => {
  const { add } = Set.prototype;
  const left: string[] = [];
  Set.prototype.add = function (name: unknown) {
    if (`${name}`.includes("/orders")) left.push(`${name}`);
    return add.call(this, name);
  };
  try {
    const { send } = scripted([recorded()]);
    for (const user of ["ada", "ben"]) await send(`${ORDERS}/${user}`, order());
  } finally {
    Set.prototype.add = add;
  }
  assertEquals(left, []);
});

Deno.test("a storage without room costs the reload, not the attempt", async () => {
  const { send, seen } = scripted([lost(), recorded()], {
    ...ONCE,
    storage: { ...memoryStorage(), setItem: fail },
  });
  await assertRejects(() => send(ORDERS, order()));
  await send(ORDERS, order());
  assertEquals(seen[1]!.key, seen[0]!.key);
});

function fail(): never {
  throw new DOMException("The quota has been exceeded", "QuotaExceededError");
}

function form(name: string, content: string): FormData {
  const form = new FormData();
  form.set("title", "A file");
  form.set("file", new File([content], name, { type: "text/plain" }));
  return form;
}
