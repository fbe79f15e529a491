import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import type { Database } from "../../shared/database.types.ts";
import { eventStore } from "./event_store.ts";
import { withErrorStyle } from "../_kit/error_envelope.ts";
import { readJson } from "../_kit/read_json.ts";
import { readQuery } from "../_kit/read_query.ts";
import { refuse } from "../_kit/refuse.ts";
import { requireMethod } from "../_kit/require_method.ts";
import {
  corsHeaders,
  fingerprintRequest,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { creditProblem } from "./credit_problem.ts";
import { CreateQuery, CreateRequest, ListQuery } from "./requests.ts";

const events = pipeline(
  [
    withSupabase<Database>({ auth: "user", cors: { headers: corsHeaders } }),
    withIdempotency({
      scope: "events",
      // Credits hang on it, and without a key a retry would spend them again.
      enforcement: "required",
      // The confirmation is the same intention as the question it answers.
      fingerprint: (req) =>
        fingerprintRequest(req, {
          ignoreQuery: ["confirm_credit", "max_cost"],
        }),
    }),
  ],
  async (req, { supabase, idempotency }) => {
    try {
      requireMethod(req, "GET", "POST");
      const store = eventStore(supabase);
      if (req.method === "GET") {
        const { limit } = readQuery(req, ListQuery);
        const listed = await store.list(limit);
        // Of one user, and of this moment.
        const headers = { "Cache-Control": "no-store" };
        return Response.json({ events: listed }, { headers });
      }
      const { confirm_credit, max_cost } = readQuery(req, CreateQuery);
      const event = await readJson(req, CreateRequest);
      const decision = await store.create(event, {
        requestId: await idempotency.effectKey("create-event"),
        confirmCredit: confirm_credit === "1",
        maxCost: max_cost,
      });
      if (decision.outcome === "created") {
        const { outcome: _, ...created } = decision;
        return Response.json(created, { status: 201 });
      }
      // Topping up is not part of the request: the same key has to run again.
      return idempotency.notFinal(creditProblem(decision, req));
    } catch (error) {
      return idempotency.notFinal(refuse(error, {}, req));
    }
  },
);

export default { fetch: withErrorStyle(events) };
