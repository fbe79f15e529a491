import { currentScope, type Scope } from "./scope.ts";
import { formatTraceparent } from "./traceparent.ts";

/**
 * The headers by which another service finds its place in this trace:
 * `traceparent`, and `tracestate` where the caller sent one. None outside of a
 * trace.
 */
export function traceHeaders(
  scope: Scope | undefined = currentScope(),
): Record<string, string> {
  if (scope === undefined) return {};
  return {
    traceparent: formatTraceparent(scope),
    ...(scope.tracestate === null ? {} : { tracestate: scope.tracestate }),
  };
}
