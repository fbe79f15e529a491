import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  configureSync,
  getConfig,
  getLogger,
  resetSync,
} from "@logtape/logtape";
import { pipeline } from "@supabase/middleware";
import {
  createRequestContext,
  executeDatabaseOperation,
  executeExternalCall,
  executeWithLogging,
  hashUserId,
  logEvent,
  parseTraceparent,
  tracedFetch,
  traceRequest,
  withTracing,
} from "../../../shared/tracing.ts";
import { type Output, withOutput } from "../../support/output.ts";

let output: Output;

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const USER = "7f0c9a52-9d0c-4a31-a4a5-3f5a1e0d8b11";
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

function ask(
  handler: (traceId: string) => Promise<Response>,
  init: RequestInit = {},
): Promise<Response> {
  const fetch = pipeline(
    [withTracing()],
    (_req, { tracing }) => handler(tracing.traceId),
  );
  return fetch(new Request("http://x/functions/v1/orders/17?limit=5", init));
}

const hello = () => Promise.resolve(new Response("hello"));

/** A test of what is logged. */
function testLog(name: string, test: () => void | Promise<void>): void {
  Deno.test(name, async () => {
    await withOutput(async (recorded) => {
      output = recorded;
      await test();
    });
  });
}

testLog(
  "a request makes a line when it comes and one when it is answered",
  async () => {
    const response = await ask(hello, {
      method: "POST",
      headers: { traceparent: TRACEPARENT, "X-Correlation-Id": "basket-7" },
    });
    assertEquals(await response.text(), "hello");
    const [incoming, complete, ...more] = output.lines();
    assertEquals(more, []);
    for (const line of [incoming!, complete!]) {
      assertEquals(
        [line["traceId"], line["parentSpanId"], line["correlationId"]],
        [TRACE, "00f067aa0ba902b7", "basket-7"],
      );
      assertEquals(
        [line["function"], line["method"], line["path"], line["level"]],
        ["orders", "POST", "/functions/v1/orders/17", "INFO"],
      );
    }
    assertEquals(incoming!["message"], "REQUEST_INCOMING");
    assertEquals(complete!["message"], "REQUEST_COMPLETE");
    assertEquals(complete!["status"], 200);
    assert(complete!["durationMs"] >= 0 && complete!["durationMs"] < 60_000);
  },
);

testLog("a caller cannot keep a request out of what is counted", async () => {
  const apikey = "REQUEST_COMPLETE";
  await ask(hello, {
    headers: { apikey, Cookie: "a=REQUEST_INCOMING; b=LOG" },
  });
  assertEquals(output.lines().map((line) => line["message"]), [
    "REQUEST_INCOMING",
    "REQUEST_COMPLETE",
  ]);
});

testLog(
  "what is asserted, or told with its stack, is a line and redacted as well",
  async () => {
    await ask(() => {
      console.assert(true, "not this");
      console.assert(false, "to ada@example.com");
      console.trace("to ben@example.com");
      return hello();
    });
    const lines = output.lines("LOG");
    assertEquals(lines.map((line) => [line["level"], line["text"]]), [
      ["ERROR", "Assertion failed to REDACTED@EMAIL.ADDRESS"],
      ["TRACE", "to REDACTED@EMAIL.ADDRESS"],
    ]);
    assert(lines[1]!["error"]["at"].length > 0);
    assert(!output.text().includes("@example.com"), output.text());
  },
);

testLog(
  "lines are redacted where LogTape is configured after the first request",
  async () => {
    await ask(hello);
    const messages: unknown[] = [];
    configureSync({
      reset: true,
      sinks: {
        messages: (record) => {
          messages.push(...record.message);
          console.log("a sink of the project");
        },
      },
      loggers: [{ category: [], sinks: ["messages"], lowestLevel: "info" }],
    });
    try {
      await ask(() => {
        logEvent("to ada@example.com");
        return hello();
      });
    } finally {
      resetSync();
    }
    assertEquals(messages.filter((message) => /@/.test(`${message}`)), [
      "to REDACTED@EMAIL.ADDRESS",
    ]);
  },
);

testLog("lines go on where LogTape was reset", async () => {
  await ask(hello);
  resetSync();
  await ask(hello);
  assertEquals(output.lines("REQUEST_COMPLETE").length, 2);
});

