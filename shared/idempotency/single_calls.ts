import type { IdempotencyConfig } from "./config.ts";
import { resolveConfig } from "./config.ts";
import { z } from "./deps.ts";
import {
  KeyReusedError,
  LedgerUnavailableError,
  OutcomeUnknownError,
  RequestInProgressError,
} from "./errors.ts";
import { fingerprintValue } from "./fingerprint.ts";
import { identityName } from "./identity_name.ts";
import { assertIdempotencyKey } from "./key.ts";
import type { Answer, Identity, SettleResult } from "./ledger.ts";
import { countReplay } from "./replay_counts.ts";
import { encodeBody } from "./stored_body.ts";
import { type LedgerClient, supabaseLedger } from "./supabase_ledger.ts";

/** Configuration of a single call. */
export interface SingleCallConfig extends IdempotencyConfig {
  /**
   * What was asked for, as JSON: the same key with another payload is refused.
   *
   * @default {null}
   */
  payload?: unknown;
  /**
   * The claim to settle, as {@link createIdempotencyKey} returned it.
   *
   * @default {"the claim that this client made for this key"}
   */
  claim?: KeyClaim;
}

/** A key that the caller holds now. */
export interface KeyClaim {
  /** Names this attempt in every later call. */
  readonly ownerToken: string;
  /** Which run of the key this is, from 1. */
  readonly attempt: number;
  /** Greater than that of every earlier attempt of any key. */
  readonly fence: number;
}

/** A recorded answer. */
export interface CachedResponse {
  /** The body; base64 where it is not text. */
  response: string;
  /** HTTP status. */
  status_code: number;
  /** Headers of the outcome, names in lower case. */
  response_headers: Record<string, string>;
}

/** The answer was recorded already: give it instead of running. */
export class AlreadyCompletedError extends Error {
  override readonly name = "AlreadyCompletedError";
  /** What to answer with. */
  readonly cachedResponse: CachedResponse;
  constructor(key: string, cachedResponse: CachedResponse) {
    super(
      `Cannot claim the key "${key}": it is completed, answer with the recorded response`,
    );
    this.cachedResponse = cachedResponse;
  }
}

/** The caller does not hold the key: it never did, or somebody took it over. */
export class NotOwnerError extends Error {
  override readonly name = "NotOwnerError";
  constructor(key: string, why: string) {
    super(`Cannot settle the key "${key}": ${why}`);
  }
}

// Nothing renews the lease between two single calls, so it has to outlast the
// attempt: the wall clock of an edge function ends at 400 s.
const UNRENEWED_LEASE_SECONDS = 420;

// Which claim a client made for a key, so that the calls fit together without
// handing it around. "several" means that the client cannot tell them apart.
const claims = new WeakMap<LedgerClient, Map<string, KeyClaim | "several">>();

/**
 * Whether the key is completed, and with which answer. It decides nothing:
 * between this call and the next another request may run, so
 * {@link createIdempotencyKey} is what says who may.
 *
 * @throws {LedgerUnavailableError} When the ledger is out of reach.
 */
export async function checkIdempotency(
  supabase: LedgerClient,
  key: string,
  userId: string | null,
  config: SingleCallConfig = {},
): Promise<{ isIdempotent: boolean; cachedResponse: CachedResponse | null }> {
  const { identity, ledger } = prepare(supabase, key, userId, config);
  const answer = await ledger.read(identity);
  if (answer === null) return { isIdempotent: false, cachedResponse: null };
  countReplay(ledger, identity);
  return { isIdempotent: true, cachedResponse: cachedOf(answer) };
}

/**
 * Claims the key. Only who returns from here may run; everybody else gets an
 * exception.
 *
 * @throws {AlreadyCompletedError} With the recorded answer.
 * @throws {RequestInProgressError} When somebody else runs the key.
 * @throws {KeyReusedError} When the key belongs to another payload.
 * @throws {OutcomeUnknownError} When an attempt was abandoned and
 * `onAbandoned` is `"refuse"`.
 * @throws {LedgerUnavailableError} When the ledger is out of reach.
 */
export async function createIdempotencyKey(
  supabase: LedgerClient,
  key: string,
  userId: string | null,
  config: SingleCallConfig = {},
): Promise<KeyClaim> {
  const { identity, ledger, resolved } = prepare(supabase, key, userId, config);
  const ownerToken = crypto.randomUUID();
  const result = await ledger.claim(identity, {
    fingerprint: await fingerprintValue([
      identity.scope,
      config.payload ?? null,
    ]),
    ownerToken,
    leaseSeconds: config.leaseSeconds ?? UNRENEWED_LEASE_SECONDS,
    ttlSeconds: resolved.ttlSeconds.completed,
    onAbandoned: resolved.onAbandoned,
    metadata: null,
  });
  switch (result.outcome) {
    case "claimed": {
      const claim = {
        ownerToken,
        attempt: result.attempt,
        fence: result.fence,
      };
      remember(supabase, identity, claim);
      return claim;
    }
    case "replay":
      countReplay(ledger, identity);
      throw new AlreadyCompletedError(key, cachedOf(result.answer));
    case "in_progress":
      throw new RequestInProgressError(key, result.retryAfterSeconds);
    case "mismatch":
      throw new KeyReusedError(key);
    case "abandoned":
      throw new OutcomeUnknownError(key);
  }
}

