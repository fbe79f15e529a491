import { logEvent } from "./log_event.ts";
import { pathOf } from "./path_of.ts";
import { traceHeaders } from "./trace_headers.ts";
import { inSpan, SpanKind } from "./span.ts";
import { type TraceName, traceOf } from "./trace_of.ts";

/** What {@link executeExternalCall} hands to the call. */
export interface ExternalCall {
  /** `traceparent` and `tracestate`, to be sent along. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Calls another service under a trace, with one line `EXTERNAL_CALL` that tells
 * its duration and how it went. `fn` sends `call.headers` along, or uses
 * `tracedFetch`, which does so by itself.
 *
 * @param service Who is called, for instance `"stripe"`.
 * @param path What of it; a query in it is not logged.
 * @returns What `fn` gives. Of a `Response` the status is told, and 400 and above
 * counts as failed.
 * @throws What `fn` throws.
 * @throws {TypeError} When `trace` is no trace id.
 *
 * @example
 * ```ts
 * import { executeExternalCall } from "./execute_external_call.ts";
 *
 * export function charge(traceId: string, body: string) {
 *   return executeExternalCall(
 *     traceId,
 *     "payments",
 *     "POST",
 *     "/v1/charges",
 *     ({ headers }) =>
 *       fetch("https://payments.example/v1/charges", {
 *         method: "POST",
 *         headers,
 *         body,
 *       }),
 *   );
 * }
 * ```
 */
export function executeExternalCall<T>(
  trace: TraceName,
  service: string,
  method: string,
  path: string,
  fn: (call: ExternalCall) => PromiseLike<T>,
): Promise<T> {
  const shownPath = pathOf(path);
  return inSpan(
    traceOf(trace),
    {
      name: `${method} ${service}`,
      kind: SpanKind.CLIENT,
      attributes: {
        "http.request.method": method,
        "server.address": service,
        "url.path": shownPath,
      },
      isCall: true,
    },
    async (scope) => await fn({ headers: traceHeaders(scope) }),
    ({ durationMs, ...outcome }, span) => {
      const status = "value" in outcome && outcome.value instanceof Response
        ? outcome.value.status
        : undefined;
      if (status !== undefined) {
        span.setAttribute("http.response.status_code", status);
      }
      const isFailed = "error" in outcome || (status ?? 0) >= 400;
      logEvent("EXTERNAL_CALL", {
        service,
        method,
        path: shownPath,
        durationMs,
        ...(status === undefined ? {} : { status }),
        ok: !isFailed,
        ...("error" in outcome ? { error: outcome.error } : {}),
      }, isFailed ? "warning" : "info");
      return isFailed;
    },
  );
}
