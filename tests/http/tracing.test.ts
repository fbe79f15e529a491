import { assert, assertEquals } from "@std/assert";
import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { refuse } from "../../functions/_kit/refuse.ts";
import {
  corsHeaders,
  flushReplayCounts,
  type IdempotencyConfig,
  type IdempotencyContext,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { StoreError } from "../../functions/_kit/store_error.ts";
import {
  executeDatabaseOperation,
  executeExternalCall,
  executeWithLogging,
  hashUserId,
  logEvent,
  tracedFetch,
  traceMetadata,
  type Tracing,
  withTracing,
} from "../../shared/tracing.ts";
import { codeBlocks } from "../support/documented.ts";
import { type Output, withOutput } from "../support/output.ts";
import { unique } from "../support/probe.ts";
import { type Actor, project, signUp, withStack } from "../support/stack.ts";

let output: Output;
const stack = withStack();

type User = Actor & { userId: string };

let ada: User;
let ben: User;
let toBen: Record<string, unknown>;

Deno.test.beforeAll(async () => {
  [ada, ben] = await Promise.all([signUp(stack()), signUp(stack())]);
  const { data } = await ben.client.rpc("my_recognition_address")
    .throwOnError();
  toBen = {
    recipientAddress: data,
    message: "Thanks",
    category: "craft",
    points: 1,
  };
});

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

function recognise(
  headers: Record<string, string>,
  init: RequestInit = {},
  query = "",
): Promise<Response> {
  return fetch(`${stack().apiUrl}/functions/v1/recognitions${query}`, {
    method: "POST",
    body: JSON.stringify(toBen),
    ...init,
    headers: {
      ...ada.headers,
      "Content-Type": "application/json",
      ...headers,
    },
  });
}

/** Sends a request and reads its answer, so that its lines are written. */
async function settled(response: Promise<Response>) {
  const { status, headers, text } = await response.then(async (answer) => ({
    status: answer.status,
    headers: answer.headers,
    text: await answer.text(),
  }));
  // The outcome is told a turn after the answer.
  await new Promise((resolve) => setTimeout(resolve, 20));
  return { status, headers, text };
}

/**
 * The traceparent of each call that functions make to the Data API meanwhile,
 * but for the counts of replays, which go out some time after theirs.
 */
async function propagated(
  action: () => Promise<unknown>,
): Promise<(string | null)[]> {
  const seen: (string | null)[] = [];
  const real = globalThis.fetch;
  globalThis.fetch = (input, init) => {
    const { pathname } = new URL(input instanceof Request ? input.url : input);
    if (
      pathname.startsWith("/rest/v1/") && !pathname.endsWith("_count_replays")
    ) {
      seen.push(new Headers(init?.headers).get("traceparent"));
    }
    return real(input, init);
  };
  try {
    await action();
  } finally {
    globalThis.fetch = real;
  }
  return seen;
}

/** A test of what is logged. */
function testLog(name: string, test: () => void | Promise<void>): void {
  Deno.test(name, async () => {
    // They are lines of the requests that were counted.
    await flushReplayCounts();
    await withOutput(async (recorded) => {
      output = recorded;
      await test();
    });
  });
}

testLog(
  "every line of a request carries its trace id, those of the ledger too",
  async () => {
    const { headers } = await settled(
      recognise({ traceparent: TRACEPARENT, "Idempotency-Key": unique("key") }),
    );
    assertEquals(headers.get("x-trace-id"), TRACE);
    const lines = output.lines();
    assertEquals(
      // The outcome is told beside the answer, before or after it.
      lines.map(({ message, table }) => table ?? message)
        .filter((what) => what !== "IDEMPOTENCY"),
      [
        "REQUEST_INCOMING",
        "idempotency_claim",
        "send_recognition",
        "idempotency_complete",
        "REQUEST_COMPLETE",
      ],
    );
    assertEquals(output.lines("IDEMPOTENCY")[0]?.["outcome"], "executed");
    for (const line of lines) assertEquals(line["traceId"], TRACE);
    // Known from where the token was verified.
    for (const line of lines.slice(1)) {
      assertEquals(line["user"], hashUserId(ada.userId));
    }
    assertEquals(lines[0]!["user"], undefined);
    for (const line of output.lines("DATABASE_OPERATION")) {
      assertEquals([line["operation"], line["ok"]], ["rpc", true]);
      assertEquals(line["parentSpanId"], lines[0]!["spanId"]);
      assert(line["durationMs"] > 0);
    }
    // Nothing is printed past the log.
    assertEquals(output.text().split("\n").length, lines.length);
  },
);

testLog("the database is handed the trace with each call", async () => {
  const seen = await propagated(() =>
    settled(
      recognise({ traceparent: TRACEPARENT, "Idempotency-Key": unique("key") }),
    )
  );
  assertEquals(
    seen,
    output.lines("DATABASE_OPERATION").map(({ spanId }) =>
      `00-${TRACE}-${spanId}-01`
    ),
  );
  assertEquals(seen.length, 3);
});

testLog("a call of the Data API tells how many rows it was about", async () => {
  await settled(recognise({ "Idempotency-Key": unique("key") }));
  for (const direction of ["sent", "received"]) {
    const { text } = await settled(
      recognise({}, { method: "GET", body: null }, `?direction=${direction}`),
    );
    const { recognitions } = JSON.parse(text);
    const line = output.lines("DATABASE_OPERATION").at(-1)!;
    assertEquals(
      [line["operation"], line["table"], line["documentCount"]],
      ["select", "recognitions", recognitions.length],
    );
    assertEquals(recognitions.length > 0, direction === "sent");
  }
});

testLog(
  "an X-Trace-Id is on every line, on the answer and with the key",
  async () => {
    const key = unique("key");
    const traceId = unique("checkout");
    const { headers } = await settled(
      recognise({ "X-Trace-Id": traceId, "Idempotency-Key": key }),
    );
    assertEquals(headers.get("x-trace-id"), traceId);
    assertEquals(headers.get("x-original-trace-id"), traceId);
    const lines = output.lines();
    assert(lines.length >= 5);
    for (const line of lines) assertEquals(line["traceId"], traceId);
    assertEquals((await metadataOf(key))["traceId"], traceId);
  },
);

testLog(
  "a key keeps the trace of the run that produced its answer, and a replay tells it",
  async () => {
    const key = unique("key");
    const first = await settled(recognise({ "Idempotency-Key": key }));
    const traceId = first.headers.get("x-trace-id")!;
    const { data } = await project(stack()).client.from("idempotency_keys")
      .select("metadata").eq("idempotency_key", key).single().throwOnError();
    assertEquals(data.metadata, {
      traceId,
      correlationId: first.headers.get("x-correlation-id"),
    });
    const calls = await propagated(async () => {
      const replay = await settled(recognise({ "Idempotency-Key": key }));
      assertEquals(replay.headers.get("x-idempotency-replay"), "true");
      assertEquals(replay.headers.get("x-original-trace-id"), traceId);
      assert(replay.headers.get("x-trace-id") !== traceId);
      assertEquals(replay.text, first.text);
    });
    assertEquals(calls.length, 1);
    const line = output.lines("REQUEST_COMPLETE").at(-1);
    assertEquals(line!["user"], hashUserId(ada.userId));
    assertEquals([line!["replayed"], line!["originalTraceId"]], [
      true,
      traceId,
    ]);
    assert(line!["traceId"] !== traceId);
  },
);

testLog("refusals before and behind the key carry the trace too", async () => {
  const refusals = await Promise.all([
    settled(recognise({ "Idempotency-Key": "a b" })),
    settled(recognise({}, { body: "{" })),
    settled(recognise({ Authorization: ada.headers["Authorization"]! }, {
      method: "DELETE",
    })),
  ]);
  assertEquals(refusals.map(({ status }) => status), [400, 400, 405]);
  const complete = output.lines("REQUEST_COMPLETE");
  for (const { headers, status } of refusals) {
    const traceId = headers.get("x-trace-id");
    assert(headers.has("x-correlation-id"));
    assertEquals(
      complete.find((line) => line["traceId"] === traceId)?.["status"],
      status,
    );
  }
});

testLog("a preflight lets a page send a trace along", async () => {
  const { headers } = await settled(recognise({}, {
    method: "OPTIONS",
    body: null,
  }));
  const allowed = headers.get("access-control-allow-headers")!;
  for (
    const name of [
      "traceparent",
      "x-trace-id",
      "x-correlation-id",
      "idempotency-key",
    ]
  ) {
    assert(allowed.includes(name), `${name} is not in ${allowed}`);
  }
});

/** What a handler of a test is given. */
interface Given {
  tracing: Tracing;
  idempotency: IdempotencyContext;
}

/** Serves a handler as a traced, idempotent function, without a server. */
function served(
  handler: (given: Given) => Promise<Response>,
  config: IdempotencyConfig = {},
) {
  const serve = pipeline(
    [
      withTracing({ name: "served" }),
      withSupabase({
        auth: ["user", "secret"],
        cors: { headers: corsHeaders },
        supabaseOptions: { global: { fetch: tracedFetch } },
      }),
      withIdempotency({ scope: "served", metadata: traceMetadata, ...config }),
    ],
    (_req, ctx) => handler(ctx),
  );
  return (headers: Record<string, string>, init: RequestInit = {}) =>
    serve(
      new Request("http://x/served", {
        method: "POST",
        body: "{}",
        ...init,
        headers: {
          apikey: JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS")!).default,
          ...headers,
        },
      }),
    );
}

async function metadataOf(key: string): Promise<Record<string, unknown>> {
  const [row] = await stack().sql<{ metadata: Record<string, unknown> }>(
    "select metadata from public.idempotency_keys where idempotency_key = $1",
    [key],
  );
  return row!.metadata;
}

testLog(
  "a key that runs again is kept with the trace of the later attempt, and what an operator noted",
  async () => {
    const key = unique("key");
    let fails = true;
    const ask = served(() =>
      Promise.resolve(new Response(null, { status: fails ? 500 : 201 }))
    );
    const first = await ask({ "Idempotency-Key": key });
    assertEquals(
      (await metadataOf(key))["traceId"],
      first.headers.get("x-trace-id"),
    );
    await stack().sql(
      `update public.idempotency_keys set metadata = metadata || '{"note": "seen"}'
     where idempotency_key = $1`,
      [key],
    );
    fails = false;
    const second = await ask({ "Idempotency-Key": key });
    assertEquals(second.status, 201);
    assertEquals(await metadataOf(key), {
      traceId: second.headers.get("x-trace-id"),
      correlationId: second.headers.get("x-correlation-id"),
      note: "seen",
    });
  },
);

testLog(
  "metadata that the ledger could not keep is refused before anything runs",
  async () => {
    let runs = 0;
    for (
      const metadata of [
        { note: "x".repeat(2_048) },
        { ids: 17n },
        "text",
      ]
    ) {
      const ask = served(() => {
        runs += 1;
        return Promise.resolve(new Response());
      }, { metadata: () => metadata as Record<string, unknown> });
      const { status } = await ask({ "Idempotency-Key": unique("key") });
      assertEquals(status, 500);
    }
    assertEquals(runs, 0);
  },
);

testLog("the longest metadata that is let through fits the table", async () => {
  const key = unique("key");
  const ones = Array.from({ length: 1_019 }, () => 1);
  const ask = served(() => Promise.resolve(new Response()), {
    metadata: () => ({ ones }),
  });
  const { status } = await ask({ "Idempotency-Key": key });
  assertEquals(status, 200);
  assertEquals(await metadataOf(key), { ones });
});

// What must be in no line, wherever it came in.
const SECRETS = {
  email: "grace.hopper@navy.example",
  card: "4242 4242 4242 4242",
  card2: "5555555555554444",
  password: "correct-horse-battery",
  jwt: "eyJhbGciOiJIUzI1NiJ9.eyJlbWFpbCI6ImdyYWNlQG5hdnkifQ.dGhlLXNpZ25hdHVyZQ",
  apiKey: "sk_live_51Hqk7vQxYzAbCdEf",
  cookie: "c00kie-of-grace",
  key: "grace-order-17",
  opaque: "opaque-bearer-of-grace",
};

function assertNoSecret(more: readonly string[] = []): void {
  const text = output.text();
  for (const secret of [...Object.values(SECRETS), ...more]) {
    const at = text.indexOf(secret);
    assert(at < 0, `printed ${secret}: …${text.slice(at - 150, at + 100)}…`);
  }
}

const EVERYTHING =
  `mail ${SECRETS.email}, card ${SECRETS.card} or ${SECRETS.card2}, password: ${SECRETS.password}, token ${SECRETS.jwt}, key ${SECRETS.apiKey}, order ${SECRETS.key}`;

testLog(
  "no secret of a request to a running function is in a log",
  async () => {
    const token = ada.headers["Authorization"]!.slice("Bearer ".length);
    const key = unique(SECRETS.key);
    const secretHeaders = {
      Cookie: `session=${SECRETS.cookie}`,
      "Idempotency-Key": key,
      "X-Correlation-Id": key,
      "X-Api-Key": SECRETS.apiKey,
      "User-Agent": SECRETS.email,
      Referer: `http://x/?password=${SECRETS.password}`,
    };
    const query = `?password=${SECRETS.password}&email=${
      encodeURIComponent(SECRETS.email)
    }&direction=${encodeURIComponent(EVERYTHING)}`;
    const body = { ...toBen, message: EVERYTHING };
    const asked = [
      recognise(secretHeaders, { body: JSON.stringify(body) }),
      recognise({
        ...secretHeaders,
        "Idempotency-Key": unique("key"),
        "X-Correlation-Id": SECRETS.card2,
      }, { body: JSON.stringify({ ...body, category: EVERYTHING }) }),
      recognise(secretHeaders, { body: EVERYTHING }),
      recognise(secretHeaders, { method: "GET", body: null }, query),
      recognise(
        { ...secretHeaders, "Idempotency-Key": `${SECRETS.key} ` },
        {},
        `/${encodeURIComponent(SECRETS.email)}/${key}/${SECRETS.card2}`,
      ),
      recognise({
        ...secretHeaders,
        Authorization: `Bearer ${SECRETS.opaque}`,
      }),
    ];
    for (const answer of asked) await settled(answer);
    assert(output.lines("REQUEST_COMPLETE").length >= 5);
    assertNoSecret([token, ada.userId]);
  },
);

testLog("no secret is in a log when the database fails", async () => {
  // As a trigger of the project's own would: with the row in its message.
  await stack().sql(
    `create function public.tell_all() returns trigger language plpgsql as $$
     begin
       raise exception 'refused %', new.message using errcode = '57P03', detail = new.message;
     end $$`,
  );
  await stack().sql(
    "create trigger tell_all before insert on public.recognitions for each row execute function public.tell_all()",
  );
  try {
    const key = unique(SECRETS.key);
    const message = EVERYTHING.replace(SECRETS.key, key);
    const answer = await settled(
      recognise({ "Idempotency-Key": key }, {
        body: JSON.stringify({ ...toBen, message }),
      }),
    );
    assertEquals(answer.status, 503);
    const told = output.lines("LOG").map(({ text }) => text).join();
    assert(told.includes("refused") && told.includes("57P03"));
    assertEquals(
      output.lines("DATABASE_OPERATION").find(({ ok }) => !ok)?.["code"],
      "57P03",
    );
    // The local stack tells of answers of 500 and above itself, as a database
    // would in its own log.
    assertNoSecretInLines();
  } finally {
    await stack().sql("drop trigger tell_all on public.recognitions");
    await stack().sql("drop function public.tell_all()");
  }
});

/** As {@link assertNoSecret}, of what functions printed. */
function assertNoSecretInLines(): void {
  const lines = JSON.stringify(output.lines());
  for (const secret of Object.values(SECRETS)) {
    assert(!lines.includes(secret), `a line holds ${secret}`);
  }
}

testLog(
  "no secret is in a log when a handler throws, logs, calls or names its steps by it",
  async () => {
    const provider = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () => Response.json({ error: EVERYTHING }, { status: 402 }),
    );
    const url = `http://127.0.0.1:${provider.addr.port}`;
    const ask = served(async ({ tracing: { traceId }, idempotency }) => {
      console.error(EVERYTHING, { password: SECRETS.password });
      console.log(`%s`, EVERYTHING, [SECRETS.email]);
      logEvent("ORDERED", {
        userId: ada.userId,
        to: EVERYTHING,
        [SECRETS.email]: SECRETS.card,
        headers: { cookie: SECRETS.cookie, authorization: SECRETS.opaque },
      });
      await idempotency.step(`charge ${SECRETS.email}`, () => 1);
      await executeWithLogging(EVERYTHING, traceId, () => Promise.resolve());
      await executeDatabaseOperation(
        traceId,
        "insert",
        EVERYTHING,
        () =>
          Promise.resolve({ error: { code: "23505", message: EVERYTHING } }),
      );
      await executeDatabaseOperation(
        traceId,
        "insert",
        "orders",
        () =>
          Promise.reject(
            new StoreError("Cannot order", { message: EVERYTHING }),
          ),
      ).catch(() => {});
      await executeExternalCall(
        traceId,
        "payments",
        "POST",
        `/v1/${encodeURIComponent(SECRETS.email)}?password=${SECRETS.password}`,
        async ({ headers }) => {
          const answer = await fetch(url, { headers });
          throw new Error(`refused: ${await answer.text()}`, {
            cause: new Error(EVERYTHING),
          });
        },
      ).catch((error) => console.warn("Could not pay", error));
      await (await tracedFetch(
        `${url}/${SECRETS.key}?token=${SECRETS.jwt}`,
        { headers: { Authorization: `Bearer ${SECRETS.opaque}` } },
      )).text();
      throw new Error(EVERYTHING, { cause: { password: SECRETS.password } });
    }, {
      onEvent: (event) => logEvent("IDEMPOTENCY", { ...event }),
    });
    try {
      const response = await ask({ "Idempotency-Key": SECRETS.key });
      assertEquals(response.status, 500);
      const answer = await response.text();
      for (const secret of Object.values(SECRETS)) {
        assert(!answer.includes(secret));
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    } finally {
      await provider.shutdown();
    }
    assert(output.lines().length > 12);
    assertNoSecret([ada.userId]);
    assertEquals(
      output.lines("ORDERED")[0]?.["userId"],
      hashUserId(ada.userId),
    );
    const [outcome] = output.lines("IDEMPOTENCY");
    assertEquals(outcome?.["outcome"], "failed");
  },
);

testLog(
  "no secret is in a log when background work, a renewal or an event listener fails",
  async () => {
    let isAway = false;
    const recorded = Promise.withResolvers<unknown>();
    const real = globalThis.fetch;
    globalThis.fetch = (input, init) => {
      const { pathname } = new URL(
        input instanceof Request ? input.url : input,
      );
      if (isAway && pathname.endsWith("/rpc/idempotency_renew")) {
        return Promise.reject(new Error(EVERYTHING));
      }
      const answer = real(input, init);
      if (pathname.endsWith("/rpc/idempotency_fail")) recorded.resolve(answer);
      return answer;
    };
    const ask = served(async ({ idempotency }) => {
      isAway = true;
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      isAway = false;
      return idempotency.finishLater(
        new Response(null, { status: 202 }),
        () => Promise.reject(new Error(EVERYTHING)),
      );
    }, {
      leaseSeconds: 1,
      onEvent: () => {
        throw new Error(EVERYTHING);
      },
    });
    try {
      const response = await ask({ "Idempotency-Key": SECRETS.key });
      assertEquals(response.status, 202);
      // Three renewals without an answer keep every claim of this process out,
      // those of the next test too, until a call is answered.
      await recorded.promise;
      await new Promise((resolve) => setTimeout(resolve, 100));
    } finally {
      globalThis.fetch = real;
    }
    const told = output.lines("LOG").map(({ text }) => text).join("\n");
    for (
      const what of [
        /Could not renew the lease of the key [0-9a-f]{16}:/,
        /The background part of "served" failed:/,
        /onEvent threw:/,
      ]
    ) assert(what.test(told), `${what} is not in ${told}`);
    const traces = output.lines().map(({ traceId }) => traceId);
    assertEquals(new Set(traces).size, 1);
    assertNoSecret();
  },
);

testLog(
  "without tracing the core still names no key when a renewal fails",
  async () => {
    const fetched = pipeline(
      [
        withSupabase({
          auth: ["user", "secret"],
          supabaseOptions: {
            global: {
              fetch: (input, init) =>
                String(input).endsWith("/rpc/idempotency_renew")
                  ? Promise.reject(new Error("away"))
                  : fetch(input, init),
            },
          },
        }),
        withIdempotency({ scope: "untraced", leaseSeconds: 1 }),
      ],
      async (req) => {
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        return refuse(
          new StoreError("Cannot order", { message: "x" }),
          {},
          req,
        );
      },
    );
    await fetched(
      new Request("http://x/untraced", {
        method: "POST",
        headers: {
          apikey: JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS")!).default,
          "Idempotency-Key": SECRETS.key,
        },
      }),
    );
    const text = output.text();
    assert(
      /Could not renew the lease of the key [0-9a-f]{16}:/.test(text),
      text,
    );
    assertEquals(output.lines(), []);
    assertNoSecret();
  },
);

testLog(
  "the documented queries find the key of a trace and the trace of a key",
  async () => {
    const [byTrace, byKey] = await codeBlocks("recipes/tracing.md", "sql");
    const key = unique("key");
    await settled(
      recognise({ traceparent: TRACEPARENT, "Idempotency-Key": key }),
    );
    const withId = (query: string, id: string) =>
      query.replace(/'…'/, `'${id}'`);
    const found = await stack().sql<{ idempotency_key: string }>(
      withId(byTrace!, TRACE),
    );
    assert(found.some((row) => row.idempotency_key === key));
    assertEquals(
      (await stack().sql<{ trace_id: string }>(withId(byKey!, key))).map((
        row,
      ) => row.trace_id),
      [TRACE],
    );
  },
);
