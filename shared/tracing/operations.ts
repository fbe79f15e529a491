import { getEnv, SpanKind } from "./deps.ts";
import { logEvent } from "./log.ts";
import { pathOf, redactText } from "./redaction.ts";
import type { RequestContext } from "./request_context.ts";
import {
  currentScope,
  traceHeaders,
  type TraceName,
  traceOf,
} from "./scope.ts";
import { decoded } from "./secrets.ts";
import { inSpan } from "./span.ts";

/**
 * Runs a named piece of work under a trace. Where nothing of that trace runs yet
 * (a job, a queue message, a handler without `withTracing`) it is the request
 * itself, with the lines `REQUEST_INCOMING` and `REQUEST_COMPLETE`; within one it
 * is a part of it, with the line `OPERATION`. Where `createRequestContext` made a
 * context for what runs, the lines of a request tell its method, path and user. A
 * `Response` of 500 and above counts as failed.
 *
 * @param trace A trace id, or what `createRequestContext` gave.
 * @throws What `fn` throws.
 * @throws {TypeError} When `trace` is no trace id.
 *
 * @example
 * ```ts
 * import { createRequestContext } from "./request_context.ts";
 * import { executeWithLogging } from "./operations.ts";
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
  const { method, path } = parent as Partial<RequestContext>;
  const request = method === undefined ? {} : { method, path };
  return inSpan(
    parent,
    { name, kind: isPart ? SpanKind.INTERNAL : SpanKind.SERVER },
    async () => {
      if (!isPart) {
        logEvent("REQUEST_INCOMING", { operation: name, ...request });
      }
      return await fn();
    },
    ({ durationMs, ...outcome }) => {
      const status = "value" in outcome && outcome.value instanceof Response
        ? outcome.value.status
        : undefined;
      const isFailed = "error" in outcome || (status ?? 0) >= 500;
      logEvent(isPart ? "OPERATION" : "REQUEST_COMPLETE", {
        operation: name,
        ...request,
        durationMs,
        ...(status === undefined ? {} : { status }),
        ok: !isFailed,
        ...("error" in outcome ? { error: outcome.error } : {}),
      }, isFailed ? "error" : "info");
      return isFailed;
    },
  );
}

/** What supabase-js resolves to instead of throwing. */
interface Reply {
  error: { code?: string } | null;
}

/**
 * How many rows an operation gave or changed, as far as what it gave tells: of
 * supabase-js the `data`, or the `count` where that was asked for; of `pg` the
 * `rowCount`; of postgres.js the `count` of its list; of anything else that is a
 * list its length.
 */
function documentCountOf(value: unknown): number | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { rowCount, count, data } = value as Record<string, unknown>;
  for (const told of [rowCount, count]) {
    if (typeof told === "number") return told;
  }
  if (Array.isArray(value)) return value.length;
  if (Array.isArray(data)) return data.length;
  return typeof data === "object" && data !== null ? 1 : undefined;
}

/**
 * Runs an operation on the database under a trace, with one line
 * `DATABASE_OPERATION` that tells its duration, how it went and, as
 * `documentCount`, how many rows it was about. For connections of one's own:
 * calls of a Supabase client that was given `tracedFetch` have their lines
 * already, and within `fn` they make no second one.
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
      const documentCount = failure === null && "value" in outcome
        ? documentCountOf(outcome.value)
        : undefined;
      if (documentCount !== undefined) {
        span.setAttribute("db.response.returned_rows", documentCount);
      }
      logEvent("DATABASE_OPERATION", {
        operation: op,
        table,
        durationMs,
        ok: failure === null,
        ...(documentCount === undefined ? {} : { documentCount }),
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

/** What {@link executeExternalCall} hands to the call. */
export interface ExternalCall {
  /** `traceparent`, `tracestate` and `X-Trace-Id`, to be sent along. */
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
 * import { executeExternalCall } from "./operations.ts";
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
  const parent = traceOf(trace);
  const shownPath = redactText(parent.hide(pathOf(path)));
  return inSpan(
    parent,
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

/**
 * `fetch`, with the trace in it: each call sends `traceparent` and `X-Trace-Id`
 * and makes a line, `DATABASE_OPERATION` where it goes to this project's Data
 * API, `EXTERNAL_CALL` elsewhere. Outside of a trace it is `fetch`.
 *
 * Given to a Supabase client it covers all that the client does, the ledger's
 * calls included:
 * `withSupabase({ auth: "user", supabaseOptions: { global: { fetch: tracedFetch } } })`.
 */
export const tracedFetch: typeof fetch = async (input, init) => {
  const scope = currentScope();
  if (scope === undefined) return await fetch(input, init);
  const url = new URL(input instanceof Request ? input.url : input);
  // As fetch() sends it.
  const method = (init?.method ??
    (input instanceof Request ? input.method : "GET")).toUpperCase();
  const headers = new Headers(
    init?.headers ?? (input instanceof Request ? input.headers : undefined),
  );
  const send = () => {
    for (const [name, value] of Object.entries(traceHeaders())) {
      headers.set(name, value);
    }
    return fetch(input, { ...init, headers });
  };
  // Somebody who knows more about this call writes its line.
  if (scope.isCall) return await send();
  const operation = databaseOperation(url, method, headers);
  if (operation === null) {
    return await executeExternalCall(
      scope.traceId,
      url.host,
      method,
      url.pathname,
      send,
    );
  }
  const { op, table } = operation;
  let response: Response | undefined;
  await executeDatabaseOperation(scope.traceId, op, table, async () => {
    response = await send();
    return response.ok
      ? { error: null, count: rowsOf(response) }
      : { error: await errorOf(response) };
  });
  return response!;
};

const WRITES: Record<string, string> = {
  POST: "insert",
  PUT: "upsert",
  PATCH: "update",
  DELETE: "delete",
};

/** What a call of this project's Data API does, and to which table or function. */
function databaseOperation(
  url: URL,
  method: string,
  headers: Headers,
): { op: string; table: string } | null {
  const base = getEnv("SUPABASE_URL");
  if (base === undefined || new URL(base).origin !== url.origin) return null;
  const [, isRpc, name] = /^\/rest\/v1\/(rpc\/)?([^/]+)$/.exec(url.pathname) ??
    [];
  if (name === undefined) return null;
  const table = decoded(name);
  if (isRpc !== undefined) return { op: "rpc", table };
  const isUpsert = headers.get("prefer")?.includes("resolution=") ?? false;
  return { op: isUpsert ? "upsert" : WRITES[method] ?? "select", table };
}

/** Rows of an answer of the Data API: `Content-Range: 0-24/3573458`, or `*`, none. */
function rowsOf({ status, headers }: Response): number | undefined {
  const [, first, last] =
    /^(?:(\d+)-(\d+)|\*)\//.exec(headers.get("content-range") ?? "") ?? [];
  return first === undefined
    ? headers.has("content-range") && status === 200 ? 0 : undefined
    : Number(last) - Number(first) + 1;
}

/** The code that the database gave, without its words. */
async function errorOf(response: Response): Promise<{ code?: string }> {
  try {
    const { code } = await response.clone().json();
    return typeof code === "string" ? { code } : { code: `${response.status}` };
  } catch {
    return { code: `${response.status}` };
  }
}
