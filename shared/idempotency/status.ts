import { type IdempotencyConfig, resolveConfig } from "./config.ts";
import { z } from "./deps.ts";
import { LedgerUnavailableError } from "./errors.ts";
import { assertIdempotencyKey } from "./key.ts";
import { CALL_DEADLINE_MS } from "./sql_ledger.ts";
import type { LedgerClient } from "./supabase_ledger.ts";

/** How a key stands; never what it was answered with. */
export interface IdempotencyStatus {
  readonly key: string;
  /** The route or operation that the key belongs to. */
  readonly scope: string;
  readonly status: "processing" | "completed" | "failed";
  /** Which run of the key the latest is, from 1. */
  readonly attempt: number;
  /** When the key was first claimed. */
  readonly createdAt: Date;
  /** When the latest attempt began. */
  readonly claimedAt: Date;
  /** When the answer was recorded; `null` unless completed. */
  readonly completedAt: Date | null;
  /** When the key is free again. */
  readonly expiresAt: Date;
  /** HTTP status of the recorded answer; `null` when there is none. */
  readonly statusCode: number | null;
  /** Whether the latest attempt was interrupted: its lease lapsed. */
  readonly isStuck: boolean;
  /** Names of the steps that are done, sorted: how far the work has come. */
  readonly finishedSteps: readonly string[];
}

const row = z.object({
  scope: z.string(),
  idempotency_key: z.string(),
  status: z.enum(["processing", "completed", "failed"]),
  attempt: z.int(),
  is_stuck: z.boolean(),
  is_expired: z.boolean(),
  status_code: z.int().nullable(),
  created_at: z.coerce.date(),
  claimed_at: z.coerce.date(),
  completed_at: z.coerce.date().nullable(),
  expires_at: z.coerce.date(),
  finished_steps: z.array(z.string()),
});

/**
 * Reads how a key stands, for instance to show the progress of a long
 * operation. It decides nothing and is not retried: whoever polls asks again.
 *
 * @param userId Whose key; `null` for the project's own.
 * @param config Its `scope` says where the key belongs, by default `"default"`.
 * @returns `null` when there is no such key, or it has expired.
 * @throws {KeyInvalidError} When the key is malformed.
 * @throws {LedgerUnavailableError} When the ledger is out of reach.
 *
 * @example
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createClient } from "@supabase/supabase-js";
 * import { LedgerUnavailableError } from "./errors.ts";
 * import { getIdempotencyStatus } from "./status.ts";
 *
 * const supabase = createClient("http://127.0.0.1:9", "key");
 * const status = getIdempotencyStatus(supabase, "report-17", "u1", {
 *   scope: "export-report",
 * });
 * // Nobody listens there; else `(await status)?.status` might be "processing".
 * await assertRejects(() => status, LedgerUnavailableError);
 * ```
 */
export async function getIdempotencyStatus(
  supabase: LedgerClient,
  key: string,
  userId: string | null,
  config: IdempotencyConfig = {},
): Promise<IdempotencyStatus | null> {
  assertIdempotencyKey(key, "The key");
  const { data, error } = await supabase.rpc("get_idempotency_status", {
    p_idempotency_key: key,
    p_scope: resolveConfig(config).scope ?? "default",
    p_user_id: userId,
  }).abortSignal(AbortSignal.timeout(CALL_DEADLINE_MS));
  const parsed = z.array(row).safeParse(data);
  if (error !== null || !parsed.success) {
    throw new LedgerUnavailableError("read the key", error ?? parsed.error);
  }
  const found = parsed.data.find(({ is_expired }) => !is_expired);
  return found === undefined ? null : {
    key: found.idempotency_key,
    scope: found.scope,
    status: found.status,
    attempt: found.attempt,
    createdAt: found.created_at,
    claimedAt: found.claimed_at,
    completedAt: found.completed_at,
    expiresAt: found.expires_at,
    statusCode: found.status_code,
    isStuck: found.is_stuck,
    finishedSteps: found.finished_steps,
  };
}
