import { type Attempt, attemptOf, type KeptAnswer } from "./attempt.ts";
import type { Begun } from "./claim.ts";
import { textOrBase64 } from "./body.ts";
import { OF_REQUESTS, resolveConfig, type ResolvedConfig } from "./config.ts";
import {
  AlreadyCompletedError,
  type CachedResponse,
  IdempotencyError,
  KeyReusedError,
  LedgerMisconfiguredError,
  LedgerUnavailableError,
  NotOwnerError,
  OutcomeUnknownError,
  RequestInProgressError,
  ResponseNotStoredError,
} from "./errors.ts";
import { reporterOf } from "./event.ts";
import { assertIdempotencyKey } from "./key.ts";
import {
  type Answer,
  type Identity,
  identityName,
  KEPT_CHARACTER,
  type KeyStatus,
  type Ledger,
  placeOf,
} from "./ledger.ts";
import { claimOperation, ledgerOf, type OperationConfig } from "./operation.ts";
import { problemOf, problemResponse } from "./problem.ts";
import { assertStatus } from "./response.ts";
import type { LedgerClient } from "./supabase_ledger.ts";

/**
 * Configuration of a single call: give every call of a request the same. Where
 * they differ, what says how the attempt ends (`isFinal`, `keepBody`, `onEvent`,
 * `ttlSeconds`) is as the latest call has it that names it, and the rest as the
 * one has it that claims.
 */
export interface SingleCallConfig extends Omit<OperationConfig, "enforcement"> {
  /**
   * The route or operation that the key belongs to, 1–200 characters.
   *
   * @default {"default"}
   */
  scope?: string | undefined;
  /**
   * What was asked for, as JSON: the same key with another payload is refused.
   *
   * @default {null}
   */
  payload?: unknown;
  /**
   * The claim to settle, as {@link createIdempotencyKey} returned it.
   *
   * @default {"the claim that this worker made for this key"}
   */
  claim?: Pick<KeyClaim, "ownerToken" | "attempt" | "fence"> | undefined;
}

/**
 * A key that the caller holds. Held by `await using`, its lease is renewed for
 * as long as the block runs, and the key is freed when the block is left with no
 * result stored, by an exception or otherwise. Without it nothing renews the
 * lease: `leaseSeconds` has to outlast the work.
 */
export interface KeyClaim extends AsyncDisposable {
  /** Names this attempt in every later call. */
  readonly ownerToken: string;
  /** Which run of the key this is, from 1. */
  readonly attempt: number;
  /** Greater than that of every earlier attempt of any key. */
  readonly fence: number;
}

/**
 * Claims the key, and says what to answer where the caller may not run: the
 * recorded answer, or a problem document (409 `REQUEST_IN_PROGRESS` with
 * `Retry-After`, 422, 503, …) that is never told by an exception.
 *
 * Who is told `isIdempotent: false` holds the key, until
 * {@link storeIdempotencyResult} or {@link markIdempotencyFailed} ends the
 * attempt or its lease lapses, and goes on with {@link createIdempotencyKey}.
 *
 * @param supabase The secret key's client, or a ledger.
 * @param userId The verified user; `null` for the project itself.
 * @throws {LedgerMisconfiguredError} When the migration is missing, or the
 * client is not the secret key's.
 * @throws {TypeError} When the configuration is wrong.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import {
 *   checkIdempotency,
 *   createIdempotencyKey,
 *   storeIdempotencyResult,
 * } from "./calls.ts";
 * import { memoryLedger } from "./memory_ledger.ts";
 *
 * const ledger = memoryLedger();
 * async function place(key: string, userId: string): Promise<string> {
 *   const { cachedResponse } = await checkIdempotency(ledger, key, userId);
 *   if (cachedResponse) return cachedResponse.response;
 *   await createIdempotencyKey(ledger, key, userId);
 *   const response = JSON.stringify({ order: crypto.randomUUID() });
 *   const result = { response, statusCode: 201 };
 *   await storeIdempotencyResult(ledger, key, userId, result);
 *   return response;
 * }
 * assertEquals(await place("order-17", "u1"), await place("order-17", "u1"));
 * ```
 */
