import { assert, assertEquals } from "@std/assert";
import { SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import {
  createRequestContext,
  executeDatabaseOperation,
  executeExternalCall,
  executeWithLogging,
  hashUserId,
  parseTraceparent,
  traceRequest,
} from "../../../shared/tracing.ts";
import { type Output, withOutput } from "../../support/output.ts";

let output: Output;
const exporter = new InMemorySpanExporter();

Deno.test.beforeEach(() => {
  exporter.reset();
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({
      spanProcessors: [new SimpleSpanProcessor(exporter)],
    }),
  );
});
Deno.test.afterEach(() => trace.disable());

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER = "00f067aa0ba902b7";

/** A request with a part, a call to the database in it, and a call outside. */
async function serve(req: Request): Promise<Response> {
  return await traceRequest(req, async () => {
    const { traceId } = output.lines("REQUEST_INCOMING").at(-1)! as {
      traceId: string;
    };
    await executeWithLogging("price", traceId, async () => {
      await executeDatabaseOperation(
        traceId,
        "select",
        "lots",
        () => Promise.resolve({ error: { code: "57014" } }),
      );
    });
    const sent = await executeExternalCall(
      traceId,
      "payments",
      "POST",
      "/v1/charges",
      ({ headers }) => Promise.resolve(new Response(headers["traceparent"])),
    );
    return sent;
  });
}

const spanOf = (name: string) =>
  exporter.getFinishedSpans().find((span) => span.name === name)!;

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
  "the path in a span tells no more than the one in its line",
  async () => {
    const token = `e30.${btoa(JSON.stringify({ sub: "7f0c9a52-user" }))}.x`;
    exporter.reset();
    await traceRequest(
      new Request("http://x/orders/7f0c9a52-user/4111111111111111", {
        headers: { Authorization: `Bearer ${token}` },
      }),
      async () => {
        const { traceId } = output.lines("REQUEST_INCOMING")[0]!;
        return await executeExternalCall(
          traceId,
          "users",
          "GET",
          "/7f0c9a52-user",
          () => Promise.resolve(new Response()),
        );
      },
    );
    const user = `user ${hashUserId("7f0c9a52-user")}`;
    assertEquals(
      exporter.getFinishedSpans().map(({ attributes }) =>
        attributes["url.path"]
      ),
      [`/${user}`, `/orders/${user}/XXXX-XXXX-XXXX-XXXX`],
    );
    assertEquals(
      output.lines().map((line) => line["path"]),
      [
        `/orders/${user}/XXXX-XXXX-XXXX-XXXX`,
        `/${user}`,
        `/orders/${user}/XXXX-XXXX-XXXX-XXXX`,
      ],
    );
  },
);

testLog(
  "request, part and calls are spans, each under the one it belongs to",
  async () => {
    await serve(
      new Request("http://x/orders/17", {
        method: "POST",
        headers: { traceparent: `00-${TRACE}-${CALLER}-01` },
      }),
    );
    const request = spanOf("POST orders");
    const part = spanOf("price");
    const database = spanOf("select lots");
    const external = spanOf("POST payments");
    assertEquals(exporter.getFinishedSpans().length, 4);
    for (const span of [request, part, database, external]) {
      assertEquals(span.spanContext().traceId, TRACE);
    }
    assertEquals(request.parentSpanContext?.spanId, CALLER);
    assertEquals(
      [part, external].map((span) => span.parentSpanContext?.spanId),
      [request.spanContext().spanId, request.spanContext().spanId],
    );
    assertEquals(
      database.parentSpanContext?.spanId,
      part.spanContext().spanId,
    );
    assertEquals(
      [request, part, database, external].map(({ kind }) => kind),
      [SpanKind.SERVER, SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.CLIENT],
    );
    assertEquals(request.attributes, {
      "http.request.method": "POST",
      "url.path": "/orders/17",
      "http.response.status_code": 200,
    });
    assertEquals(database.attributes, {
      "db.system.name": "postgresql",
      "db.operation.name": "select",
      "db.collection.name": "lots",
      "db.response.status_code": "57014",
    });
    assertEquals(database.status.code, SpanStatusCode.ERROR);
    assertEquals(external.status.code, SpanStatusCode.UNSET);
  },
);

testLog("lines, spans and what is sent along name the same ids", async () => {
  const response = await serve(new Request("http://x/orders"));
  const { traceId, spanId } = spanOf("GET orders").spanContext();
  assertEquals(response.headers.get("x-trace-id"), traceId);
  const [incoming] = output.lines("REQUEST_INCOMING");
  assertEquals([incoming!["traceId"], incoming!["spanId"]], [traceId, spanId]);
  const sent = parseTraceparent(await response.text());
  assertEquals(sent, {
    traceId,
    spanId: spanOf("POST payments").spanContext().spanId,
    sampled: true,
  });
});

testLog("a trace id that was handed out already is kept", async () => {
  const context = createRequestContext(new Request("http://x/"));
  await executeWithLogging("sell", context, () => Promise.resolve());
  assertEquals(spanOf("sell").spanContext().traceId, context.traceId);
  await executeWithLogging("nightly", TRACE, () => Promise.resolve());
  assertEquals(spanOf("nightly").spanContext().traceId, TRACE);
});

testLog("a span tells of an error without its secrets", async () => {
  const response = await traceRequest(
    new Request("http://x/orders", {
      headers: { "Idempotency-Key": "lot-17" },
    }),
    () => Promise.reject(new Error("lot-17 of ada@example.com is gone")),
  );
  assertEquals(response.status, 500);
  const { status } = spanOf("GET orders");
  assertEquals(status, {
    code: SpanStatusCode.ERROR,
    message: "Error: [key] of REDACTED@EMAIL.ADDRESS is gone",
  });
});

testLog(
  "without a provider there are no spans, and the ids are made here",
  async () => {
    trace.disable();
    const response = await serve(new Request("http://x/orders"));
    assertEquals(exporter.getFinishedSpans(), []);
    const spanIds = output.lines().map(({ spanId }) => spanId);
    assertEquals(new Set(spanIds).size, 4);
    assert(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/.test(await response.text()));
  },
);

Deno.test("an X-Trace-Id that could be a traceparent's is the spans' own, another one names their trace in the lines", async () => {
  await withOutput(async (recorded) => {
    output = recorded;
    for (const given of [TRACE, "checkout-7"]) {
      exporter.reset();
      await serve(
        new Request("http://x/orders", { headers: { "X-Trace-Id": given } }),
      );
      const ids = new Set(
        exporter.getFinishedSpans().map((span) => span.spanContext().traceId),
      );
      assertEquals(ids.size, 1);
      if (given === TRACE) assert(ids.has(TRACE));
      for (const line of output.lines().slice(-5)) {
        assertEquals(line["traceId"], given);
        assert(ids.has(line["w3cTraceId"] ?? line["traceId"]));
      }
    }
  });
});
