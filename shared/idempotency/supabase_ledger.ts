import type { Ledger } from "./ledger.ts";
import {
  CALL_DEADLINE_MS,
  isSqlState,
  passesWithTime,
  sqlLedger,
} from "./sql_ledger.ts";

/**
 * What the ledger needs of a Supabase client: remote procedure calls. Any
 * `SupabaseClient`, whatever its database type, fits without a cast.
 */
export interface LedgerClient {
  /** Calls a Postgres function, as supabase-js does. */
  rpc(fn: string, args?: object): LedgerCall;
}

/** The answer of {@link LedgerClient.rpc}. */
export interface LedgerCall extends
  PromiseLike<{
    data: unknown;
    error: { message: string; code?: string } | null;
    status: number;
  }> {
  /** Ends the call when the signal does. */
  abortSignal(signal: AbortSignal): LedgerCall;
}

/**
 * The ledger over supabase-js: one remote procedure call, and so one database
 * round trip, for each transition. The client decides as whom: pass the
 * caller's own, and the database isolates users even if this code errs.
 *
 * Its calls are retried, because each is safe to send twice; supabase-js does
 * not do so by itself.
 *
 * @throws {LedgerUnavailableError} From each method, when the database could
 * not be reached or refused the call.
 *
 * @example
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createClient } from "@supabase/supabase-js";
 * import { LedgerUnavailableError } from "./errors.ts";
 * import { supabaseLedger } from "./supabase_ledger.ts";
 *
 * const ledger = supabaseLedger(createClient("http://127.0.0.1:9", "key"));
 * await assertRejects(
 *   () => ledger.read({ userId: null, scope: "orders", key: "order-17" }),
 *   LedgerUnavailableError,
 * );
 * ```
 */
export function supabaseLedger(client: LedgerClient): Ledger {
  return sqlLedger(async (fn, args) => {
    const { data, error, status } = await client.rpc(fn, args)
      .abortSignal(AbortSignal.timeout(CALL_DEADLINE_MS));
    return error === null
      ? { data, error }
      : { error, isTransient: isTransient(status, error.code) };
  });
}

/** Status 0 is a network error or a deadline; the 5xx of a gateway pass as well. */
function isTransient(status: number, code = ""): boolean {
  return status === 0 || (status >= 500 && !isSqlState(code)) ||
    passesWithTime(code);
}
