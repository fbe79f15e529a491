// deno-lint-ignore-file no-import-prefix no-unversioned-import
import { pipeline } from "npm:@supabase/middleware@0.6.0";
import { withSupabase } from "npm:@supabase/server@1.8.1";
import {
  corsHeaders,
  memoryLedger,
  withIdempotency,
} from "npm:supabase-idempotency";

const store = memoryLedger();
let orders = 0;

export default {
  fetch: pipeline(
    [
      withSupabase({ auth: "secret", cors: { headers: corsHeaders } }),
      withIdempotency({ scope: "orders", store }),
    ],
    async (request) => {
      const { item } = await request.json();
      return Response.json({ order: ++orders, item }, { status: 201 });
    },
  ),
};
