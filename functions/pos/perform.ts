import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { Database, Json } from "../../shared/database.types.ts";
import {
  answerResponse,
  countReplay,
  supabaseLedger,
  TooManyKeysError,
} from "../../shared/idempotency.ts";
import { Refusal } from "../_kit/refuse.ts";
import { StoreError } from "../_kit/store_error.ts";

/** What writes: the route, and with it the scope of its keys. */
export type PosOperation =
  | "pos/businesses/:id/registration"
  | "pos/sales"
  | "pos/sales/:id/refund"
  | "pos/purchases/receipts/:id/approve"
  | "pos/purchases/returns/:id/approve"
  | "pos/inventory/corrections/:id/approve"
  | "pos/locations/:id/counts"
  | "pos/transfers/:id/send"
  | "pos/transfers/:id/receive";

/** One request to write. */
export interface PosRequest {
  operation: PosOperation;
  /** What the path names. */
  subjectId?: string;
  /** The body, as checked. */
  request?: Record<string, unknown> | undefined;
  key: string;
  /** SHA-256, 64 lower-case hexadecimal digits. */
  fingerprint: string;
}

// What pos_refuse raises with it.
const RefusalDetail = z.object({
  status: z.int(),
  code: z.string(),
  title: z.string(),
  extensions: z.record(z.string(), z.unknown()),
});

/** Whom calls go out as. */
interface Clients {
  /** The caller: whose key it is comes from the token. */
  readonly supabase: SupabaseClient<Database>;
  /** The project: counts replays. */
  readonly supabaseAdmin: SupabaseClient<Database>;
}

/**
 * Performs an operation in one round trip and one transaction, together with
 * its key.
 *
 * @returns The answer: of this run, marked as stored, or of an earlier one.
 * @throws {Refusal} 403, 404 or 409: nothing was done, and the key is free.
 * @throws {IdempotencyError} When the key was used for another request.
 * @throws {TooManyKeysError} When the caller holds too many live keys.
 * @throws {StoreError} When the database did not do its part; nobody knows
 * whether it did, so the same request has to be sent again.
 */
export async function perform(
  { supabase, supabaseAdmin }: Clients,
  userId: string,
  { operation, subjectId, request, key, fingerprint }: PosRequest,
): Promise<Response> {
  const { data: answer, error } = await supabase.rpc("pos_perform", {
    p_operation: operation,
    p_idempotency_key: key,
    p_fingerprint: fingerprint,
    ...(subjectId === undefined ? {} : { p_subject_id: subjectId }),
    ...(request === undefined ? {} : { p_request: request as Json }),
  });
  if (error !== null) throw refusalOf(error, operation);
  if (answer.outcome === "replay") {
    const identity = { userId, scope: operation, key };
    countReplay(supabaseLedger(supabaseAdmin), identity);
  }
  return await answerResponse(answer, key);
}

function refusalOf(
  error: { code: string; message: string; details: string },
  operation: PosOperation,
): Error {
  switch (error.code) {
    case "PT403":
    case "PT404":
    case "PT409": {
      const detail = RefusalDetail.parse(JSON.parse(error.details));
      return new Refusal({ ...detail, detail: error.message });
    }
    case "PT429":
      return new TooManyKeysError(error);
    default:
      return new StoreError(`Cannot perform ${operation}`, error);
  }
}
