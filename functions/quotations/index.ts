import { withSupabase } from "@supabase/server";
import type { Database } from "../../shared/database.types.ts";
import { exposeArchived } from "../../shared/archive.ts";
import { corsHeaders } from "../../shared/idempotency.ts";
import { routes } from "./routes.ts";

const headers = exposeArchived({
  ...corsHeaders,
  "Access-Control-Allow-Headers": `${
    corsHeaders["Access-Control-Allow-Headers"]
  }, if-match`,
  "Access-Control-Expose-Headers": `${
    corsHeaders["Access-Control-Expose-Headers"]
  }, ETag, Location`,
});

export default {
  fetch: withSupabase<Database>(
    { auth: "user", cors: { headers } },
    async (req, context) => await routes.fetch(req, context),
  ),
};
