import { redactText } from "./redaction.ts";
import { type HideSecrets, secretsOf } from "./secrets.ts";
import {
  newTraceId,
  parseTraceparent,
  parseTracestate,
  type Traceparent,
} from "./trace_context.ts";

/** Where a trace enters this project. */
export interface Origin {
  /** The trace: 32 lower-case hexadecimal digits. */
  readonly traceId: string;
  /** The caller's span; `null` when the trace begins here. */
  readonly parent: Traceparent | null;
  /** What tracing systems told each other, to be passed on. */
  readonly tracestate: string | null;
  /** What the client calls its undertaking; `null` where there is no client. */
  readonly correlationId: string | null;
  /** Takes out of a text what the request brought in confidence. */
  readonly hide: HideSecrets;
}

/** What a request brought along for tracing, and what it is given. */
export interface RequestContext extends Origin {
  /** What the client calls its undertaking, or a name made here. */
  readonly correlationId: string;
  /** `X-Trace-Id` and `X-Correlation-Id`, to be answered with. */
  readonly headers: Readonly<Record<string, string>>;
}

// Printable and without a meaning to any shell, query or markup; as long as two
// UUIDs and a word. An id that does not fit says nothing about a request.
const CORRELATION_ID = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/;

/**
 * Reads `traceparent`, `tracestate` (W3C Trace Context) and `X-Correlation-Id`
 * of a request. Whatever is malformed, or is at the same time one of the
 * request's secrets, is passed over, and an id is made here.
 *
 * @param options.incoming `"restart"` begins a trace of one's own, for callers
 * who are not to choose its id.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createRequestContext } from "./request_context.ts";
 *
 * const req = new Request("http://x/pay", {
 *   headers: {
 *     traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
 *     "X-Correlation-Id": "order-17",
 *   },
 * });
 * assertEquals(createRequestContext(req).headers, {
 *   "X-Trace-Id": "4bf92f3577b34da6a3ce929d0e0e4736",
 *   "X-Correlation-Id": "order-17",
 * });
 * ```
 */
export function createRequestContext(
  req: Request,
  { incoming = "accept" }: { incoming?: "accept" | "restart" } = {},
): RequestContext {
  const hide = secretsOf(req);
  const isClean = (text: string) => redactText(hide(text)) === text;
  const given = incoming === "accept"
    ? parseTraceparent(req.headers.get("traceparent"))
    : null;
  // Who uses one number for both would find a key in each line.
  const parent = given !== null && hide(given.traceId) === given.traceId
    ? given
    : null;
  const named = req.headers.get("x-correlation-id") ?? "";
  const traceId = parent?.traceId ?? newTraceId();
  const correlationId = CORRELATION_ID.test(named) && isClean(named)
    ? named
    : crypto.randomUUID();
  return {
    traceId,
    parent,
    tracestate: parent && parseTracestate(req.headers.get("tracestate")),
    correlationId,
    headers: { "X-Trace-Id": traceId, "X-Correlation-Id": correlationId },
    hide,
  };
}
