import { storeBody } from "./compressed_body.ts";
import { pRetry, z } from "./deps.ts";
import {
  type IdempotencyError,
  LedgerUnavailableError,
  TooManyKeysError,
} from "./errors.ts";
import type { Ledger, Refused, Settlement } from "./ledger.ts";
import {
  batchRow,
  type LedgerRow,
  ledgerRow,
  statusRow,
  toAnswer,
  toClaimResult,
  toSettleResult,
} from "./ledger_row.ts";

/** What became of one call of a SQL function: its rows, or why there are none. */
export type CallOutcome =
  | { readonly data: unknown; readonly error: null }
  | {
    readonly error: { readonly message: string; readonly code?: string };
    /** Whether the same call may get through a moment later. */
    readonly isTransient: boolean;
  };

/** Calls a SQL function of the ledger, once, with its parameters by name. */
export type CallFunction = (
  fn: string,
  args: Readonly<Record<string, unknown>>,
) => Promise<CallOutcome>;

/**
 * How long one call may take, in ms. A claim takes milliseconds. The API ends
 * statements of signed-in users after 8 s; three tries of 4 s stay inside the
 * 15 s that clients tend to wait.
 */
export const CALL_DEADLINE_MS = 4_000;
const RETRIES = 2;

/**
 * The ledger over its SQL functions, whichever way they are called: one call,
 * and so one database round trip, for each transition. Calls are retried,
 * because each is safe to send twice.
 */
export function sqlLedger(callFunction: CallFunction): Ledger {
  const send = async (
    attempted: string,
    fn: string,
    args: Record<string, unknown>,
  ): Promise<unknown> => {
    const outcome = await pRetry(async () => {
      const outcome = await callFunction(fn, args);
      if (outcome.error !== null && outcome.isTransient) {
        throw new LedgerUnavailableError(attempted, outcome.error);
      }
      return outcome;
    }, { retries: RETRIES, minTimeout: 50, maxTimeout: 500, randomize: true });
    if (outcome.error === null) return outcome.data;
    throw refusalOf(attempted, outcome.error);
  };

  const call = async (
    attempted: string,
    fn: string,
    args: Record<string, unknown>,
  ): Promise<LedgerRow> => {
    const data = await send(attempted, fn, args);
    const parsed = ledgerRow.safeParse(Array.isArray(data) ? data[0] : data);
    if (parsed.success) return parsed.data;
    throw new LedgerUnavailableError(attempted, parsed.error);
  };

  const callMany = async (
    attempted: string,
    fn: string,
    count: number,
    args: Record<string, unknown>,
  ): Promise<BatchRow[]> => {
    const data = await send(attempted, fn, args);
    const parsed = z.array(batchRow).length(count).safeParse(data);
    if (parsed.success) return parsed.data;
    throw new LedgerUnavailableError(attempted, parsed.error);
  };

  return {
    async claim({ userId, scope, key }, request) {
      const answer = await call("claim the key", "idempotency_claim", {
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
        await call("renew the lease", "idempotency_renew", {
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
        await call("keep the step's result", "idempotency_checkpoint", {
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
      const { body, encoding } = await storeBody(answer.body, answer.headers);
      return toSettleResult(
        await call("record the answer", "idempotency_complete", {
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
        await call("record the failure", "idempotency_fail", {
          p_user_id: userId,
          p_scope: scope,
          p_idempotency_key: key,
          p_owner_token: ownerToken,
          p_error_message: errorMessage,
          p_ttl_seconds: ttlSeconds,
        }),
      );
    },

    async claimMany(userId, scope, requests, terms) {
      const rows = await callMany(
        "claim the keys",
        "idempotency_claim_many",
        requests.length,
        {
          p_user_id: userId,
          p_scope: scope,
          p_requests: requests.map((
            { key, fingerprint, ownerToken, metadata },
          ) => ({
            key,
            fingerprint,
            owner_token: ownerToken,
            metadata,
          })),
          p_lease_seconds: terms.leaseSeconds,
          p_ttl_seconds: terms.ttlSeconds,
          p_on_abandoned: terms.onAbandoned,
        },
      );
      return Promise.all(
        rows.map((row) =>
          refusedOf("claim the key", row) ?? toClaimResult(row)
        ),
      );
    },

    async settleMany(userId, scope, settlements, ttlSeconds) {
      const rows = await callMany(
        "record the answers",
        "idempotency_settle_many",
        settlements.length,
        {
          p_user_id: userId,
          p_scope: scope,
          p_settlements: await Promise.all(settlements.map(written)),
          p_ttl_seconds: ttlSeconds.completed,
          p_failed_ttl_seconds: ttlSeconds.failed,
        },
      );
      return Promise.all(
        rows.map((row) =>
          refusedOf("record the answer", row) ?? toSettleResult(row)
        ),
      );
    },

    async read({ userId, scope, key }) {
      const data = await send(
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
      return found === undefined ? null : await toAnswer(found);
    },

    async notify({ userId, scope, key }) {
      await send("notify the user", "idempotency_notify", {
        p_user_id: userId,
        p_scope: scope,
        p_idempotency_key: key,
      });
    },

    async countReplays(userId, scope, count) {
      await send("count replays", "idempotency_count_replays", {
        p_user_id: userId,
        p_scope: scope,
        p_count: count,
      });
    },
  };
}

type BatchRow = z.output<typeof batchRow>;

function refusedOf(attempted: string, row: BatchRow): Refused | null {
  if (row.outcome !== "refused") return null;
  const { error_code: code, error_message: message } = row;
  const error = { code: code ?? "", message: message ?? "refused" };
  return { outcome: "refused", error: refusalOf(attempted, error) };
}

function refusalOf(
  attempted: string,
  error: { readonly message: string; readonly code?: string },
): IdempotencyError {
  return error.code === "PT429"
    ? new TooManyKeysError(error)
    : new LedgerUnavailableError(attempted, error);
}

async function written(settlement: Settlement): Promise<object> {
  const { key, ownerToken } = settlement;
  if (!("answer" in settlement)) {
    return {
      key,
      owner_token: ownerToken,
      error_message: settlement.errorMessage,
    };
  }
  const { status, headers, body: bytes } = settlement.answer;
  const { body, encoding } = await storeBody(bytes, headers);
  return {
    key,
    owner_token: ownerToken,
    status_code: status,
    response: body,
    response_encoding: encoding,
    response_headers: headers,
  };
}

/**
 * Whether an SQLSTATE names a condition that passes with time: class 08
 * (connection), 40 (serialization failure, deadlock), 53 (no resources) and 57
 * (shutdown, cancelled), and 55P03 (waited too long for a lock).
 */
export function passesWithTime(sqlState: string): boolean {
  return /^(08|40|53|57|55P03)/.test(sqlState);
}

/** Whether an error's code is the database's own, not that of what is before it. */
export function isSqlState(code: string): boolean {
  // EPIPE is as long, but each SQLSTATE has a digit.
  return /^(?=.*\d)[0-9A-Z]{5}$/.test(code);
}