export async function checkIdempotency(
  supabase: LedgerClient | Ledger,
  key: string,
  userId: string | null,
  config: SingleCallConfig = {},
): Promise<{ isIdempotent: boolean; cachedResponse: CachedResponse | null }> {
  const call = prepare(supabase, key, userId, config);
  const askedAt = performance.now();
  try {
    const begun = await begin(call);
    if (begun.kind === "answer") {
      return { isIdempotent: true, cachedResponse: cachedOf(begun.answer) };
    }
    remember(call, { attempt: begun.attempt, isHeld: false, askedAt });
    return { isIdempotent: false, cachedResponse: null };
  } catch (error) {
    if (
      !(error instanceof IdempotencyError) ||
      error instanceof LedgerMisconfiguredError
    ) throw error;
    const problem = problemResponse(problemOf(error));
    const cachedResponse = {
      response: await problem.text(),
      status_code: problem.status,
      response_headers: Object.fromEntries(problem.headers),
    };
    return { isIdempotent: true, cachedResponse };
  }
}

/**
 * Confirms the claim that {@link checkIdempotency} made, or claims the key
 * where there was no check. Only who returns from here may run.
 *
 * @throws {AlreadyCompletedError} With the recorded answer.
 * @throws {IdempotencyError} When the caller may not run: in progress, another
 * payload, abandoned. `refusalResponse` makes a response of each.
 * @throws {TypeError} When the payload is not the one that was checked.
 */
export async function createIdempotencyKey(
  supabase: LedgerClient | Ledger,
  key: string,
  userId: string | null,
  config: SingleCallConfig = {},
): Promise<KeyClaim> {
  const call = prepare(supabase, key, userId, config);
  const offered = await takeOffer(call);
  if (offered !== null) return hold(call, offered);
  const askedAt = performance.now();
  try {
    const begun = await begin(call);
    if (begun.kind === "answer") {
      throw new AlreadyCompletedError(key, cachedOf(begun.answer));
    }
    const { attempt } = begun;
    return hold(call, remember(call, { attempt, isHeld: true, askedAt }));
  } catch (error) {
    if (error instanceof Error) refusals.set(error, call.name);
    throw error;
  }
}

/**
 * Records the answer of the attempt that {@link checkIdempotency} or
 * {@link createIdempotencyKey} began. One that `isFinal` does not take for an
 * outcome, such as a 500, frees the key for a retry.
 *
 * Where the ledger does not answer, this is logged and not thrown: the effect
 * has happened, and its answer is what the client needs.
 *
 * @param result The body as text or JSON, the HTTP status, 200–599, and the
 * headers to keep.
 * @throws {NotOwnerError} When another attempt has the key, or none was begun.
 * @throws {AlreadyCompletedError} When another attempt recorded its answer
 * first: give that one.
 * @throws {TypeError} When the status or a header is none.
 */
export async function storeIdempotencyResult(
  supabase: LedgerClient | Ledger,
  key: string,
  userId: string | null,
  result: {
    response: unknown;
    statusCode: number;
    headers?: Record<string, string> | undefined;
  },
  config: SingleCallConfig = {},
): Promise<void> {
  const answer = answerOf(result);
  const call = prepare(supabase, key, userId, config);
  const attempt = release(call, "newest");
  try {
    const responded = await attempt.respond(answer);
    if (responded.as !== "replayed") return;
    throw new AlreadyCompletedError(key, cachedOf(responded.answer));
  } catch (error) {
    if (!(error instanceof RequestInProgressError)) throw error;
    throw new NotOwnerError(
      "KEY_TAKEN_OVER",
      key,
      "another attempt has taken it over",
    );
  }
}

/**
 * Records that the attempt did not take effect: a retry with the same key runs
 * again. Given the error with which one of these calls refused this very key, one
 * that has it as its cause, or its message, it does nothing: no attempt was begun.
 *
 * @param error What the work threw, as it was thrown. Kept with the key, at most
 * 1,000 characters.
 * @throws {NotOwnerError} When no attempt was begun, or it cannot be told which
 * of several is meant.
 * @throws {AlreadyCompletedError} When another attempt has completed the key.
 */
export async function markIdempotencyFailed(
  supabase: LedgerClient | Ledger,
  key: string,
  userId: string | null,
  error: unknown,
  config: SingleCallConfig = {},
): Promise<void> {
  const call = prepare(supabase, key, userId, config);
  // Whoever was refused has begun nothing. That a handler's `catch` comes here
  // must not end the attempt of the one who runs.
  if (isRefusal(error, call)) return;
  const recorded = await release(call, "only").fail(error);
  if (recorded !== null) {
    throw new AlreadyCompletedError(key, cachedOf(recorded));
  }
}