testLog(
  "what is printed as a table, or in full, is a line and redacted as well",
  async () => {
    await ask(() => {
      console.table([{ email: "ada@example.com" }]);
      console.dir({ password: "hunter2" });
      console.dirxml({ password: "hunter2" });
      return hello();
    });
    assertEquals(output.lines("LOG").map((line) => line["values"]), [
      [[{ email: "[redacted]" }]],
      [{ password: "[redacted]" }],
      [{ password: "[redacted]" }],
    ]);
  },
);

testLog(
  "a value that cannot be read costs its line, not the trace in it",
  async () => {
    const hostile = {
      get value() {
        throw new Error("no");
      },
    };
    const response = await ask(() => {
      console.log("here it is", hostile);
      return hello();
    }, { headers: { traceparent: TRACEPARENT } });
    assertEquals(response.status, 200);
    assertEquals(
      output.lines().map((line) => [line["message"], line["traceId"]]),
      [["REQUEST_INCOMING", TRACE], ["UNREADABLE", TRACE], [
        "REQUEST_COMPLETE",
        TRACE,
      ]],
    );
  },
);

testLog(
  "what cannot be read is given and thrown on as it is, and told as such",
  async () => {
    const row = {
      get data() {
        throw new Error("no");
      },
    };
    logEvent("ROW", row);
    const given = await executeDatabaseOperation(
      TRACE,
      "select",
      "lots",
      () => Promise.resolve(row),
    );
    assert(given === row);
    const thrown = Object.create(null);
    const caught = await executeExternalCall(
      TRACE,
      "payments",
      "GET",
      "/",
      () => Promise.reject(thrown),
    ).catch((error) => error);
    assert(caught === thrown);
    assertEquals(output.lines().map((line) => line["message"]), [
      "ROW",
      "UNREADABLE",
      "EXTERNAL_CALL",
      "UNREADABLE",
    ]);
  },
);

testLog(
  "an answer that was read already is answered for with 500, and the line says so",
  async () => {
    const used = new Response("hello");
    await used.text();
    const response = await ask(() => Promise.resolve(used));
    assertEquals(response.status, 500);
    assert(response.headers.has("x-trace-id"));
    assertEquals(output.lines().at(-1)?.["status"], 500);
  },
);

testLog(
  "the answer names its trace and correlation id, and lets pages read them",
  async () => {
    const { headers } = await ask(hello, {
      headers: { traceparent: TRACEPARENT, "X-Correlation-Id": "basket-7" },
    });
    assertEquals(headers.get("x-trace-id"), TRACE);
    assertEquals(headers.get("x-correlation-id"), "basket-7");
    assertEquals(
      headers.get("access-control-expose-headers"),
      "X-Trace-Id, X-Correlation-Id, X-Original-Trace-Id",
    );
  },
);

testLog(
  "without a traceparent, or with a broken one, a trace begins here",
  async () => {
    const seen = new Set<string>();
    for (
      const traceparent of [undefined, "nonsense", `ff-${TRACEPARENT.slice(3)}`]
    ) {
      const { headers } = await ask(hello, {
        headers: traceparent === undefined ? {} : { traceparent },
      });
      const traceId = headers.get("x-trace-id")!;
      assert(/^[0-9a-f]{32}$/.test(traceId) && traceId !== TRACE);
      seen.add(traceId);
    }
    assertEquals(seen.size, 3);
    assertEquals(output.lines()[0]?.["parentSpanId"], undefined);
  },
);

testLog("incoming: restart begins a trace of one's own", async () => {
  const { headers } = await withTracing({ incoming: "restart" }, hello)(
    new Request("http://x/", { headers: { traceparent: TRACEPARENT } }),
  );
  assert(headers.get("x-trace-id") !== TRACE);
});

testLog(
  "a refusal of a later entry is traced, and keeps what it came with",
  async () => {
    const refusal = Response.redirect("http://x/elsewhere", 303);
    const response = await withTracing({}, () => Promise.resolve(refusal))(
      new Request("http://x/orders"),
    );
    assertEquals(
      [response.status, response.headers.get("location")],
      [303, "http://x/elsewhere"],
    );
    assert(response.headers.has("x-trace-id"));
    assertEquals(output.lines("REQUEST_COMPLETE")[0]?.["status"], 303);
  },
);

testLog("a network error that a handler passes on is passed on", async () => {
  const error = Response.error();
  assert(await ask(() => Promise.resolve(error)) === error);
});

