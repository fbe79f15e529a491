import { defineMiddleware, type Middleware, SpanKind } from "./deps.ts";
import { logEvent } from "./log.ts";
import { pathOf } from "./redaction.ts";
import { readContext } from "./request_context.ts";
import { currentScope, type Scope } from "./scope.ts";
import { hashUserId } from "./secrets.ts";
import { inSpan } from "./span.ts";

/** What {@link withTracing} puts at `ctx.tracing`. */
export interface Tracing {
  /** What lines and answers call the trace of this request. */
  readonly traceId: string;
  /** What the client calls its undertaking, or a name made here. */
  readonly correlationId: string;
}

type Handler = (req: Request, ctx: object) => Promise<Response>;

const putContext = defineMiddleware<
  "tracing",
  undefined,
  Record<never, never>,
  Tracing
>({
  key: "tracing",
  run: () => () => {
    const { traceId, correlationId } = currentScope()!;
    return Promise.resolve({
      tracing: { traceId, correlationId: correlationId! },
    });
  },
});

/**
 * Traces the requests of a function: the first entry of a pipeline, so that
 * refusals and replays of those after it carry the trace too.
 *
 * - `withTracing(config)` is an entry for `pipeline` from `@supabase/middleware`;
 * - `withTracing(config, handler)` wraps a handler.
 *
 * See `traceRequest` for what it does, and `tracedFetch` for the calls to the
 * database.
 *
 * @example
 * ```ts
 * import { pipeline } from "@supabase/middleware";
 * import { withSupabase } from "@supabase/server";
 * import { tracedFetch } from "./operations.ts";
 * import { withTracing } from "./trace_request.ts";
 *
 * const app = {
 *   fetch: pipeline(
 *     [
 *       withTracing(),
 *       withSupabase({
 *         auth: "user",
 *         supabaseOptions: { global: { fetch: tracedFetch } },
 *       }),
 *     ],
 *     (_req, { tracing }) =>
 *       Promise.resolve(Response.json({ traceId: tracing.traceId })),
 *   ),
 * };
 * ```
 */
export const withTracing: Middleware<
  "tracing",
  TracingConfig | undefined,
  Record<never, never>,
  Tracing
> =
  ((first?: TracingConfig | Handler, second?: Handler) =>
    typeof first === "function"
      ? traced({}, first)
      : second === undefined
      ? (handler: Handler) => traced(first, handler)
      : traced(first, second)) as typeof withTracing;

// Not by the generator form of defineMiddleware: what comes after a `yield` is
// not run by the generator, and so would not be in the scope it is in.
function traced(config: TracingConfig | undefined, handler: Handler) {
  const inner = putContext(handler) as Handler;
  return (req: Request, ctx: object) =>
    traceRequest(req, (req) => inner(req, ctx), config);
}

/** How the requests of a function are traced. */
export interface TracingConfig {
  /**
   * What the function is called in its lines.
   *
   * @default {"the first part of the path"}
   */
  name?: string;
  /**
   * Whether a caller's `traceparent` or `X-Trace-Id` is continued, or a trace of
   * one's own is begun, for callers who are not to choose its id.
   *
   * @default {"accept"}
   */
  incoming?: "accept" | "restart";
}

const ORIGINAL_TRACE = "X-Original-Trace-Id";

const ASKED = ["traceparent", "tracestate", "x-trace-id", "x-correlation-id"];

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
  // Whose it is, is said by withTracedUser, behind what verifies the token.
  const context = { ...readContext(req, { incoming }), user: null };
  const { method, path, correlationId } = context;
  let scope: Scope | undefined;
  const withIds = (response: Response) =>
    answered(response, {
      "X-Trace-Id": scope!.traceId,
      "X-Correlation-Id": correlationId,
    });
  try {
    return await inSpan(context, {
      name: `${method} ${name}`,
      kind: SpanKind.SERVER,
      attributes: { "http.request.method": method, "url.path": path },
      adoptsTraceId: true,
    }, async (inner) => {
      scope = inner;
      logEvent("REQUEST_INCOMING", { function: name, method, path });
      return withIds(await handle(req));
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
    return withIds(failureResponse(req, scope.traceId));
  }
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

/**
 * The answer to a request whose handler threw: a problem document (RFC 9457)
 * with the trace id to ask about. What went wrong is in the log and nowhere else.
 */
function failureResponse(req: Request, traceId: string): Response {
  const body = {
    type: "urn:problem-type:internal-error",
    title: "Internal error",
    status: 500,
    detail:
      `The function failed: send the same request again later, or report the trace id ${traceId}`,
    instance: new URL(req.url).pathname,
    code: "INTERNAL_ERROR",
    retryable: true,
    traceId,
  };
  return new Response(JSON.stringify(body), {
    status: body.status,
    headers: {
      "Content-Type": "application/problem+json",
      // The handler's own CORS headers are lost with its answer, and a page
      // that may not read this one cannot tell it from a broken network.
      "Access-Control-Allow-Origin": "*",
    },
  });
}

/** What `withSupabase` put there, as far as this entry uses it. */
interface Upstream {
  /** The verified token's identity; `null` when there was no token. */
  userClaims: { id: string } | null;
}

/**
 * Tells in the lines of a request whose it is, from here on: `user`, hashed as
 * `hashUserId` does it. An entry for `pipeline`, behind `withSupabase`, which
 * verified the token.
 */
export const withTracedUser: Middleware<
  "tracedUser",
  undefined,
  Upstream,
  string | null
> = defineMiddleware<"tracedUser", undefined, Upstream, string | null>({
  key: "tracedUser",
  run: () => (_req, { userClaims }) => {
    const tracedUser = userClaims && hashUserId(userClaims.id);
    const scope = currentScope();
    if (scope !== undefined) scope.who.user = tracedUser;
    return Promise.resolve({ tracedUser });
  },
});
