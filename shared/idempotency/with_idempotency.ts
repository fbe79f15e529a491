import type { IdempotencyConfig } from "./config.ts";
import type { Middleware } from "./deps.ts";
import {
  type IdempotencyContext,
  idempotencyMiddleware,
  type Upstream,
} from "./middleware.ts";
import {
  type OperationContext,
  type OperationOutcome,
  type OperationResult,
  type OperationRun,
  runOperation,
} from "./operation.ts";

/** The three forms of {@link withIdempotency}. */
export type WithIdempotency =
  & (<Body>(
    context: OperationContext,
    operation: (run: OperationRun) => Promise<OperationResult<Body>>,
  ) => Promise<OperationOutcome<Body>>)
  & Middleware<
    "idempotency",
    IdempotencyConfig | undefined,
    Upstream,
    IdempotencyContext
  >;

/**
 * Lets a request take effect once: every retry under the same key gets the
 * same answer.
 *
 * - `withIdempotency(config)` is an entry for `pipeline` from
 *   `@supabase/middleware`, after `withSupabase`;
 * - `withIdempotency(config, handler)` wraps a handler, inside `withSupabase`;
 * - `withIdempotency({ supabase, userId, route, key }, operation)` wraps a plain
 *   operation, without HTTP. The `key` in it, a string or `null`, tells this
 *   form from the others.
 *
 * @throws {TypeError} When the configuration is wrong, at once.
 *
 * @example The plain operation
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { memoryLedger } from "./memory_ledger.ts";
 * import { withIdempotency } from "./with_idempotency.ts";
 *
 * let orders = 0;
 * const context = {
 *   store: memoryLedger(),
 *   userId: "u1",
 *   route: "orders",
 *   key: "order-17",
 * };
 * const place = () =>
 *   withIdempotency(
 *     context,
 *     () => Promise.resolve({ status: 201, body: { order: ++orders } }),
 *   );
 * assertEquals((await place()).body, { order: 1 });
 * const retry = await place();
 * assertEquals([retry.body, retry.replayed], [{ order: 1 }, true]);
 * ```
 *
 * @example A middleware in a pipeline
 * ```ts
 * import { pipeline } from "@supabase/middleware";
 * import { withSupabase } from "@supabase/server";
 * import { corsHeaders } from "./response.ts";
 * import { withIdempotency } from "./with_idempotency.ts";
 *
 * const app = {
 *   fetch: pipeline(
 *     [
 *       withSupabase({ auth: "user", cors: { headers: corsHeaders } }),
 *       withIdempotency({ scope: "orders", enforcement: "required" }),
 *     ],
 *     async (req, ctx) => {
 *       const order = await req.json();
 *       return Response.json({ order, attempt: ctx.idempotency.attempt });
 *     },
 *   ),
 * };
 * ```
 */
export const withIdempotency: WithIdempotency = ((
  first: object | undefined,
  second?: never,
) =>
  isOperationContext(first)
    ? runOperation(first, second!)
    : second === undefined && typeof first !== "function"
    ? idempotencyMiddleware(first)
    : idempotencyMiddleware(
      first as IdempotencyConfig,
      second!,
    )) as WithIdempotency;

function isOperationContext(value: unknown): value is OperationContext {
  return typeof value === "object" && value !== null && "key" in value &&
    typeof value.key !== "function";
}
