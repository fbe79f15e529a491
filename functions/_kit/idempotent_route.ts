import type { SupabaseContext } from "@supabase/server";
import type { MiddlewareHandler } from "hono";
import type { Database } from "../../shared/database.types.ts";
import {
  type IdempotencyConfig,
  type IdempotencyContext,
  withIdempotency,
} from "../../shared/idempotency.ts";

/** What a Hono app inside `withSupabase` finds at `c.env`. */
export interface AppEnv {
  Bindings: SupabaseContext<Database>;
  Variables: { idempotency?: IdempotencyContext };
}

/** The same, on a route that is idempotent. */
export interface IdempotentEnv extends AppEnv {
  Variables: { idempotency: IdempotencyContext };
}

type Continue = (idempotency: IdempotencyContext) => Promise<Response>;

/**
 * `withIdempotency` for one route of a Hono app, with a scope, and so a space of
 * keys, of its own.
 *
 * @throws {TypeError} When the configuration is wrong, at once.
 *
 * @example
 * ```ts
 * import { withSupabase } from "@supabase/server";
 * import { Hono } from "hono";
 * import type { Database } from "../../shared/database.types.ts";
 * import { type AppEnv, idempotentRoute } from "./idempotent_route.ts";
 *
 * const app = new Hono<AppEnv>();
 * app.post(
 *   "/orders/:id/refund",
 *   idempotentRoute({ scope: "orders/:id/refund" }),
 *   (c) => c.json({ refunded: c.req.param("id") }),
 * );
 *
 * const edgeFunction = {
 *   fetch: withSupabase<Database>(
 *     { auth: "user" },
 *     async (req, ctx) => await app.fetch(req, ctx),
 *   ),
 * };
 * ```
 */
export function idempotentRoute(
  config:
    & Omit<IdempotencyConfig, "scope">
    & { scope: NonNullable<IdempotencyConfig["scope"]> },
): MiddlewareHandler<IdempotentEnv> {
  const protect = withIdempotency(
    config,
    (_req, ctx: { goOn: Continue; idempotency: IdempotencyContext }) =>
      ctx.goOn(ctx.idempotency),
  );
  return async (c, next) => {
    const goOn: Continue = async (idempotency) => {
      c.set("idempotency", idempotency);
      await next();
      return c.res;
    };
    const response = await protect(c.req.raw, { ...c.env, goOn });
    // Hono would add the headers of the answer that is there to the new one.
    c.res = undefined;
    c.res = response;
  };
}
