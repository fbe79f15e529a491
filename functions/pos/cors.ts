import { createMiddleware } from "hono/factory";
import { corsHeaders } from "../../shared/idempotency.ts";

/**
 * CORS as the other functions have it; Supabase's adapter for Hono leaves it to
 * the app. It comes before the authentication, which a preflight cannot have.
 */
export const cors = createMiddleware(async (c, next) => {
  if (c.req.method === "OPTIONS") {
    return new Response(null, { status: 204, headers: corsHeaders });
  }
  await next();
  for (const [name, value] of Object.entries(corsHeaders)) {
    c.res.headers.set(name, value);
  }
  return undefined;
});
