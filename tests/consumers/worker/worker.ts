import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { memoryLedger, withIdempotency } from "supabase-idempotency";

const store = memoryLedger();
let orders = 0;

export default {
  fetch: pipeline(
    [
      withSupabase({ auth: "secret" }),
      withIdempotency({ scope: "orders", store }),
    ],
    async (request) => {
      const { item } = await request.json<{ item: string }>();
      return Response.json({ order: ++orders, item }, { status: 201 });
    },
  ),
};