/**
 * Deletes what has expired, never a running attempt: for up to 5 seconds, and
 * 100,000 keys at most. Where more may have expired, call it until it gives 0.
 *
 * @param supabase The secret key's client, or a ledger.
 * @returns How many keys were deleted; 0 where keys leave by themselves.
 * @throws {LedgerUnavailableError} When the database did not answer.
 * @throws {LedgerMisconfiguredError} When it refused.
 */
export async function cleanupExpiredKeys(
  supabase: LedgerClient | Ledger,
): Promise<number> {
  return await ledgerOf(supabase).deleteExpired?.() ?? 0;
}

/** How a key stands, and which one it is. */
export interface IdempotencyStatus extends KeyStatus {
  readonly key: string;
  /** The route or operation that the key belongs to. */
  readonly scope: string;
}

/**
 * Reads how a key stands, for instance to show the progress of a long
 * operation. It decides nothing.
 *
 * @param supabase The secret key's client, or a ledger.
 * @param userId Whose key; `null` for the project's own.
 * @param config Its `scope` says where the key belongs, by default `"default"`.
 * @returns `null` when there is no such key, or it has expired.
 * @throws {KeyInvalidError} When the key is malformed.
 * @throws {LedgerUnavailableError} When the ledger is out of reach.
 * @throws {TypeError} When the ledger cannot tell.
 *
 * @example
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createClient } from "@supabase/supabase-js";
 * import { getIdempotencyStatus } from "./calls.ts";
 * import { LedgerUnavailableError } from "./errors.ts";
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
  supabase: LedgerClient | Ledger,
  key: string,
  userId: string | null,
  config: Pick<SingleCallConfig, "scope"> = {},
): Promise<IdempotencyStatus | null> {
  assertIdempotencyKey(key, "The key");
  const { scope = "default" } = config;
  const ledger = ledgerOf(supabase);
  if (ledger.status === undefined) {
    throw new TypeError(
      "Cannot read how the key stands: this ledger does not tell",
    );
  }
  assertUserId(userId);
  // To a database the owner '' is the project itself, whose keys no user sees.
  if (userId === "" || !KEPT_TEXT.test(scope)) return null;
  const status = await ledger.status({ userId, scope, key });
  return status === null ? null : { key, scope, ...status };
}

const KEPT_TEXT = new RegExp(`^${KEPT_CHARACTER}*$`, "u");

// Without types an id that is missing would be taken for the project's.
function assertUserId(userId: string | null | undefined): void {
  if (userId !== undefined) return;
  throw new TypeError(
    "Cannot tell whose key this is: userId is undefined, pass the verified user's id, or null for the project's own keys",
  );
}

/** One call: which key of which ledger it is about, and under which terms. */
interface Call {
  readonly ledger: Ledger;
  readonly identity: Identity;
  readonly config: ResolvedConfig;
  /** What of the configuration the call itself names. */
  readonly named: Partial<ResolvedConfig>;
  readonly payload: unknown;
  readonly claim: SingleCallConfig["claim"];
  /** What the caller passed: a client of its own tells its calls from others'. */
  readonly by: object;
  /** Names the key in this worker. */
  readonly name: string;
}

// There is a key in every call: none is missing.
const UNUSABLE = [...OF_REQUESTS, "enforcement"] as const;

function prepare(
  supabase: LedgerClient | Ledger,
  key: string,
  userId: string | null,
  { payload, claim, ...options }: SingleCallConfig,
): Call {
  assertUserId(userId);
  const config = resolveConfig(
    options,
    typeof options.scope === "function" ? [...UNUSABLE, "scope"] : UNUSABLE,
  );
  const named = Object.fromEntries(
    Object.entries(config)
      .filter(([name]) => options[name as keyof typeof options] !== undefined),
  );
  const scope = (config.scope ?? "default") as string;
  const ledger = config.store ?? ledgerOf(supabase);
  const identity = { userId, scope, key };
  const place = ledger.place ?? placeOf(ledger);
  const name = `${place} ${identityName(identity)}`;
  const by = supabase;
  return { ledger, identity, config, named, payload, claim, by, name };
}

async function begin(
  { ledger, identity, config, payload }: Call,
): Promise<Begun> {
  assertIdempotencyKey(identity.key, "The key");
  // Whether anybody will end the attempt is not to be seen from here.
  const keepAlive = false;
  return await claimOperation(ledger, identity, payload, config, keepAlive);
}