/**
 * Records the answer of the attempt that {@link createIdempotencyKey} began.
 *
 * @param result The body as text, the HTTP status, and the headers to keep.
 * @throws {NotOwnerError} When another attempt has the key, or none was begun.
 * @throws {AlreadyCompletedError} When another attempt recorded its answer
 * first: give that one.
 * @throws {LedgerUnavailableError} When the ledger is out of reach; the call
 * can be repeated.
 */
export async function storeIdempotencyResult(
  supabase: LedgerClient,
  key: string,
  userId: string | null,
  result: {
    response: unknown;
    statusCode: number;
    headers?: Record<string, string>;
  },
  config: SingleCallConfig = {},
): Promise<void> {
  const { response, statusCode, headers } = resultSchema.parse(result);
  const { identity, ledger, resolved } = prepare(supabase, key, userId, config);
  const { ownerToken } = config.claim ?? recall(supabase, identity);
  const text = typeof response === "string"
    ? response
    : JSON.stringify(response) ?? "";
  const settled = await ledger.complete(
    identity,
    ownerToken,
    {
      status: statusCode,
      headers: headers,
      body: new TextEncoder().encode(text),
    },
    resolved.ttlSeconds.completed,
  );
  ended(supabase, identity, settled);
}

/**
 * Records that the attempt did not take effect: a retry with the same key runs
 * again.
 *
 * @param error Kept with the key, at most 1,000 characters.
 * @throws {NotOwnerError} When another attempt has the key, or none was begun.
 * @throws {AlreadyCompletedError} When another attempt has completed the key.
 * @throws {LedgerUnavailableError} When the ledger is out of reach; the call
 * can be repeated.
 */
export async function markIdempotencyFailed(
  supabase: LedgerClient,
  key: string,
  userId: string | null,
  error: unknown,
  config: SingleCallConfig = {},
): Promise<void> {
  const { identity, ledger, resolved } = prepare(supabase, key, userId, config);
  const { ownerToken } = config.claim ?? recall(supabase, identity);
  const message = error instanceof Error ? error.message : String(error);
  const settled = await ledger.fail(
    identity,
    ownerToken,
    message.slice(0, 1_000),
    resolved.ttlSeconds.failed,
  );
  ended(supabase, identity, settled);
}

/**
 * Deletes what has expired, never a running attempt. For a client with the
 * secret key.
 *
 * @returns How many keys were deleted.
 * @throws {LedgerUnavailableError} When the database refused or did not answer.
 */
export async function cleanupExpiredKeys(
  supabase: LedgerClient,
): Promise<number> {
  const { data, error } = await supabase.rpc(
    "cleanup_expired_idempotency_keys",
  );
  if (error) throw new LedgerUnavailableError("delete expired keys", error);
  return z.int().parse(data);
}

const resultSchema = z.object({
  response: z.unknown(),
  statusCode: z.int().min(200).max(599),
  headers: z.record(z.string(), z.string()).default({}),
});

function prepare(
  supabase: LedgerClient,
  key: string,
  userId: string | null,
  config: SingleCallConfig,
) {
  assertIdempotencyKey(key, "The key");
  const { payload: _payload, claim: _claim, ...options } = config;
  const resolved = resolveConfig(options);
  const identity: Identity = {
    userId,
    scope: resolved.scope ?? "default",
    key,
  };
  return { identity, resolved, ledger: supabaseLedger(supabase) };
}

function cachedOf(answer: Answer): CachedResponse {
  return {
    response: encodeBody(answer.body).body ?? "",
    status_code: answer.status,
    response_headers: answer.headers,
  };
}

function remember(
  supabase: LedgerClient,
  identity: Identity,
  claim: KeyClaim,
): void {
  const held = claims.get(supabase) ?? new Map();
  claims.set(supabase, held);
  const name = identityName(identity);
  // An earlier attempt through the same client has not settled: its late
  // answer must not be taken for this attempt's.
  held.set(name, held.has(name) ? "several" : claim);
}

function recall(supabase: LedgerClient, identity: Identity): KeyClaim {
  const claim = claims.get(supabase)?.get(identityName(identity));
  if (claim === undefined) {
    throw new NotOwnerError(
      identity.key,
      "this client has not claimed it, call createIdempotencyKey first",
    );
  }
  if (claim === "several") {
    throw new NotOwnerError(
      identity.key,
      "this client has claimed it more than once, pass config.claim",
    );
  }
  return claim;
}

function ended(
  supabase: LedgerClient,
  identity: Identity,
  settled: SettleResult,
): void {
  claims.get(supabase)?.delete(identityName(identity));
  if (settled.outcome === "recorded") return;
  if (settled.outcome === "replay") {
    throw new AlreadyCompletedError(identity.key, cachedOf(settled.answer));
  }
  throw new NotOwnerError(identity.key, "another attempt has taken it over");
}
