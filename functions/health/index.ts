import { withSupabase } from "@supabase/server";
import type { Database } from "../../shared/database.types.ts";
import { checkHealth } from "../../shared/health/check_health.ts";
import { recently } from "../../shared/health/recently.ts";
import { Refusal } from "../../shared/http/refusal.ts";
import { refuse } from "../../shared/http/refuse.ts";

// Anybody may ask, and so often as they like: the database is asked once a second.
const REUSED_MS = 1_000;

const check = recently(checkHealth, REUSED_MS);

export default {
  fetch: withSupabase<Database>(
    { auth: "none", errors: { detailed: false } },
    async (req, { supabaseAdmin }) => {
      try {
        requireGetOrHead(req);
        const health = await check(supabaseAdmin);
        const body = req.method === "HEAD" ? null : JSON.stringify(health);
        return new Response(body, {
          status: health.status === "fail" ? 503 : 200,
          headers: {
            // draft-inadarei-api-health-check
            "Content-Type": "application/health+json",
            "Cache-Control": "no-store",
          },
        });
      } catch (error) {
        return refuse(error, {}, req);
      }
    },
  ),
};

function requireGetOrHead(req: Request): void {
  if (req.method === "GET" || req.method === "HEAD") return;
  throw new Refusal({
    status: 405,
    code: "METHOD_NOT_ALLOWED",
    title: "Method not allowed",
    detail: `This route does not take ${req.method}: send GET or HEAD`,
    headers: { Allow: "GET, HEAD, OPTIONS" },
  });
}
