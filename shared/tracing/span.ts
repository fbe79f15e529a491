import {
  type Attributes,
  context,
  createTraceState,
  getConfig,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  withContext,
} from "./deps.ts";
import { logEvent, setUpLogging } from "./log.ts";
import { redactText } from "./redaction.ts";
import type { Origin } from "./request_context.ts";
import { runInScope, type Scope, scopeFields } from "./scope.ts";
import { isTraceId, newSpanId } from "./trace_context.ts";

/** A part of the work that is measured. */
export interface SpanOptions {
  /** Of few kinds, not of one occurrence: `"POST /recognitions"`. */
  readonly name: string;
  readonly kind: SpanKind;
  /** In the names of OpenTelemetry's semantic conventions. */
  readonly attributes?: Attributes;
  /** Whether a line is to come for the call that this is. */
  readonly isCall?: boolean;
  /**
   * Whether a trace that begins here may get its id from OpenTelemetry. Where the
   * id has been handed out already, the span is put under it instead.
   */
  readonly adoptsTraceId?: boolean;
}

/** How a part of the work ended. */
export type Ended<T> =
  & { readonly durationMs: number }
  & ({ readonly value: T } | { readonly error: unknown });

/**
 * Runs `work` as a part of `parent`: in a scope of its own, and as a span where
 * a project has set OpenTelemetry up. Without it the API's own no-op tracer is
 * asked and nothing else happens.
 *
 * @param ended Told how it ended, within the new scope; answers whether it
 * counts as failed.
 */
export async function inSpan<T>(
  parent: Scope | Origin,
  options: SpanOptions,
  work: (scope: Scope) => Promise<T>,
  ended: (outcome: Ended<T>, span: Span) => boolean,
): Promise<T> {
  setUpLogging();
  const { span, scope } = start(parent, options);
  const startedAt = performance.now();
  const end = (outcome: { value: T } | { error: unknown }) => {
    const durationMs = roundMs(performance.now() - startedAt);
    try {
      const isFailed = ended({ ...outcome, durationMs }, span);
      if (isFailed) {
        span.setStatus({
          code: SpanStatusCode.ERROR,
          ...("error" in outcome
            ? { message: redactText(scope.hide(String(outcome.error))) }
            : {}),
        });
      }
    } catch {
      // It cannot be read. The work is done, or has failed, all the same.
      logEvent("UNREADABLE", {}, "warning");
    }
    span.end();
  };
  const measured = () =>
    context.with(scope.otel, async () => {
      try {
        const value = await work(scope);
        end({ value });
        return value;
      } catch (error) {
        end({ error });
        throw error;
      }
    });
  return await runInScope(
    scope,
    () =>
      // A project that configured LogTape without it is warned at each call.
      getConfig()?.contextLocalStorage === undefined
        ? measured()
        : withContext(scopeFields(scope), measured),
  );
}

function start(
  parent: Scope | Origin,
  { name, kind, attributes = {}, isCall = false, adoptsTraceId = false }:
    SpanOptions,
): { span: Span; scope: Scope } {
  const outside = "otel" in parent
    ? parent.otel
    : otelOf(parent, adoptsTraceId);
  const span = trace.getTracer("tracing")
    .startSpan(name, { kind, attributes }, outside);
  const otel = trace.setSpan(outside, span);
  const own = ownIds(span, outside);
  if ("otel" in parent) {
    const spanId = own?.spanId ?? newSpanId();
    const parentSpanId = parent.spanId;
    return { span, scope: { ...parent, spanId, parentSpanId, otel, isCall } };
  }
  const { tracestate, correlationId, hide, user } = parent;
  const w3cTraceId = own?.traceId ?? parent.w3cTraceId;
  return {
    span,
    scope: {
      traceId: parent.isNamed ? parent.traceId : w3cTraceId,
      w3cTraceId,
      spanId: own?.spanId ?? newSpanId(),
      parentSpanId: trace.getSpan(context.active())?.spanContext().spanId ??
        parent.parent?.spanId ?? null,
      sampled: own === null
        // The lines are a record: whoever is called is to keep theirs as well.
        ? parent.parent?.sampled ?? true
        : (own.traceFlags & TraceFlags.SAMPLED) !== 0,
      tracestate,
      correlationId,
      who: { user },
      otel,
      hide,
      isCall,
    },
  };
}

/** The span's ids, where a tracer made any: the no-op one hands back its parent's. */
function ownIds(
  span: Span,
  outside: ReturnType<typeof context.active>,
): SpanContext | null {
  const ids = span.spanContext();
  const parentId = trace.getSpanContext(outside)?.spanId;
  return isTraceId(ids.traceId) && ids.spanId !== parentId ? ids : null;
}

/** What OpenTelemetry is to take for the parent of a request. */
function otelOf(
  { w3cTraceId: traceId, isNamed, parent, tracestate }: Origin,
  adoptsTraceId: boolean,
) {
  const active = context.active();
  // A server that is instrumented itself has read the header already.
  if (trace.getSpan(active) !== undefined) return active;
  if (parent === null && adoptsTraceId && !isNamed) return active;
  // Only through a parent can a span be put under a trace id that is given.
  const { spanId, sampled } = parent ?? { spanId: newSpanId(), sampled: true };
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
    ...(tracestate === null
      ? {}
      : { traceState: createTraceState(tracestate) }),
  });
}

/** Milliseconds, to the microsecond. */
function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