testLog(
  "what cannot be read is logged as that, and disturbs nobody",
  async () => {
    const response = await ask(() => {
      console.log({
        get lot() {
          throw new Error("sealed");
        },
      });
      return hello();
    });
    assertEquals(response.status, 200);
    assertEquals(output.lines("UNREADABLE").length, 1);
  },
);

testLog("a preflight lets pages send the headers of a trace", async () => {
  const preflight = new Response(null, {
    status: 204,
    headers: { "Access-Control-Allow-Headers": "apikey, traceparent" },
  });
  const { headers } = await ask(() => Promise.resolve(preflight), {
    method: "OPTIONS",
  });
  assertEquals(
    headers.get("access-control-allow-headers"),
    "apikey, traceparent, tracestate, x-trace-id, x-correlation-id",
  );
});

testLog(
  "a handler that throws is answered for, and the error is in the log alone",
  async () => {
    const response = await ask(() => {
      throw new Error("no such lot", { cause: new Error("deeper") });
    });
    assertEquals(response.status, 500);
    assertEquals(
      response.headers.get("content-type"),
      "application/problem+json",
    );
    const problem = await response.json();
    assertEquals(
      [problem.code, problem.status, problem.traceId, problem.instance],
      [
        "INTERNAL_ERROR",
        500,
        response.headers.get("x-trace-id"),
        "/functions/v1/orders/17",
      ],
    );
    assert(!JSON.stringify(problem).includes("lot"));
    const [line] = output.lines("REQUEST_COMPLETE");
    assertEquals(
      [line!["level"], line!["status"], line!["error"].message],
      ["ERROR", 500, "no such lot"],
    );
    assertEquals(line!["error"].cause.message, "deeper");
  },
);

testLog(
  "calls and parts are lines of the trace, each under the one it belongs to",
  async () => {
    await ask(async (traceId) => {
      await executeWithLogging("price", traceId, async () => {
        await executeDatabaseOperation(
          traceId,
          "select",
          "lots",
          () => Promise.resolve({ data: [], error: null }),
        );
      });
      await executeExternalCall(
        traceId,
        "payments",
        "POST",
        "/v1/charges?key=secret",
        () => Promise.resolve(new Response(null, { status: 201 })),
      );
      return new Response();
    });
    const [incoming, database, part, external, complete] = output.lines();
    assertEquals(
      [incoming, database, part, external, complete].map((line) =>
        line!["message"]
      ),
      [
        "REQUEST_INCOMING",
        "DATABASE_OPERATION",
        "OPERATION",
        "EXTERNAL_CALL",
        "REQUEST_COMPLETE",
      ],
    );
    assertEquals(database!["parentSpanId"], part!["spanId"]);
    assertEquals(part!["parentSpanId"], incoming!["spanId"]);
    assertEquals(external!["parentSpanId"], incoming!["spanId"]);
    assertEquals(complete!["spanId"], incoming!["spanId"]);
    assertEquals(
      [database!["operation"], database!["table"], database!["ok"]],
      ["select", "lots", true],
    );
    assertEquals(
      [external!["service"], external!["method"], external!["path"]],
      ["payments", "POST", "/v1/charges"],
    );
    assertEquals([external!["status"], external!["ok"]], [201, true]);
    assertEquals(new Set(output.lines().map(({ traceId }) => traceId)).size, 1);
  },
);

testLog(
  "what fails is told with its code, and given back or thrown as it was",
  async () => {
    const failure = new TypeError("no route");
    await ask(async (traceId) => {
      const reply = {
        data: null,
        error: { code: "23505", message: "row-of-ben" },
      };
      const given = await executeDatabaseOperation(
        traceId,
        "insert",
        "lots",
        () => Promise.resolve(reply),
      );
      assert(given === reply);
      const thrown = await assertRejects(() =>
        executeExternalCall(
          traceId,
          "payments",
          "GET",
          "/",
          () => Promise.reject(failure),
        )
      );
      assert(thrown === failure);
      return new Response();
    });
    const [database] = output.lines("DATABASE_OPERATION");
    assertEquals(
      [database!["ok"], database!["code"], database!["level"]],
      [false, "23505", "WARN"],
    );
    assert(!output.text().includes("row-of-ben"));
    const [external] = output.lines("EXTERNAL_CALL");
    assertEquals(
      [external!["ok"], external!["error"].message],
      [false, "no route"],
    );
  },
);

