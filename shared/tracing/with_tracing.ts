import { defineMiddleware, type Middleware } from "@supabase/middleware";
import { currentScope } from "./scope.ts";
import { traceRequest, type TracingConfig } from "./trace_request.ts";

/** What {@link withTracing} puts at `ctx.tracing`. */
export interface Tracing {
  /** The trace of this request: 32 lower-case hexadecimal digits. */
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
 * import { tracedFetch } from "./traced_fetch.ts";
 * import { withTracing } from "./with_tracing.ts";
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
