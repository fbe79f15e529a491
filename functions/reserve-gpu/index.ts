import { withSupabase } from "@supabase/server";
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import {
  answerResponse,
  corsHeaders,
  fingerprintRequest,
  KeyMissingError,
  readIdempotencyKey,
  TooManyKeysError,
} from "../../shared/idempotency.ts";
import { readJson, requireMethod } from "../_kit/read_request.ts";
import { Refusal, refuse } from "../_kit/refuse.ts";
import { StoreError } from "../_kit/store_error.ts";

/** The body of POST. */
export const ReserveRequest = z.object({
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
        const key = readIdempotencyKey(req);
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

type Answer = Database["public"]["CompositeTypes"]["idempotency_answer"];

/**
 * Reserves hours in one round trip, together with the key.
 *
 * @param request.fingerprint SHA-256, 64 lower-case hexadecimal digits.
 * @throws {Refusal} 404 when there is no such pool; the key stays free.
 * @throws {TooManyKeysError} When the caller holds too many live keys.
 * @throws {StoreError} When the database did not do its part; nobody knows
 * whether it did, so the same request has to be sent again.
 */
async function reserveGpuHours(
  supabase: SupabaseClient<Database>,
  request: { poolId: string; hours: number; key: string; fingerprint: string },
): Promise<Answer> {
  const { poolId, hours, key, fingerprint } = request;
  const { data, error } = await supabase.rpc("reserve_gpu_hours", {
    p_pool_id: poolId,
    p_hours: hours,
    p_idempotency_key: key,
    p_fingerprint: fingerprint,
  });
  if (error === null) return data;
  switch (error.code) {
    case "PT404":
      throw new Refusal({
        status: 404,
        code: "POOL_NOT_FOUND",
        title: "Pool not found",
        detail: `There is no GPU pool ${poolId}: check the id`,
      });
    case "PT429":
      throw new TooManyKeysError(error);
    default:
      throw new StoreError(`Cannot reserve hours of pool ${poolId}`, error);
  }
}
