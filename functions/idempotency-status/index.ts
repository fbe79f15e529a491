import { withSupabase } from "@supabase/server";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import { corsHeaders, getIdempotencyStatus } from "../../shared/idempotency.ts";
import { readQuery, requireMethod } from "../_kit/read_request.ts";
import { Refusal, refuse } from "../_kit/refuse.ts";

/** The query of GET. */
export const StatusRequest = z.object({
  key: z.string({ error: "name the key" }),
  scope: z.string({ error: "name the scope, for instance the function" })
    .min(1).max(200),
});

// A background part takes seconds at least: asking more often tells no more.
const RETRY_AFTER_SECONDS = "2";

export default {
  fetch: withSupabase<Database>(
    { auth: "user", cors: { headers: corsHeaders } },
    async (req, { supabaseAdmin, userClaims }) => {
      try {
        requireMethod(req, "GET");
        const { key, scope } = readQuery(req, StatusRequest);
        // The ledger is the project's; whose key it is says the verified token.
        const found = await getIdempotencyStatus(
          supabaseAdmin,
          key,
          userClaims!.id,
          { scope },
        );
        if (found === null) throw notFound(key, scope);
        return Response.json(found, {
          headers: {
            // Of one user, and of this moment.
            "Cache-Control": "no-store",
            ...(found.status === "processing"
              ? { "Retry-After": RETRY_AFTER_SECONDS }
              : {}),
          },
        });
      } catch (error) {
        return refuse(error, {}, req);
      }
    },
  ),
};

function notFound(key: string, scope: string): Refusal {
  return new Refusal({
    status: 404,
    code: "IDEMPOTENCY_KEY_NOT_FOUND",
    title: "Idempotency key not found",
    detail:
      `You have no key "${key}" in the scope "${scope}": it was never used, or it has expired`,
  });
}
