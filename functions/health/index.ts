import { withSupabase } from "@supabase/server";
import type { Database } from "../../shared/database.types.ts";
import { requireMethod } from "../_kit/read_request.ts";
import { refuse } from "../_kit/refuse.ts";
import { checkHealth, recently } from "./check_health.ts";

// Anybody may ask, and so often as they like: the database is asked once a second.
const REUSED_MS = 1_000;

const check = recently(checkHealth, REUSED_MS);

export default {
  fetch: withSupabase<Database>(
    { auth: "none", errors: { detailed: false } },
    async (req, { supabaseAdmin }) => {
      try {
        requireMethod(req, "GET");
        const health = await check(supabaseAdmin);
        return new Response(JSON.stringify(health), {
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