testLog(
  "an external call is handed the trace to send along, and so is a traced fetch",
  async () => {
    const sent: (string | null)[] = [];
    const real = globalThis.fetch;
    globalThis.fetch = (_input, init) => {
      sent.push(new Headers(init?.headers).get("traceparent"));
      assertEquals(new Headers(init?.headers).get("tracestate"), "congo=t61r");
      return Promise.resolve(new Response());
    };
    try {
      await ask(async (traceId) => {
        await executeExternalCall(
          traceId,
          "a",
          "GET",
          "/",
          ({ headers }) => fetch("http://a/", { headers }),
        );
        await tracedFetch("http://b/", { headers: { Accept: "text/plain" } });
        await executeExternalCall(
          traceId,
          "c",
          "GET",
          "/",
          () => tracedFetch(new Request("http://c/")),
        );
        return new Response();
      }, { headers: { traceparent: TRACEPARENT, tracestate: "congo=t61r" } });
    } finally {
      globalThis.fetch = real;
    }
    const lines = output.lines("EXTERNAL_CALL");
    // One for each call, not two for the one that was announced.
    assertEquals(lines.map(({ service }) => service), ["a", "b", "c"]);
    assertEquals(
      sent.map((header) => parseTraceparent(header)),
      lines.map(({ spanId }) => ({ traceId: TRACE, spanId, sampled: true })),
    );
  },
);

testLog(
  "a call of the Data API is told as what it is, however it is written",
  async () => {
    const before = Deno.env.get("SUPABASE_URL");
    const real = globalThis.fetch;
    Deno.env.set("SUPABASE_URL", "http://a.example");
    globalThis.fetch = () => Promise.resolve(new Response());
    try {
      await ask(async () => {
        const lots = "http://a.example/rest/v1/lots";
        await tracedFetch(lots, { method: "post" });
        return await tracedFetch(`${lots}_100%`);
      });
    } finally {
      globalThis.fetch = real;
      if (before === undefined) Deno.env.delete("SUPABASE_URL");
      else Deno.env.set("SUPABASE_URL", before);
    }
    assertEquals(
      output.lines("DATABASE_OPERATION").map(({ operation, table }) => [
        operation,
        table,
      ]),
      [["insert", "lots"], ["select", "lots_100%"]],
    );
  },
);

testLog(
  "whatever prints within a request makes a line of it, later too",
  async () => {
    let settled: Promise<void> | undefined;
    await ask(() => {
      console.warn("almost out of stock", { lots: 3 });
      console.error("Could not sell:", new Error("sold out"));
      getLogger(["shop"]).info("Sold {n}", { n: 2 });
      logEvent("SOLD", { lots: 2 });
      settled = new Promise((resolve) =>
        setTimeout(() => {
          console.log("afterwards");
          resolve();
        }, 5)
      );
      return hello();
    });
    await settled;
    const [, warned, failed, shop, sold, , later] = output.lines();
    assertEquals(
      [warned!["level"], warned!["text"], warned!["values"]],
      ["WARN", "almost out of stock", [{ lots: 3 }]],
    );
    assertEquals(
      [failed!["level"], failed!["error"].message],
      ["ERROR", "sold out"],
    );
    assertEquals([shop!["message"], shop!["logger"]], ["Sold 2", "shop"]);
    assertEquals([sold!["message"], sold!["lots"]], ["SOLD", 2]);
    assertEquals(later!["text"], "afterwards");
    assertEquals(new Set(output.lines().map(({ traceId }) => traceId)).size, 1);
    console.log("outside");
    assert(output.text().endsWith("\noutside"));
  },
);

testLog(
  "what is printed or logged for debugging makes a line too",
  async () => {
    await ask(() => {
      console.debug("asked for", "tea");
      logEvent("LOOKED_UP", { lots: 2 }, "debug");
      logEvent("COMPARED", { lots: 2 }, "trace");
      return hello();
    });
    const [, printed, debugged, traced] = output.lines();
    assertEquals([printed?.["level"], printed?.["text"]], [
      "DEBUG",
      "asked for tea",
    ]);
    assertEquals(debugged?.["message"], "LOOKED_UP");
    assertEquals(traced?.["message"], "COMPARED");
  },
);

testLog("two requests at once keep their traces apart", async () => {
  await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      ask(async (traceId) => {
        await new Promise((resolve) => setTimeout(resolve, n % 3));
        console.log(traceId);
        return new Response();
      })),
  );
  const lines = output.lines("LOG");
  assertEquals(lines.length, 20);
  for (const { text, traceId } of lines) assertEquals(text, traceId);
});

