import { failureResponse } from "./failure_response.ts";
import { logEvent } from "./log_event.ts";
import { pathOf } from "./path_of.ts";
import { createRequestContext } from "./request_context.ts";
import { currentScope, type Scope } from "./scope.ts";
import { inSpan, SpanKind } from "./span.ts";

/** How the requests of a function are traced. */
export interface TracingConfig {
  /**
   * What the function is called in its lines.
   *
   * @default {"the first part of the path"}
   */
  name?: string;
  /**
   * Whether a caller's `traceparent` is continued, or a trace of one's own is
   * begun, for callers who are not to choose its id.
   *
   * @default {"accept"}
   */
  incoming?: "accept" | "restart";
}

const ORIGINAL_TRACE = "X-Original-Trace-Id";

const ASKED = ["traceparent", "tracestate", "x-correlation-id"];

const ANSWERED = ["X-Trace-Id", "X-Correlation-Id", ORIGINAL_TRACE];

/**
 * Serves a request in a trace, the plain form of `withTracing`: the lines
 * `REQUEST_INCOMING` and `REQUEST_COMPLETE`, and `X-Trace-Id` and
 * `X-Correlation-Id` on whatever is answered. A handler that throws is answered
 * for with 500 `INTERNAL_ERROR`; the error is in the log, redacted.
 *
 * `REQUEST_COMPLETE` comes when the answer is ready; its body may still be
 * streaming then.
 *
 * @example
 * ```ts
 * import { traceRequest } from "./trace_request.ts";
 *
 * const app = {
 *   fetch: (req: Request) =>
 *     traceRequest(req, () => Promise.resolve(new Response("hello"))),
 * };
 * ```
 */
export async function traceRequest(
  req: Request,
  handle: (req: Request) => Promise<Response>,
  { name = functionOf(req), incoming = "accept" }: TracingConfig = {},
): Promise<Response> {
  const context = createRequestContext(req, { incoming });
  const { method } = req;
  const path = pathOf(new URL(req.url).pathname);
  let scope: Scope | undefined;
  let response: Response;
  try {
    response = await inSpan(context, {
      name: `${method} ${name}`,
      kind: SpanKind.SERVER,
      attributes: { "http.request.method": method, "url.path": path },
      adoptsTraceId: true,
    }, async (inner) => {
      scope = inner;
      logEvent("REQUEST_INCOMING", { function: name, method, path });
      return await handle(req);
    }, ({ durationMs, ...outcome }, span) => {
      const status = "value" in outcome ? outcome.value.status : 500;
      span.setAttribute("http.response.status_code", status);
      logEvent(
        "REQUEST_COMPLETE",
        {
          function: name,
          method,
          path,
          status,
          durationMs,
          ...("value" in outcome
            ? replayOf(outcome.value)
            : { error: outcome.error }),
        },
        status >= 500 ? "error" : "info",
      );
      return status >= 500;
    });
  } catch (error) {
    // Thrown on, it would be printed by the platform, secrets and all.
    if (scope === undefined) throw error;
    response = failureResponse(req, scope.traceId);
  }
  return answered(response, {
    "X-Trace-Id": scope!.traceId,
    "X-Correlation-Id": context.correlationId,
  });
}

/**
 * Names the trace of this run on an answer, in `X-Original-Trace-Id`. An answer
 * that is recorded takes it along: whoever gets it again, and the
 * `REQUEST_COMPLETE` line about it, is told the trace of the run that produced it.
 */
export function stampTrace(response: Response): Response {
  const scope = currentScope();
  return scope === undefined
    ? response
    : answered(response, { [ORIGINAL_TRACE]: scope.traceId });
}

/**
 * What to keep with a record of this request, so that it can be found by its
 * trace: `{ traceId, correlationId }`; nothing outside of a trace.
 */
export function traceMetadata(): Record<string, string> {
  const scope = currentScope();
  if (scope === undefined) return {};
  const { traceId, correlationId } = scope;
  return { traceId, ...(correlationId === null ? {} : { correlationId }) };
}

/** Of an answer given again: whose it was, as far as the answer tells. */
function replayOf({ headers }: Response): Record<string, unknown> {
  if (!headers.has("x-idempotency-replay")) return {};
  const originalTraceId = headers.get(ORIGINAL_TRACE);
  return {
    replayed: true,
    ...(originalTraceId === null ? {} : { originalTraceId }),
  };
}

function answered(
  original: Response,
  headers: Readonly<Record<string, string>>,
): Response {
  // No answer but an upgraded connection or a network error: none can be made.
  if (original.status < 200) return original;
  // One that comes from fetch() cannot be written to.
  const response = new Response(original.body, original);
  for (const [name, value] of Object.entries(headers)) {
    response.headers.set(name, value);
  }
  addNames(response, "Access-Control-Expose-Headers", ANSWERED);
  if (response.headers.has("Access-Control-Allow-Headers")) {
    addNames(response, "Access-Control-Allow-Headers", ASKED);
  }
  return response;
}

/** Lets a page on another origin send, or read, these headers as well. */
function addNames(
  { headers }: Response,
  list: string,
  names: readonly string[],
): void {
  const present = headers.get(list)?.split(/,\s*/) ?? [];
  headers.set(list, [...new Set([...present, ...names])].join(", "));
}

/** `/recognitions/7` on the platform, `/functions/v1/…` behind a proxy. */
function functionOf(req: Request): string {
  const path = new URL(req.url).pathname.replace(/^\/functions\/v1(?=\/)/, "");
  return pathOf(path.split("/")[1] ?? "") || "default";
}
