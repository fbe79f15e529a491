import { AsyncLocalStorage } from "node:async_hooks";
import { looksLikeTraceId, pathOf, redactText } from "./redaction.ts";
import { type HideSecrets, secretsOf, userOf } from "./secrets.ts";
import {
  isTraceId,
  newTraceId,
  parseTraceparent,
  parseTracestate,
  type Traceparent,
} from "./trace_context.ts";

/** Where a trace enters this project. */
export interface Origin {
  /** What lines and answers call the trace. */
  readonly traceId: string;
  /** What a `traceparent` calls it: 32 lower-case hexadecimal digits. */
  readonly w3cTraceId: string;
  /** Whether the caller named it in `X-Trace-Id`. */
  readonly isNamed: boolean;
  /** The caller's span; `null` when the trace begins here. */
  readonly parent: Traceparent | null;
  /** What tracing systems told each other, to be passed on. */
  readonly tracestate: string | null;
  /** What the client calls its undertaking; `null` where there is no client. */
  readonly correlationId: string | null;
  /** Whose request it is, hashed; `null` where nobody is known. */
  readonly user: string | null;
  /** Takes out of a text what the request brought in confidence. */
  readonly hide: HideSecrets;
}

/** What a request brought along for tracing, and what it is given. */
export interface RequestContext extends Origin {
  /** What the client calls its undertaking, or a name made here. */
  readonly correlationId: string;
  readonly method: string;
  /** Without query, and without what may be a secret. */
  readonly path: string;
  /** As the request's token says, which is not verified here; hashed. */
  readonly user: string | null;
  /** `X-Trace-Id` and `X-Correlation-Id`, to be answered with. */
  readonly headers: Readonly<Record<string, string>>;
}

// Printable and without a meaning to any shell, query or markup; as long as two
// UUIDs and a word. An id that does not fit says nothing about a request.
const GIVEN_ID = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/;

// A handler that calls its trace by the id alone means the context it made.
const made = new AsyncLocalStorage<RequestContext>();

/** The context that {@link createRequestContext} made for what runs now. */
export function madeContext(): RequestContext | undefined {
  return made.getStore();
}

/**
 * Reads `traceparent`, `tracestate` (W3C Trace Context), `X-Trace-Id` and
 * `X-Correlation-Id` of a request. Whatever is malformed, or is at the same time
 * one of the request's secrets, is passed over, and an id is made here.
 *
 * `X-Trace-Id` counts where there is no `traceparent`: lines and answers call the
 * trace by it. 32 hexadecimal digits, or a UUID's, are its id in `traceparent` too.
 *
 * Its `traceId` stands for it where this is called, but on Workers: there
 * `executeWithLogging` has to be given the context itself.
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
  options: { incoming?: "accept" | "restart" } = {},
): RequestContext {
  const context = readContext(req, options);
  try {
    made.enterWith(context);
  } catch {
    // Workers have no such thing: there the context itself has to be passed on.
  }
  return context;
}

/** What `createRequestContext` makes, for whoever passes it on. */
export function readContext(
  req: Request,
  { incoming = "accept" }: { incoming?: "accept" | "restart" },
): RequestContext {
  const hide = secretsOf(req);
  const given = (name: string) => {
    const id = req.headers.get(name) ?? "";
    const isClean = GIVEN_ID.test(id) && hide(id) === id &&
      (looksLikeTraceId(id) || redactText(id) === id);
    return isClean ? id : null;
  };
  const continued = incoming === "accept"
    ? parseTraceparent(req.headers.get("traceparent"))
    : null;
  // Who uses one number for both would find a key in each line.
  const parent = continued !== null &&
      hide(continued.traceId) === continued.traceId
    ? continued
    : null;
  const named = incoming === "accept" && parent === null
    ? given("x-trace-id")
    : null;
  const digits = named?.replaceAll("-", "").toLowerCase() ?? "";
  const w3cTraceId = parent?.traceId ??
    (isTraceId(digits) ? digits : newTraceId());
  const traceId = named ?? w3cTraceId;
  const correlationId = given("x-correlation-id") ?? crypto.randomUUID();
  return {
    traceId,
    w3cTraceId,
    isNamed: named !== null,
    parent,
    tracestate: parent && parseTracestate(req.headers.get("tracestate")),
    correlationId,
    method: req.method,
    path: redactText(hide(pathOf(new URL(req.url).pathname))),
    user: userOf(req),
    headers: { "X-Trace-Id": traceId, "X-Correlation-Id": correlationId },
    hide,
  };
}
