import { createClient } from "@supabase/supabase-js";
import {
  type IdempotencyConfig,
  type IdempotencyContext,
  type Upstream,
  withIdempotency,
} from "../../shared/idempotency.ts";

/** A request to a route in memory. */
export interface RouteRequest {
  /** The key; without one the header is left out. */
  key?: string;
  /** The verified user; `null` for who is none. @default {"ada"} */
  userId?: string | null;
  /** How the caller was let in. @default {"user"} */
  authMode?: string;
  /** @default {"POST"} */
  method?: string;
  /** @default {"http://localhost/orders"} */
  url?: string;
  headers?: Record<string, string>;
  /** @default {"{}"} */
  body?: BodyInit | null;
  /** Whether something has read the body before. */
  isRead?: boolean;
  /** What else earlier middlewares put into the context. */
  context?: object;
}

/** How the middleware engine tells its own contexts from what a runtime passes. */
export const CONTEXT_MARK = Symbol.for("@supabase/middleware:context");

/**
 * A handler behind the middleware, after a stand-in for `withSupabase`: who
 * asks is said by the test. Its `store` is to be in memory; the client in its
 * context reaches nobody.
 */
export function route(
  config: IdempotencyConfig,
  handler: (
    idempotency: IdempotencyContext,
    req: Request,
  ) => Response | Promise<Response>,
): (request: RouteRequest) => Promise<Response> {
  const fetch = withIdempotency(
    config,
    async (req: Request, ctx: { idempotency: IdempotencyContext }) =>
      await handler(ctx.idempotency, req),
  );
  return async (request) => {
    const { key, userId = "ada", authMode = "user", method = "POST" } = request;
    const upstream: Upstream = {
      supabaseAdmin: createClient("http://127.0.0.1:9", "sb_secret_x"),
      userClaims: userId === null ? null : { id: userId },
      authMode,
    };
    const { url = "http://localhost/orders", body = "{}" } = request;
    const req = new Request(url, {
      method,
      headers: {
        ...(key === undefined ? {} : { "Idempotency-Key": key }),
        ...request.headers,
      },
      body: ["GET", "HEAD"].includes(method) ? null : body,
    });
    if (request.isRead) await req.text();
    const seeded = { [CONTEXT_MARK]: true, ...upstream, ...request.context };
    return await fetch(req, seeded);
  };
}
