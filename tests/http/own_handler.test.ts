import { assertEquals, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { createClient } from "@supabase/supabase-js";
import {
  type HandlerConfig,
  memoryLedger,
  verifiedUser,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { unique } from "../support/probe.ts";
import { anonymous, signUp, withStack } from "../support/stack.ts";

const stack = withStack();

// The headers that Supabase's guide has people keep in `_shared/cors.ts`.
const cors = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Headers":
    "authorization, x-client-info, apikey, content-type",
};

/** A function as people have it: `Deno.serve`, and a client made in it. */
function own(config: Partial<HandlerConfig> = {}) {
  const { apiUrl, publishableKey } = stack();
  let runs = 0;
  const handler = withIdempotency(
    {
      supabase: createClient(apiUrl, publishableKey, {
        auth: { persistSession: false },
      }),
      scope: unique("own"),
      ...config,
    } as HandlerConfig,
    async (req, { idempotency: { attempt } }) => {
      if (req.method === "OPTIONS") {
        return new Response("ok", { headers: cors });
      }
      const order = await req.json();
      return Response.json({ run: ++runs, attempt, order }, {
        status: 201,
        headers: cors,
      });
    },
  );
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    handler,
  );
  const url = `http://127.0.0.1:${server.addr.port}/orders`;
  return {
    async ask(
      headers: Record<string, string>,
      key: string | null,
      body: unknown = { item: 1 },
    ) {
      const keyed = key === null ? {} : { "Idempotency-Key": key };
      const response = await fetch(url, {
        method: "POST",
        headers: { ...headers, ...keyed },
        body: JSON.stringify(body),
      });
      return {
        status: response.status,
        headers: response.headers,
        body: await response.json(),
      };
    },
    preflight: () => fetch(url, { method: "OPTIONS" }),
    runs: () => runs,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("a handler of its own takes effect once for a signed-in user", async () => {
  await using app = own({ cors });
  const { headers } = await signUp(stack());
  const key = unique("key");
  const first = await app.ask(headers, key);
  const retry = await app.ask(headers, key);
  assertEquals(first.body, { run: 1, attempt: 1, order: { item: 1 } });
  assertEquals([retry.status, retry.body], [201, first.body]);
  assertEquals(first.headers.get("x-idempotency-stored"), "true");
  assertEquals(retry.headers.get("x-idempotency-replay"), "true");
  const other = await app.ask(headers, key, { item: 2 });
  assertEquals([other.status, other.body.code], [
    422,
    "IDEMPOTENCY_KEY_REUSED",
  ]);
});

Deno.test("a handler of its own keeps the keys of two users apart", async () => {
  await using app = own();
  const key = unique("key");
  for (const user of [await signUp(stack()), await signUp(stack())]) {
    await app.ask(user.headers, key);
  }
  assertEquals(app.runs(), 2);
});

Deno.test("without a key a handler of its own runs as before, whoever asks", async () => {
  await using app = own();
  const { headers } = anonymous(stack());
  assertEquals((await app.ask(headers, null)).status, 201);
  assertEquals((await app.ask({}, null)).status, 201);
});

// A token that anybody can write must name nobody: its user's keys would be
// open to whoever knows the id.
Deno.test("a handler of its own believes no token that Auth has not signed", async () => {
  await using app = own();
  const { headers } = await signUp(stack());
  const valid = headers["Authorization"]!.slice("Bearer ".length);
  const [head, payload, signature] = valid.split(".") as [
    string,
    string,
    string,
  ];
  const encoded = (value: unknown) =>
    btoa(JSON.stringify(value)).replace(
      /[+/=]/g,
      (sign) => ({ "+": "-", "/": "_" })[sign] ?? "",
    );
  const other = encoded({ sub: crypto.randomUUID(), exp: 9_999_999_999 });
  const tokens = {
    "another payload": `${head}.${other}.${signature}`,
    "no signature": `${encoded({ alg: "none" })}.${payload}.`,
    "a shared secret of the caller's": `${
      encoded({ alg: "HS256", typ: "JWT" })
    }.${other}.${signature}`,
    "an algorithm that is no text": `${encoded({ alg: 1 })}.${payload}.`,
    "no header": `${encoded(null)}.${payload}.${signature}`,
    "no token": "garbage",
    "no JSON": "YQ.YQ.YQ",
    "the publishable key": headers["apikey"]!,
    "two tokens": `${valid} ${valid}`,
  };
  for (const [name, token] of Object.entries(tokens)) {
    const { status, body } = await app.ask(
      { Authorization: `Bearer ${token}` },
      unique("key"),
    );
    assertEquals([name, status, body.code], [name, 403, "CALLER_UNKNOWN"]);
  }
  assertEquals(app.runs(), 0);
});

/** A project's Auth as far as tokens need it: it signs with ES256. */
async function asymmetricAuth() {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
  const jwk = await crypto.subtle.exportKey("jwk", publicKey);
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    ({ url }) =>
      url.endsWith("/jwks.json")
        ? Response.json({ keys: [{ ...jwk, kid: "k", alg: "ES256" }] })
        : Response.json({ code: 403, msg: "bad jwt" }, { status: 403 }),
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    async sign(header: object, claims: object): Promise<string> {
      const text = [{ kid: "k", typ: "JWT", ...header }, claims]
        .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
        .join(".");
      const signature = await crypto.subtle.sign(
        { name: "ECDSA", hash: "SHA-256" },
        privateKey,
        new TextEncoder().encode(text),
      );
      return `${text}.${Buffer.from(signature).toString("base64url")}`;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

for (const throwOnError of [false, true]) {
  Deno.test(`tokens signed with a public key name who they were signed for, throwOnError ${throwOnError}`, async () => {
    await using auth = await asymmetricAuth();
    const user = verifiedUser(
      createClient(auth.url, "key", {
        // Keys are cached in the process under this name.
        auth: { persistSession: false, throwOnError, storageKey: auth.url },
      }),
    );
    const exp = Math.floor(Date.now() / 1000) + 60;
    const ada = { sub: "ada", exp };
    const tokens: [string, object, object, string | null][] = [
      ["valid", { alg: "ES256" }, ada, "ada"],
      ["expired", { alg: "ES256" }, { sub: "ada", exp: 1 }, null],
      ["without an end", { alg: "ES256" }, { sub: "ada" }, null],
      ["without a user", { alg: "ES256" }, { exp }, null],
      ["of another key", { alg: "ES256", kid: "l" }, ada, null],
      ["unsigned", { alg: "none" }, ada, null],
      ["another algorithm", { alg: "RS256" }, ada, null],
      ["the public key as a secret", { alg: "HS256" }, ada, null],
    ];
    for (const [name, header, claims, expected] of tokens) {
      const token = await auth.sign(header, claims);
      const req = new Request("http://x/", {
        headers: { Authorization: `Bearer ${token}` },
      });
      assertEquals([name, await user(req)], [name, expected]);
    }
  });
}

Deno.test("a handler of its own asks to come again where Auth does not answer", async () => {
  await using app = own({
    supabase: createClient("http://127.0.0.1:9", "key"),
    store: memoryLedger(),
  });
  const { headers } = await signUp(stack());
  const { status, body } = await app.ask(headers, unique("key"));
  assertEquals([status, body.retryable], [503, true]);
  assertStringIncludes(body.detail, "Supabase Auth did not answer");
});

Deno.test("a handler of its own asks to come again where Auth has no time or is out of order", async () => {
  for (const status of [429, 500, 503]) {
    await using auth = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () => Response.json({ msg: "later" }, { status }),
    );
    await using app = own({
      supabase: createClient(`http://127.0.0.1:${auth.addr.port}`, "key"),
      store: memoryLedger(),
    });
    const { headers } = await signUp(stack());
    const answer = await app.ask(headers, unique("key"));
    assertEquals([status, answer.status], [status, 503]);
  }
});

Deno.test("with cors a page can read each answer and send the key", async () => {
  await using app = own({ cors });
  const { headers } = await signUp(stack());
  const key = unique("key");
  const answers = [
    await app.ask(headers, key),
    await app.ask(headers, key),
    await app.ask(headers, key, { item: 2 }),
    await app.ask({}, unique("key")),
  ];
  for (const { headers } of answers) {
    assertEquals(headers.get("access-control-allow-origin"), "*");
    assertStringIncludes(
      headers.get("access-control-expose-headers") ?? "",
      "X-Idempotency-Replay",
    );
  }
  const preflight = await app.preflight();
  await preflight.body?.cancel();
  assertEquals(
    preflight.headers.get("access-control-allow-headers"),
    `${
      cors["Access-Control-Allow-Headers"]
    }, idempotency-key, x-idempotency-key`,
  );
});

Deno.test("cors names a header once, and leaves alone what the handler wrote and what it cannot", async () => {
  const exposed = "X-Total";
  const answer = async (written: () => Response) => {
    const handler = withIdempotency({
      user: () => null,
      store: memoryLedger(),
      cors: { ...cors, "Access-Control-Expose-Headers": exposed },
    }, written);
    return await handler(new Request("http://x/"));
  };
  const own = {
    "Access-Control-Allow-Origin": "https://a.example",
    "Access-Control-Expose-Headers": exposed,
  };
  const { headers } = await answer(() => new Response("", { headers: own }));
  assertEquals(headers.get("access-control-allow-origin"), "https://a.example");
  assertEquals(headers.get("access-control-expose-headers"), exposed);
  // Status 0, as that of a socket's 101, is none that can be made.
  assertEquals((await answer(() => Response.error())).type, "error");
});

Deno.test("without cors nothing that the handler does not allow is allowed", async () => {
  await using app = own();
  const { headers } = await app.ask({}, unique("key"));
  assertEquals(headers.get("access-control-allow-origin"), null);
  // The key goes where the handler lets a page's headers in at all.
  const preflight = await app.preflight();
  await preflight.body?.cancel();
  assertStringIncludes(
    preflight.headers.get("access-control-allow-headers") ?? "",
    "content-type, idempotency-key",
  );
});

Deno.test("users may come from elsewhere, and the ledger too", async () => {
  await using app = own({
    supabase: undefined,
    user: (req) => req.headers.get("x-user"),
    store: memoryLedger(),
  });
  const key = unique("key");
  for (const user of ["ada", "ada", "grace"]) {
    assertEquals((await app.ask({ "x-user": user }, key)).status, 201);
  }
  assertEquals(app.runs(), 2);
  assertEquals((await app.ask({}, key)).body.code, "CALLER_UNKNOWN");
});

// As somebody writes it who has a key of their own at some routes only.
Deno.test("an undefined key leaves a handler a handler", async () => {
  await using app = own({
    supabase: undefined,
    user: () => "ada",
    store: memoryLedger(),
    key: undefined,
  });
  const key = unique("key");
  assertEquals((await app.ask({}, key)).body.run, 1);
  assertEquals((await app.ask({}, key)).body.run, 1);
});

Deno.test("what the platform hands over beside a request lets nobody in", async () => {
  const handler = withIdempotency(
    { user: (_, ctx) => ctx.userClaims?.id ?? null, store: memoryLedger() },
    () => Response.json({}),
  );
  const given = [
    { authMode: "secret" },
    { userClaims: { id: "ada" }, authMode: "user" },
    { idempotency: { key: null } },
    "secret",
    null,
  ];
  for (const platform of given) {
    const req = new Request("http://x/orders", {
      method: "POST",
      headers: { "Idempotency-Key": unique("key") },
    });
    const { status, body } = await handler(req, platform);
    await body?.cancel();
    assertEquals([platform, status], [platform, 403]);
  }
});
