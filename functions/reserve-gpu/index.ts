import { withSupabase } from "@supabase/server";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import { readJson } from "../_kit/read_json.ts";
import { refuse } from "../_kit/refuse.ts";
import { requireMethod } from "../_kit/require_method.ts";
import {
  answerResponse,
  corsHeaders,
  fingerprintRequest,
  getIdempotencyKey,
  KeyMissingError,
} from "../../shared/idempotency.ts";
import { reserveGpuHours } from "./reserve_gpu_hours.ts";

const ReserveRequest = z.object({
  poolId: z.guid(),
  hours: z.int().min(1).max(10_000),
});

// No middleware: claim, effect and answer are one transaction in Postgres, so
// there is nothing left to do before or after the one call.
export default {
  fetch: withSupabase<Database>(
    { auth: "user", cors: { headers: corsHeaders } },
    async (req, { supabase }) => {
      try {
        requireMethod(req, "POST");
        const key = getIdempotencyKey(req);
        if (key === null) throw new KeyMissingError();
        const fingerprint = await fingerprintRequest(req.clone());
        const request = await readJson(req, ReserveRequest);
        const answer = await reserveGpuHours(supabase, {
          ...request,
          key,
          fingerprint,
        });
        return await answerResponse(answer, key);
      } catch (error) {
        return refuse(error, {}, req);
      }
    },
  ),
};
