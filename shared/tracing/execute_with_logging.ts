import { logEvent } from "./log_event.ts";
import { inSpan, SpanKind } from "./span.ts";
import { type TraceName, traceOf } from "./trace_of.ts";

/**
 * Runs a named piece of work under a trace. Where nothing of that trace runs yet
 * (a job, a queue message, a handler without `withTracing`) it is the request
 * itself, with the lines `REQUEST_INCOMING` and `REQUEST_COMPLETE`; within one it
 * is a part of it, with the line `OPERATION`.
 *
 * @param trace A trace id, or what `createRequestContext` gave, which also brings
 * the correlation id and the caller's span.
 * @throws What `fn` throws.
 * @throws {TypeError} When `trace` is no trace id.
 *
 * @example
 * ```ts
 * import { createRequestContext } from "./request_context.ts";
 * import { executeWithLogging } from "./execute_with_logging.ts";
 *
 * const app = {
 *   fetch(req: Request) {
 *     const context = createRequestContext(req);
 *     return executeWithLogging(
 *       "greet",
 *       context,
 *       () => Promise.resolve(new Response("hello", { headers: context.headers })),
 *     );
 *   },
 * };
 * ```
 */
export function executeWithLogging<T>(
  name: string,
  trace: TraceName,
  fn: () => Promise<T>,
): Promise<T> {
  const parent = traceOf(trace);
  const isPart = "otel" in parent;
  return inSpan(
    parent,
    { name, kind: isPart ? SpanKind.INTERNAL : SpanKind.SERVER },
    async () => {
      if (!isPart) logEvent("REQUEST_INCOMING", { operation: name });
      return await fn();
    },
    ({ durationMs, ...outcome }) => {
      const isFailed = "error" in outcome;
      logEvent(isPart ? "OPERATION" : "REQUEST_COMPLETE", {
        operation: name,
        durationMs,
        ...("value" in outcome && outcome.value instanceof Response
          ? { status: outcome.value.status }
          : {}),
        ...outcomeOf(outcome),
      }, isFailed ? "error" : "info");
      return isFailed;
    },
  );
}

/** Whether it went well, and what went wrong where not. */
export function outcomeOf(
  outcome: { value: unknown } | { error: unknown },
): Record<string, unknown> {
  return "error" in outcome
    ? { ok: false, error: outcome.error }
    : { ok: true };
}
