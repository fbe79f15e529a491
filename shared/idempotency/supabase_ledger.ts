import { type Ledger, placeOf } from "./ledger.ts";
import { platform } from "./platform.ts";
import { isSqlState, passesWithTime, sqlLedger } from "./sql_ledger.ts";

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
    error: { message: string; code?: string | undefined } | null;
    status: number;
  }> {
  /** Ends the call when the signal does. */
  abortSignal(signal: AbortSignal): LedgerCall;
  /** Sets a header of the call, in place of the client's own. */
  setHeader?(name: string, value: string): LedgerCall;
}

/**
 * The ledger over supabase-js: one remote procedure call, and so one database
 * round trip, for each transition.
 *
 * Nobody but the secret key may write the ledger. In a function of the project
 * any of its clients does, the caller's own as well: the environment has the
 * key (`SUPABASE_SECRET_KEYS`, `SUPABASE_SECRET_KEY` where you host it, or
 * `SUPABASE_SERVICE_ROLE_KEY` in older projects), and so the caller's token,
 * which may expire, does not matter. Elsewhere pass a client that was made with
 * it.
 *
 * Its calls are retried, because each is safe to send twice; supabase-js does
 * not do so by itself.
 *
 * @throws {TypeError} When it is no such client.
 * @throws {LedgerUnavailableError} From each method, when the database could
 * not be reached; worth another try later.
 * @throws {LedgerMisconfiguredError} From each method, when the database
 * refused the call: the key is not the secret one, or the migration is missing.
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
  if (!("rpc" in client)) {
    throw new TypeError(
      "Cannot keep a ledger over this client: expected one of supabase-js, or of an Edge Function's context",
    );
  }
  const caller = inPublic(client);
  // Read at the first call: on Workers there is no environment before.
  let secret: string | null | undefined;
  return sqlLedger(async (fn, args, withinMs) => {
    let call = caller.rpc(fn, args);
    if (secret === undefined) secret = secretOf(client);
    if (secret !== null) {
      call = call.setHeader?.("apikey", secret)
        .setHeader?.("Authorization", `Bearer ${secret}`) ?? call;
    }
    const { data, error, status } = await call
      .abortSignal(AbortSignal.timeout(Math.max(1, withinMs)));
    return error === null
      ? { data, error: null }
      : { error, isTransient: isTransient(status, error.code) };
  }, calledBy(client));
}

/** The client, for the schema of the ledger's functions, whichever is its own. */
function inPublic(client: LedgerClient): LedgerClient {
  const { rest = client } = client as { rest?: object };
  const { schemaName = "public" } = rest as { schemaName?: string };
  return schemaName === "public"
    ? client
    : (client as LedgerClient & { schema(name: string): LedgerClient })
      .schema("public");
}

/** The secret key of the client's project, where the environment has it. */
function secretOf(client: LedgerClient): string | null {
  const { supabaseUrl } = client as { supabaseUrl?: unknown };
  const url = platform.environment("SUPABASE_URL");
  // The client is of another project, or this machine no function of one.
  if (url === undefined || !isSameUrl(url, supabaseUrl)) return null;
  try {
    const keys = platform.environment("SUPABASE_SECRET_KEYS") ?? "{}";
    const { default: key } = JSON.parse(keys);
    if (typeof key === "string") return key;
  } catch {
    // Not JSON: whoever reads it next will say so.
  }
  return platform.environment("SUPABASE_SECRET_KEY") ??
    platform.environment("SUPABASE_SERVICE_ROLE_KEY") ?? null;
}

function isSameUrl(one: string, other: unknown): boolean {
  return one.replace(/\/+$/, "") === String(other).replace(/\/+$/, "");
}

/**
 * The project that a client calls. Clients are made anew for each request, and
 * what is known of the project must outlive them, where they name it.
 */
function calledBy(client: LedgerClient): { place: string; health?: object } {
  const { supabaseUrl } = client as { supabaseUrl?: unknown };
  return supabaseUrl === undefined
    ? { place: placeOf(client), health: client }
    : { place: String(supabaseUrl) };
}

/**
 * Status 0 is a network error or a deadline; the 429 and 5xx of a gateway pass
 * as well. With an SQLSTATE it is the ledger that answers: PT429 says that this
 * owner has too many keys, and nothing of how the others fare.
 */
function isTransient(status: number, code = ""): boolean {
  return status === 0 ||
    ((status === 429 || status >= 500) && !isSqlState(code)) ||
    passesWithTime(code);
}
