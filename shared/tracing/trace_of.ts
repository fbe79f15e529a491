import type { Origin, RequestContext } from "./request_context.ts";
import { currentScope, type Scope } from "./scope.ts";
import { isTraceId } from "./traceparent.ts";

/** What names a trace: its id, or the request's context, which says more. */
export type TraceName = string | RequestContext;

/**
 * Where work under a trace id belongs: into what runs now, if that is of this
 * trace; else straight under the trace.
 *
 * @throws {TypeError} When it is no trace id.
 */
export function traceOf(trace: TraceName): Scope | Origin {
  const traceId = typeof trace === "string" ? trace : trace.traceId;
  const scope = currentScope();
  if (scope?.traceId === traceId) return scope;
  if (typeof trace !== "string") return trace;
  if (!isTraceId(traceId)) {
    // Not the text itself: whoever mixes up arguments may pass a secret.
    throw new TypeError(
      `Cannot trace this: a trace id is 32 lower-case hexadecimal digits, not a text of ${traceId.length} characters; take it from createRequestContext()`,
    );
  }
  return {
    traceId,
    parent: null,
    tracestate: null,
    correlationId: null,
    hide: (text) => text,
  };
}