testLog(
  "a handler without the middleware is traced by a context of its own",
  async () => {
    const req = new Request("http://x/", {
      headers: { traceparent: TRACEPARENT, "X-Correlation-Id": "basket-7" },
    });
    const context = createRequestContext(req);
    await executeWithLogging("sell", context, () => Promise.resolve(1));
    const [incoming, complete] = output.lines();
    assertEquals(
      [incoming!["message"], incoming!["operation"], complete!["message"]],
      ["REQUEST_INCOMING", "sell", "REQUEST_COMPLETE"],
    );
    assertEquals(
      [complete!["traceId"], complete!["correlationId"], complete!["ok"]],
      [TRACE, "basket-7", true],
    );
    await traceRequest(req, hello, { name: "shop" });
    assertEquals(output.lines().at(-1)?.["function"], "shop");
  },
);

testLog("work outside of a request is traced by a bare trace id", async () => {
  await executeWithLogging("nightly", TRACE, async () => {
    await executeDatabaseOperation(
      TRACE,
      "delete",
      "lots",
      () => Promise.resolve(),
    );
  });
  const [incoming, database] = output.lines();
  assertEquals([incoming!["traceId"], database!["traceId"]], [TRACE, TRACE]);
  assertEquals(database!["parentSpanId"], incoming!["spanId"]);
});

testLog("what is no trace id is refused without being repeated", () => {
  for (const traceId of ["", "hunter2", TRACE.toUpperCase(), "0".repeat(32)]) {
    const error = assertThrows(
      () => executeWithLogging("x", traceId, () => Promise.resolve()),
      TypeError,
    );
    assert(traceId === "" || !error.message.includes(traceId));
  }
});