/** An attempt that was begun in this worker and has not ended. */
interface OpenAttempt {
  readonly attempt: Attempt;
  /** What the caller passed as its client. */
  readonly by: object;
  readonly payload: string;
  /** Whether somebody runs; until then it is only offered, by a check. */
  isHeld: boolean;
  /** When its lease lapses, unless something renews it; in ms of this worker. */
  readonly leaseEndsAt: number;
  /** By then it has ended, whatever became of it. */
  readonly forgetAt: number;
}

/** By name of the key, in the order in which they began; none is empty. */
const openAttempts = new Map<string, OpenAttempt[]>();

/** The errors with which claims were refused, and of which key. */
const refusals = new WeakMap<Error, string>();

const MOST_CAUSES = 10;

/** Whether this is, or tells of, a claim of this very key that was refused. */
function isRefusal(error: unknown, { name, identity }: Call): boolean {
  let cause = error;
  // An application may have wrapped it, and errors may name each other.
  for (let n = 0; n < MOST_CAUSES && cause instanceof Error; n++) {
    const refused = refusals.get(cause);
    if (refused !== undefined) return refused === name;
    cause = cause.cause;
  }
  const text = error instanceof Error ? error.message : String(error);
  // People hand on the message alone.
  return wordsOfRefusals(identity.key).some((words) => text.includes(words));
}

/** What each refusal of this key says, as far as it is always the same. */
function wordsOfRefusals(key: string): string[] {
  const none = { response: "", status_code: NaN, response_headers: {} };
  return [
    new RequestInProgressError(key, NaN),
    new KeyReusedError(key),
    new OutcomeUnknownError(key),
    new ResponseNotStoredError(key, NaN),
    new AlreadyCompletedError(key, none),
    new NotOwnerError("KEY_TAKEN_OVER", key, ""),
  ].map(({ message }) => message.split(" NaN", 1)[0]!);
}

function remember(
  { name, by, payload, config }: Call,
  { attempt, isHeld, askedAt }: {
    attempt: Attempt;
    isHeld: boolean;
    /** Before the claim was sent: the lease has begun some time after. */
    askedAt: number;
  },
): OpenAttempt {
  const { leaseSeconds, maxRunSeconds } = config;
  forgetLost();
  const begun: OpenAttempt = {
    attempt,
    by,
    payload: JSON.stringify(payload ?? null),
    isHeld,
    leaseEndsAt: askedAt + leaseSeconds * 1000,
    forgetAt: askedAt + (leaseSeconds + maxRunSeconds) * 1000,
  };
  const others = openAttempts.get(name) ?? [];
  // Last in the map as well: those that began first are forgotten first.
  openAttempts.delete(name);
  openAttempts.set(name, [...others, begun]);
  return begun;
}

/** Attempts that nobody ended: their leases have lapsed long ago. */
function forgetLost(): void {
  const now = performance.now();
  for (const [name, all] of openAttempts) {
    if (all[0]!.forgetAt > now) break;
    keepOnly(name, all.filter(({ forgetAt }) => forgetAt > now));
  }
}

function forget({ name }: Call, attempt: Attempt): void {
  const all = openAttempts.get(name) ?? [];
  keepOnly(name, all.filter((begun) => begun.attempt !== attempt));
}

function keepOnly(name: string, left: OpenAttempt[]): void {
  if (left.length === 0) openAttempts.delete(name);
  else openAttempts.set(name, left);
}

/** What began under this key; the caller's own where its client tells them apart. */
function candidates({ name, by }: Call, isHeld: boolean): OpenAttempt[] {
  const all = (openAttempts.get(name) ?? []).filter((b) => b.isHeld === isHeld);
  const own = all.filter((begun) => begun.by === by);
  return own.length > 0 ? own : all;
}

/**
 * The claim of an earlier check, if it still stands. It costs a trip only where
 * the lease may have lapsed in between.
 */
async function takeOffer(call: Call): Promise<OpenAttempt | null> {
  const offered = candidates(call, false).at(-1);
  if (offered === undefined) return null;
  const { attempt } = offered;
  if (offered.payload !== JSON.stringify(call.payload ?? null)) {
    const error = new TypeError(
      `Cannot create the key "${call.identity.key}": the payload is not the one that was checked, give both calls the same`,
    );
    refusals.set(error, call.name);
    throw error;
  }
  offered.isHeld = true;
  attempt.endOn(call.named);
  const { leaseSeconds } = call.config;
  const left = offered.leaseEndsAt - performance.now();
  if (attempt.ownerToken === null || left > leaseSeconds * 500) return offered;
  try {
    const { outcome } = await call.ledger
      .renew(call.identity, attempt.ownerToken, leaseSeconds);
    if (outcome === "recorded") return offered;
  } catch (error) {
    const isDown = error instanceof LedgerUnavailableError;
    if (isDown && call.config.onLedgerDown === "run") return offered;
    // Whoever tries again finds it as it was.
    offered.isHeld = false;
    throw error;
  }
  // The claim that follows says what became of the key.
  forget(call, attempt);
  return null;
}

