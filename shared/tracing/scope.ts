import { AsyncLocalStorage } from "node:async_hooks";
import type { Context } from "@opentelemetry/api";
import type { HideSecrets } from "./request_secrets.ts";

/** Where the code that is running now stands in a trace. */
export interface Scope {
  /** 32 lower-case hexadecimal digits. */
  readonly traceId: string;
  /** This part of the work: 16 lower-case hexadecimal digits. */
  readonly spanId: string;
  /** The part that this one belongs to; `null` where the trace begins. */
  readonly parentSpanId: string | null;
  /** Whether the trace is recorded somewhere. */
  readonly sampled: boolean;
  /** What tracing systems told each other, to be passed on. */
  readonly tracestate: string | null;
  /** What the client calls its undertaking; `null` outside of a request. */
  readonly correlationId: string | null;
  /** Whose request it is, hashed, once that is known; one for all its scopes. */
  readonly who: { user: string | null };
  /** Where OpenTelemetry finds the span of this part. */
  readonly otel: Context;
  /** Takes out of a text what the request brought in confidence. */
  readonly hide: HideSecrets;
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
  const { traceId, spanId, parentSpanId, correlationId, who } = scope;
  return {
    traceId,
    spanId,
    ...(parentSpanId === null ? {} : { parentSpanId }),
    ...(correlationId === null ? {} : { correlationId }),
    ...(who.user === null ? {} : { user: who.user }),
  };
}