for (
  const [kind, given, w3cTraceId] of [
    ["32 hexadecimal digits", TRACE, TRACE],
    ["those in capitals", TRACE.toUpperCase(), TRACE],
    ["a UUID", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736", TRACE],
    [
      "a load balancer's own words",
      "Root=1-67891233-abcdef012345678912345678"
        .replace("=", ":"),
      null,
    ],
    ["a word", "checkout-7", null],
    ["zeros", "0".repeat(32), null],
  ] as const
) {
  testLog(
    `X-Trace-Id of ${kind} names the trace, and is sent along beside a traceparent that is one`,
    async () => {
      const sent: Record<string, string>[] = [];
      const { headers } = await ask(async (traceId) => {
        assertEquals(traceId, given);
        await executeExternalCall(traceId, "a", "GET", "/", (call) => {
          sent.push(call.headers);
          return Promise.resolve(new Response());
        });
        return new Response();
      }, { headers: { "X-Trace-Id": given } });
      assertEquals(headers.get("x-trace-id"), given);
      assertEquals(sent[0]!["X-Trace-Id"], given);
      const told = parseTraceparent(sent[0]!["traceparent"]!)!.traceId;
      if (w3cTraceId !== null) assertEquals(told, w3cTraceId);
      const lines = output.lines();
      assertEquals(lines.length, 3);
      for (const line of lines) {
        assertEquals(line["traceId"], given);
        assertEquals(line["w3cTraceId"], told === given ? undefined : told);
      }
      assertEquals(lines[0]!["parentSpanId"], undefined);
    },
  );
}

testLog(
  "an X-Trace-Id that is none, a secret or beside a traceparent is passed over",
  async () => {
    const key = "a-key-of-mine";
    for (
      const [headers, expected] of [
        [{ "X-Trace-Id": "checkout-7", traceparent: TRACEPARENT }, TRACE],
        [{ "X-Trace-Id": "<script>" }, null],
        [{ "X-Trace-Id": "x".repeat(129) }, null],
        [{ "X-Trace-Id": "4111111111111111" }, null],
        [{ "X-Trace-Id": "eyJhbGciOiJIUzI1NiJ9.e30.x" }, null],
        [{ "X-Trace-Id": key, "Idempotency-Key": key }, null],
      ] as [Record<string, string>, string | null][]
    ) {
      const response = await ask(hello, { headers });
      const traceId = response.headers.get("x-trace-id")!;
      assert(/^[0-9a-f]{32}$/.test(traceId), traceId);
      if (expected !== null) assertEquals(traceId, expected);
    }
    const { headers } = await withTracing({ incoming: "restart" }, hello)(
      new Request("http://x/", { headers: { "X-Trace-Id": TRACE } }),
    );
    assert(headers.get("x-trace-id") !== TRACE);
  },
);

testLog(
  "a trace id of digits alone is never taken for a card number",
  async () => {
    const digits = "41111111111111114111111111111111";
    const { headers } = await ask((traceId) => {
      logEvent("PAID", { originalTraceId: traceId });
      return hello();
    }, { headers: { "X-Trace-Id": digits } });
    assertEquals(headers.get("x-trace-id"), digits);
    const [, paid] = output.lines();
    assertEquals([paid!["traceId"], paid!["originalTraceId"]], [
      digits,
      digits,
    ]);
  },
);

testLog("a database operation tells how many rows it was about", async () => {
  await ask(async (traceId) => {
    const results: unknown[] = [
      { data: [{ id: 1 }, { id: 2 }], error: null },
      { data: { id: 1 }, error: null },
      { data: null, error: null, count: 41 },
      { data: null, error: null, count: null },
      { data: null, error: { code: "23505" } },
      [1, 2, 3],
      Object.assign([], { count: 7 }),
      { rows: [], rowCount: 9 },
      "done",
    ];
    for (const result of results) {
      await executeDatabaseOperation(
        traceId,
        "select",
        "lots",
        () => Promise.resolve(result),
      );
    }
    return new Response();
  });
  assertEquals(
    output.lines("DATABASE_OPERATION").map((line) => line["documentCount"]),
    [2, 1, 41, undefined, undefined, 3, 7, 9, undefined],
  );
});

testLog(
  "an answer of 500 and above is an error in the lines of executeWithLogging too",
  async () => {
    for (const status of [404, 503]) {
      await executeWithLogging(
        "orders",
        TRACE,
        () => Promise.resolve(new Response(null, { status })),
      );
    }
    assertEquals(
      output.lines("REQUEST_COMPLETE").map((line) => [
        line["status"],
        line["ok"],
        line["level"],
      ]),
      [[404, true, "INFO"], [503, false, "ERROR"]],
    );
  },
);

testLog(
  "the lines of executeWithLogging tell method, path, user and status of the request whose context was made, also where it is called by its id",
  async () => {
    const token = `e30.${btoa(JSON.stringify({ sub: USER }))}.x`;
    const serve = async (req: Request, byId: boolean) => {
      const context = createRequestContext(req);
      await Promise.resolve();
      return await executeWithLogging(
        "orders",
        byId ? context.traceId : context,
        () => Promise.resolve(new Response(null, { status: 201 })),
      );
    };
    const ask = (path: string, byId: boolean) =>
      serve(
        new Request(`http://x${path}?token=1`, {
          method: "POST",
          headers: { Authorization: `Bearer ${token}`, "X-Trace-Id": TRACE },
        }),
        byId,
      );
    // At once, and under one trace: each keeps to its own.
    await Promise.all([ask("/a", true), ask("/b", true), ask("/c", false)]);
    for (const event of ["REQUEST_INCOMING", "REQUEST_COMPLETE"]) {
      const lines = output.lines(event);
      assertEquals(lines.map(({ path }) => path).sort(), ["/a", "/b", "/c"]);
      for (const line of lines) {
        assertEquals(
          [line["traceId"], line["operation"], line["method"], line["user"]],
          [TRACE, "orders", "POST", hashUserId(USER)],
        );
        assertEquals(
          line["status"],
          event === "REQUEST_COMPLETE" ? 201 : undefined,
        );
      }
    }
    assert(!output.text().includes(USER));
  },
);

testLog(
  "a project that configured LogTape without a context storage gets our lines and no warnings",
  async () => {
    const before = getConfig();
    const seen: string[] = [];
    configureSync({
      reset: true,
      sinks: { own: ({ message }) => seen.push(message.join("")) },
      loggers: [
        { category: [], sinks: ["own"], lowestLevel: "info" },
        { category: ["logtape", "meta"], lowestLevel: "warning" },
      ],
    });
    try {
      assertEquals((await ask(hello)).status, 200);
    } finally {
      if (before === null) resetSync();
      else configureSync({ ...before, reset: true });
    }
    assertEquals(seen, ["REQUEST_INCOMING", "REQUEST_COMPLETE"]);
  },
);
