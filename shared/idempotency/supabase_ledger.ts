import { pRetry, z } from "./deps.ts";
import { LedgerUnavailableError, TooManyKeysError } from "./errors.ts";
import type { Answer, ClaimResult, Ledger, SettleResult } from "./ledger.ts";
import { decodeBody, encodeBody } from "./stored_body.ts";

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

// A claim takes milliseconds. The API ends statements of signed-in users after
// 8 s; three tries of 4 s stay inside the 15 s that clients tend to wait.
const CALL_DEADLINE_MS = 4_000;
const RETRIES = 2;

const row = z.object({
  outcome: z.enum([
    "claimed",
    "replay",
    "mismatch",
    "in_progress",
    "abandoned",
    "completed",
    "failed",
    "recorded",
    "renewed",
    "stale",
  ]),
  attempt: z.int().nullable(),
  fence: z.int().nullable(),
  retry_after_seconds: z.int().nullable(),
  status_code: z.int().nullable(),
  response: z.string().nullable(),
  response_encoding: z.enum(["text", "base64", "none"]).nullable(),
  response_headers: z.record(z.string(), z.string()).nullable(),
  steps: z.record(z.string(), z.unknown()).nullable(),
});

type Row = z.output<typeof row>;

const statusRow = row.pick({
  status_code: true,
  response: true,
  response_encoding: true,
  response_headers: true,
}).extend({ status: z.string(), is_expired: z.boolean() });

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
  return {
    async claim({ userId, scope, key }, request) {
      const answer = await call(client, "claim the key", "idempotency_claim", {
        p_user_id: userId,
        p_scope: scope,
        p_idempotency_key: key,
        p_fingerprint: request.fingerprint,
        p_owner_token: request.ownerToken,
        p_lease_seconds: request.leaseSeconds,
        p_ttl_seconds: request.ttlSeconds,
        p_on_abandoned: request.onAbandoned,
        p_metadata: request.metadata,
      });
      return toClaimResult(answer);
    },

    async renew({ userId, scope, key }, ownerToken, leaseSeconds) {
      return toSettleResult(
        await call(client, "renew the lease", "idempotency_renew", {
          p_user_id: userId,
          p_scope: scope,
          p_idempotency_key: key,
          p_owner_token: ownerToken,
          p_lease_seconds: leaseSeconds,
        }),
      );
    },

    async checkpoint(identity, ownerToken, step, result, leaseSeconds) {
      return toSettleResult(
        await call(client, "keep the step's result", "idempotency_checkpoint", {
          p_user_id: identity.userId,
          p_scope: identity.scope,
          p_idempotency_key: identity.key,
          p_owner_token: ownerToken,
          p_step: step,
          p_result: result,
          p_lease_seconds: leaseSeconds,
        }),
      );
    },

    async complete({ userId, scope, key }, ownerToken, answer, ttlSeconds) {
      const { body, encoding } = encodeBody(answer.body);
      return toSettleResult(
        await call(client, "record the answer", "idempotency_complete", {
          p_user_id: userId,
          p_scope: scope,
          p_idempotency_key: key,
          p_owner_token: ownerToken,
          p_status_code: answer.status,
          p_response: body,
          p_response_encoding: encoding,
          p_response_headers: answer.headers,
          p_ttl_seconds: ttlSeconds,
        }),
      );
    },

    async fail({ userId, scope, key }, ownerToken, errorMessage, ttlSeconds) {
      return toSettleResult(
        await call(client, "record the failure", "idempotency_fail", {
          p_user_id: userId,
          p_scope: scope,
          p_idempotency_key: key,
          p_owner_token: ownerToken,
          p_error_message: errorMessage,
          p_ttl_seconds: ttlSeconds,
        }),
      );
    },

    async read({ userId, scope, key }) {
      const data = await send(
        client,
        "read the key",
        "get_idempotency_status",
        {
          p_idempotency_key: key,
          p_scope: scope,
          p_user_id: userId,
        },
      );
      const found = z.array(statusRow).parse(data)
        .find((row) => row.status === "completed" && !row.is_expired);
      return found === undefined ? null : toAnswer(found);
    },

    async notify({ userId, scope, key }) {
      await send(client, "notify the user", "idempotency_notify", {
        p_user_id: userId,
        p_scope: scope,
        p_idempotency_key: key,
      });
    },

    async countReplays(userId, scope, count) {
      await send(client, "count replays", "idempotency_count_replays", {
        p_user_id: userId,
        p_scope: scope,
        p_count: count,
      });
    },
  };
}

async function call(
  client: LedgerClient,
  attempted: string,
  fn: string,
  args: object,
): Promise<Row> {
  const data = await send(client, attempted, fn, args);
  const parsed = row.safeParse(Array.isArray(data) ? data[0] : data);
  if (parsed.success) return parsed.data;
  throw new LedgerUnavailableError(attempted, parsed.error);
}

async function send(
  client: LedgerClient,
  attempted: string,
  fn: string,
  args: object,
): Promise<unknown> {
  const { data, error } = await pRetry(async () => {
    const answer = await client.rpc(fn, args)
      .abortSignal(AbortSignal.timeout(CALL_DEADLINE_MS));
    if (answer.error && isTransient(answer.status, answer.error.code)) {
      throw new LedgerUnavailableError(attempted, answer.error);
    }
    return answer;
  }, { retries: RETRIES, minTimeout: 50, maxTimeout: 500, randomize: true });
  if (error === null) return data;
  if (error.code === "PT429") throw new TooManyKeysError(error);
  throw new LedgerUnavailableError(attempted, error);
}

/**
 * Status 0 is a network error or a deadline. Class 40 (serialization failure,
 * deadlock), 53 (no resources), 57 (shutdown, cancelled) and 08 (connection)
 * pass with time; so do the 5xx of a gateway.
 */
function isTransient(status: number, code = ""): boolean {
  return status === 0 || (status >= 500 && !/^[0-9A-Z]{5}$/.test(code)) ||
    /^(08|40|53|57)/.test(code);
}

function toClaimResult(row: Row): ClaimResult {
  switch (row.outcome) {
    case "claimed":
      return {
        outcome: "claimed",
        attempt: row.attempt ?? 1,
        fence: row.fence ?? 0,
        steps: row.steps ?? {},
      };
    case "replay":
      return { outcome: "replay", answer: toAnswer(row) };
    case "in_progress":
      return {
        outcome: "in_progress",
        retryAfterSeconds: row.retry_after_seconds ?? 1,
      };
    case "mismatch":
    case "abandoned":
      return { outcome: row.outcome };
    default:
      throw new LedgerUnavailableError(
        "claim the key",
        new TypeError(`idempotency_claim answered "${row.outcome}"`),
      );
  }
}

function toSettleResult(row: Row): SettleResult {
  switch (row.outcome) {
    case "completed":
    case "failed":
    case "recorded":
    case "renewed":
      return { outcome: "recorded" };
    case "replay":
      return { outcome: "replay", answer: toAnswer(row) };
    default:
      return { outcome: row.fence === null ? "gone" : "lost" };
  }
}

function toAnswer(
  row: Pick<
    Row,
    "status_code" | "response" | "response_encoding" | "response_headers"
  >,
): Answer {
  return {
    status: row.status_code ?? 200,
    headers: row.response_headers ?? {},
    body: decodeBody(row.response, row.response_encoding ?? "none"),
  };
}
