import { logEvent } from "./log_event.ts";
import { inSpan, SpanKind } from "./span.ts";
import { type TraceName, traceOf } from "./trace_of.ts";

/** What supabase-js resolves to instead of throwing. */
interface Reply {
  error: { code?: string } | null;
}

/**
 * Runs an operation on the database under a trace, with one line
 * `DATABASE_OPERATION` that tells its duration and how it went. For connections
 * of one's own: calls of a Supabase client that was given `tracedFetch` have
 * their lines already, and within `fn` they make no second one.
 *
 * @param op What is done: `"select"`, `"insert"`, `"rpc"`, …
 * @param table The table or function.
 * @returns What `fn` gives; one of supabase-js's replies with an `error` in it
 * counts as failed.
 * @throws What `fn` throws.
 * @throws {TypeError} When `trace` is no trace id.
 */
export function executeDatabaseOperation<T>(
  trace: TraceName,
  op: string,
  table: string,
  fn: () => PromiseLike<T>,
): Promise<T> {
  return inSpan(
    traceOf(trace),
    {
      name: `${op} ${table}`,
      kind: SpanKind.CLIENT,
      attributes: {
        "db.system.name": "postgresql",
        "db.operation.name": op,
        "db.collection.name": table,
      },
      isCall: true,
    },
    async () => await fn(),
    ({ durationMs, ...outcome }, span) => {
      const failure = "error" in outcome
        ? { error: outcome.error }
        : failureOf(outcome.value);
      if (failure?.code !== undefined) {
        span.setAttribute("db.response.status_code", failure.code);
      }
      logEvent("DATABASE_OPERATION", {
        operation: op,
        table,
        durationMs,
        ok: failure === null,
        ...failure,
      }, failure === null ? "info" : "warning");
      return failure !== null;
    },
  );
}

function failureOf(
  value: unknown,
): { code?: string; error?: unknown } | null {
  if (typeof value !== "object" || value === null || !("error" in value)) {
    return null;
  }
  const { error } = value as Reply;
  // The code alone: a message may quote the row.
  return error === null || error === undefined
    ? null
    : typeof error.code === "string"
    ? { code: error.code }
    : {};
}