function hold(call: Call, { attempt }: OpenAttempt): KeyClaim {
  const of = identityName(call.identity);
  const claim = {
    ownerToken: attempt.ownerToken ?? "",
    attempt: attempt.number,
    fence: attempt.fence,
  } as KeyClaim;
  // `await using` asks for this where it is declared: from there on somebody
  // ends the attempt, come what may. Not enumerable: a copy asks for nothing.
  Object.defineProperty(claim, Symbol.asyncDispose, {
    get() {
      attempt.keepAlive();
      return async () => {
        if (!attemptByClaim.has(claim)) return;
        attemptByClaim.delete(claim);
        forget(call, attempt);
        // What another attempt has answered is nothing to those who leave.
        await attempt.fail(new Error("the block that held the key was left"))
          .catch(() => {});
      };
    },
  });
  attemptByClaim.set(claim, { attempt, of });
  claimByAttempt.set(attempt, claim);
  return claim;
}

const attemptByClaim = new WeakMap<object, { attempt: Attempt; of: string }>();
const claimByAttempt = new WeakMap<Attempt, KeyClaim>();

/**
 * The attempt that a call is to end; this worker forgets it.
 *
 * @param which Of several through one client all but the newest have lost the
 * key: their handlers threw and nobody marked them, or they are late. An answer
 * is the newest's; but a failure that may be a late one's must not free the key
 * of the one who runs.
 */
function release(call: Call, which: "newest" | "only"): Attempt {
  const notClaimed = (why: string) =>
    new NotOwnerError("KEY_NOT_CLAIMED", call.identity.key, why);
  let attempt: Attempt;
  if (call.claim !== undefined) {
    const known = attemptByClaim.get(call.claim);
    // Its answer would be replayed to whoever retries that other key.
    if (known !== undefined && known.of !== identityName(call.identity)) {
      throw notClaimed("config.claim is that of another key, user or scope");
    }
    attempt = known?.attempt ?? attemptElsewhere(call, call.claim);
  } else {
    const held = candidates(call, true);
    const begun = held.at(-1) ?? candidates(call, false).at(-1);
    if (begun === undefined) {
      throw notClaimed(
        "this worker has not claimed it, call createIdempotencyKey first",
      );
    }
    // Somebody else's attempt, who is at it: a handler whose `catch` comes here
    // before it has checked anything must not free the key of the one who runs.
    if (begun.by !== call.by && which === "only") {
      throw notClaimed(
        "this worker has claimed it through another client, pass that one or config.claim",
      );
    }
    if (held.length > 1 && which === "only") {
      throw notClaimed(
        "this worker has claimed it more than once, pass config.claim",
      );
    }
    attempt = begun.attempt;
  }
  forget(call, attempt);
  const claim = claimByAttempt.get(attempt);
  if (claim !== undefined) attemptByClaim.delete(claim);
  attempt.endOn(call.named);
  return attempt;
}

/** The attempt behind a claim that another worker made. */
function attemptElsewhere(
  { ledger, identity, config }: Call,
  { ownerToken, attempt, fence }: NonNullable<SingleCallConfig["claim"]>,
): Attempt {
  return attemptOf({
    ledger,
    identity,
    config,
    ownerToken,
    // Only names of effects are made of it, and nothing here makes any.
    fingerprint: "",
    claimed: { outcome: "claimed", attempt, fence, steps: {} },
    report: reporterOf(identity, config.onEvent),
  });
}

function answerOf(
  { response, statusCode, headers = {} }: Parameters<
    typeof storeIdempotencyResult
  >[3],
): Answer {
  assertStatus(statusCode);
  const text = typeof response === "string"
    ? response
    : JSON.stringify(response) ?? "";
  return {
    status: statusCode,
    // Names in lower case, values as they may be sent; throws on others.
    headers: Object.fromEntries(new Headers(headers)),
    body: new TextEncoder().encode(text),
  };
}

function cachedOf({ status, headers, body }: KeptAnswer): CachedResponse {
  return {
    response: textOrBase64(body),
    status_code: status,
    response_headers: { ...headers },
  };
}
