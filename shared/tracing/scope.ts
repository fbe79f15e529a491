import { AsyncLocalStorage } from "node:async_hooks";
import type { Context } from "./deps.ts";
import {
  madeContext,
  type Origin,
  type RequestContext,
} from "./request_context.ts";
import { formatTraceparent, isTraceId } from "./trace_context.ts";

/** Where the code that is running now stands in a trace. */
export interface Scope extends
  Pick<
    Origin,
    "traceId" | "w3cTraceId" | "tracestate" | "correlationId" | "hide"
  > {
  /** This part of the work: 16 lower-case hexadecimal digits. */
  readonly spanId: string;
  /** The part that this one belongs to; `null` where the trace begins. */
  readonly parentSpanId: string | null;
  /** Whether the trace is recorded somewhere. */
  readonly sampled: boolean;
  /** Whose request it is, hashed, once that is known; one for all its scopes. */
  readonly who: { user: string | null };
  /** Where OpenTelemetry finds the span of this part. */
  readonly otel: Context;
  /** Whether a line is already to come for the call that is being made. */
  readonly isCall: boolean;
}

const scopes = new AsyncLocalStorage<Scope>();

/** The scope of the code that is running; `undefined` outside of any trace. */
export function currentScope(): Scope | undefined {
  return scopes.getStore();
}

/** Runs `work`, and all that it starts, in a scope. */
export function runInScope<T>(scope: Scope, work: () => T): T {
  return scopes.run(scope, work);
}

/** What each line of a scope tells about it. */
export function scopeFields(scope: Scope): Record<string, string> {
  const { traceId, w3cTraceId, spanId, parentSpanId, correlationId, who } =
    scope;
  return {
    traceId,
    ...(w3cTraceId === traceId ? {} : { w3cTraceId }),
    spanId,
    ...(parentSpanId === null ? {} : { parentSpanId }),
    ...(correlationId === null ? {} : { correlationId }),
    ...(who.user === null ? {} : { user: who.user }),
  };
}

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
  const made = madeContext();
  if (made?.traceId === traceId) return made;
  if (!isTraceId(traceId)) {
    // Not the text itself: whoever mixes up arguments may pass a secret.
    throw new TypeError(
      `Cannot trace this: a trace id is 32 lower-case hexadecimal digits, not a text of ${traceId.length} characters; take it from createRequestContext()`,
    );
  }
  return {
    traceId,
    w3cTraceId: traceId,
    isNamed: true,
    parent: null,
    tracestate: null,
    correlationId: null,
    user: null,
    hide: (text) => text,
  };
}

/**
 * The headers by which another service finds its place in this trace:
 * `traceparent`, `X-Trace-Id`, and `tracestate` where the caller sent one. None
 * outside of a trace.
 */
export function traceHeaders(
  scope: Scope | undefined = currentScope(),
): Record<string, string> {
  if (scope === undefined) return {};
  return {
    traceparent: formatTraceparent({ ...scope, traceId: scope.w3cTraceId }),
    "X-Trace-Id": scope.traceId,
    ...(scope.tracestate === null ? {} : { tracestate: scope.tracestate }),
  };
}
