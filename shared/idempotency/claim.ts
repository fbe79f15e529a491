import {
  type Attempt,
  attemptOf,
  kept,
  type KeptAnswer,
  MAX_RETRY_AFTER_SECONDS,
  unprotectedAttempt,
} from "./attempt.ts";
import type { ResolvedConfig } from "./config.ts";
import { pRetry } from "./deps.ts";
import {
  CallerUnknownError,
  KeyReusedError,
  LedgerUnavailableError,
  OutcomeUnknownError,
  RequestInProgressError,
} from "./errors.ts";
import { type Outcome, reporterOf } from "./event.ts";
import {
  type Answer,
  type ClaimResult,
  type ClaimTerms,
  type Denied,
  type Identity,
  KEPT_CHARACTER,
  type Ledger,
  placeOf,
} from "./ledger.ts";
import { platform } from "./platform.ts";
import { effectKeyOf } from "./steps.ts";

// To a database the owner '' is the project itself, whose keys no user shares;
// it has room for 255 characters.
const USER_ID = new RegExp(`^${KEPT_CHARACTER}{1,255}$`, "u");

/** What a request brings to {@link claim}. */
export interface Terms {
  /** SHA-256 of the request, 64 lower-case hexadecimal digits. */
  readonly fingerprint: string;
  readonly config: ResolvedConfig;
  /** Kept with the key, for people. */
  readonly metadata?: Record<string, unknown> | null;
  /**
   * Whether somebody will end the attempt, come what may: only then is its
   * lease renewed.
   *
   * @default {true}
   */
  readonly keepAlive?: boolean;
}

/** What {@link claim} ends in. */
export type Begun =
  | { readonly kind: "answer"; readonly answer: KeptAnswer }
  | { readonly kind: "attempt"; readonly attempt: Attempt };

/**
 * The first half of the state machine: claims the key, or waits for whoever has
 * it, or replays. The second half is the {@link Attempt}.
 *
 * @throws {IdempotencyError} When the request must not run.
 */
export async function claim(
  ledger: Ledger,
  identity: Identity,
  { fingerprint, config, metadata = null, keepAlive = true }: Terms,
): Promise<Begun> {
  const { userId, scope, key } = identity;
  // Without types the id may be missing altogether, and would be taken for the
  // project's.
  const isUser = typeof userId === "string" && USER_ID.test(userId);
  if (userId !== null && !isUser) {
    throw new CallerUnknownError("a user without an id that can be kept");
  }
  const startedAt = performance.now();
  const ownerToken = crypto.randomUUID();
  const terms: ClaimTerms = {
    fingerprint,
    ownerToken,
    leaseSeconds: config.leaseSeconds,
    ttlSeconds: config.ttlSeconds.completed,
    onAbandoned: config.onAbandoned,
    maxAttempts: config.maxAttempts,
    metadata,
    thirdParty: config.thirdPartyAuth,
  };
  const place = ledger.place ?? placeOf(ledger);
  const name = JSON.stringify([place, fingerprint, userId, scope, key]);
  // Of an interrupted attempt another policy is told something else.
  const question = `${name} ${config.onAbandoned} ${config.maxAttempts}`;
  let isUnheard = false;
  const ask = () =>
    askOnce(question, async () => {
      const askedAt = performance.now();
      try {
        return await ledger.claim(identity, terms);
      } catch (error) {
        isUnheard = performance.now() - askedAt > UNHEARD_AFTER_MS;
        throw error;
      }
    });
  // A run is announced only where duplicates wait for it: all requests of a
  // route have the same configuration.
  const waits = config.onConcurrent === "wait";
  let outcome: Outcome = "replayed";
  let result: ClaimResult;
  try {
    if (!waits) {
      result = await ask();
    } else {
      const waitMs = config.waitSeconds * 1000;
      const until = performance.now() + waitMs;
      let tries = 0;
      result = await untilSettled(async () => {
        const leftMs = Math.max(0, Math.ceil(until - performance.now()));
        const answer = await joinFlight(name, leftMs);
        if (answer !== null) {
          outcome = "shared";
          return { outcome: "replay", answer };
        }
        // It failed, and another of those who waited is at it; or time is up.
        // Then the ledger is asked after all, if it can tell: a run that was
        // cut off ends no announcement.
        if (flights.has(name)) {
          return performance.now() < until ? RUNNING : await ask().catch(
            (error) => {
              if (error instanceof LedgerUnavailableError) return RUNNING;
              throw error;
            },
          );
        }
        if (++tries > 1) outcome = "replayed_after_wait";
        return await ask();
      }, waitMs);
    }
    // Whoever may go on has an answer or a fence.
    if (!("answer" in result || "fence" in result)) {
      throw denialOf(key, result);
    }
  } catch (error) {
    const refusal = refusalOf(error, config);
    reporterOf(identity, config.onEvent, startedAt)(refusal, { error });
    if (refusal !== "unprotected") {
      // What runs without the ledger may have taken effect when the claim is
      // granted: there its end is unknown, and the key must say so.
      if (isUnheard) {
        giveBack(ledger, identity, ownerToken, config.ttlSeconds.failed);
      }
      throw error;
    }
    // The ledger may have granted the key, or may be back for the next attempt:
    // a provider, or a unique constraint, still knows the effect by its name.
    const effectKey = effectKeyOf(identity, fingerprint);
    return { kind: "attempt", attempt: unprotectedAttempt(effectKey) };
  }
  const report = reporterOf(identity, config.onEvent, startedAt);
  if (result.outcome === "replay") {
    countReplay(ledger, identity);
    report(outcome);
    return { kind: "answer", answer: kept(key, result.answer) };
  }
  const attempt = attemptOf({
    ledger,
    identity,
    fingerprint,
    config,
    ownerToken,
    claimed: result,
    report,
    // Whoever waits for an attempt that nobody ends would wait in vain.
    share: waits && keepAlive ? announceFlight(name) : undefined,
  });
  if (keepAlive) attempt.keepAlive();
  return { kind: "attempt", attempt };
}

// Who refuses a connection does so at once; who is slow may still be at it.
const UNHEARD_AFTER_MS = 1_000;

// What stands before a database, and the database, hold a claim for some ten
// seconds; those of a ledger that hangs begin when it answers again.
const HELD_MS = 12_000;

// A ledger that is down for longer is not to be asked by all at once.
const GIVE_BACK_MS = 90_000;

/**
 * Frees a key whose claim got no answer in time. A ledger that was only slow
 * grants it all the same, and what nobody runs would count as a crash: routes
 * that refuse to repeat one would wait for an operator.
 */
function giveBack(
  ledger: Ledger,
  identity: Identity,
  ownerToken: string,
  ttlSeconds: number,
): void {
  const message = "nothing ran: the claim got no answer in time";
  let heardAt = Infinity;
  const given = pRetry(async () => {
    const { outcome } = await ledger
      .fail(identity, ownerToken, { message, status: null }, ttlSeconds);
    heardAt = Math.min(heardAt, performance.now());
    // Tries of the claim may still wait, for a connection or for a lock, and
    // somebody who has the key meanwhile may fail.
    if (outcome !== "replay") throw new Error("it may be granted later");
  }, {
    retries: Infinity,
    minTimeout: 250,
    maxTimeout: 2_000,
    maxRetryTime: GIVE_BACK_MS,
    shouldRetry: () => performance.now() - heardAt < HELD_MS,
  });
  platform.waitUntil(given.catch(() => {}));
}

/** Why a claim was denied. */
export function denialOf(key: string, denied: Denied): Error {
  switch (denied.outcome) {
    case "mismatch":
      return new KeyReusedError(key);
    case "abandoned":
      return new OutcomeUnknownError(key);
    case "in_progress":
      return new RequestInProgressError(
        key,
        Math.min(denied.retryAfterSeconds, MAX_RETRY_AFTER_SECONDS),
      );
  }
}

/**
 * Claims again while somebody else runs the key. Polls with back-off and full
 * jitter, because a statement that waits in the database would hold one of its
 * connections and end at the API's statement time limit.
 *
 * @param waitMs How long at most, in ms; then the last answer stands.
 */
async function untilSettled(
  claim: () => Promise<ClaimResult>,
  waitMs: number,
): Promise<ClaimResult> {
  let last: ClaimResult | undefined;
  try {
    return await pRetry(async () => {
      last = await claim();
      if (last.outcome === "in_progress") throw new StillRunning();
      return last;
    }, {
      retries: Infinity,
      maxRetryTime: waitMs,
      minTimeout: 40,
      factor: 1.5,
      maxTimeout: 1_000,
      randomize: true,
      shouldRetry: ({ error }) => error instanceof StillRunning,
    });
  } catch (error) {
    // Somebody was at it a moment ago: a ledger that falls silent is no reason
    // to run beside them.
    const isOver = error instanceof StillRunning ||
      error instanceof LedgerUnavailableError;
    if (isOver && last !== undefined) return last;
    throw error;
  }
}

class StillRunning extends Error {}

/** Somebody in this isolate is at it. */
const RUNNING: ClaimResult = { outcome: "in_progress", retryAfterSeconds: 1 };

function refusalOf(error: unknown, config: ResolvedConfig): Outcome {
  if (error instanceof RequestInProgressError) return "in_progress";
  if (error instanceof KeyReusedError) return "mismatch";
  if (error instanceof OutcomeUnknownError) return "abandoned";
  return error instanceof LedgerUnavailableError &&
      config.onLedgerDown === "run"
    ? "unprotected"
    : "unavailable";
}

// Duplicates in one isolate share a run.

type Waiter = (answer: Answer | null) => void;

const flights = new Map<string, Set<Waiter>>();

/** Claims that are on their way, by ledger, payload, identity and policy. */
const asking = new Map<string, Promise<ClaimResult>>();

/**
 * Asks the ledger, unless the same question is on its way: of a crowd that
 * arrives at once one asks, and the others hear what it heard. Where it was
 * granted, they hear that somebody is at it.
 */
async function askOnce(
  question: string,
  claim: () => Promise<ClaimResult>,
): Promise<ClaimResult> {
  const asked = asking.get(question);
  if (asked !== undefined) {
    const heard = await asked;
    return "fence" in heard ? RUNNING : heard;
  }
  const own = claim();
  // It would end unheard where the client goes away, and with it all who hear it.
  platform.workers?.waitUntil(own.catch(() => {}));
  asking.set(question, own);
  try {
    return await own;
  } finally {
    asking.delete(question);
  }
}

/**
 * Announces a run to duplicates in this isolate.
 *
 * @returns Ends the announcement, with the recorded answer or with `null` when
 * there is none to share.
 */
function announceFlight(name: string): Waiter {
  const waiters = new Set<Waiter>();
  flights.set(name, waiters);
  return (answer) => {
    // After a takeover in this isolate the name belongs to the next attempt.
    if (flights.get(name) === waiters) flights.delete(name);
    for (const tell of waiters) tell(answer);
    waiters.clear();
  };
}

/**
 * Waits for a run of the same request in this isolate, without asking the
 * ledger.
 *
 * @param waitMs How long at most, in ms.
 * @returns Its recorded answer; `null` when there is no such run, it left none,
 * or time is up.
 */
function joinFlight(name: string, waitMs: number): Promise<Answer | null> {
  const waiters = flights.get(name);
  if (waiters === undefined) return Promise.resolve(null);
  return new Promise((resolve) => {
    const tell: Waiter = (answer) => {
      clearTimeout(timer);
      waiters.delete(tell);
      resolve(answer);
    };
    const timer = setTimeout(tell, waitMs, null);
    waiters.add(tell);
  });
}

// Replays are counted, and not on their own path.

// Long enough that a burst of retries becomes one call, short enough that
// whoever watches the statistics sees them move.
const FLUSH_AFTER_MS = 1_000;

const counts = new Map<string, Count>();

interface Count {
  ledger: Ledger;
  readonly userId: string | null;
  readonly scope: string;
  replays: number;
}

/**
 * Counts a replay for the statistics. The replay itself neither writes nor
 * waits: counts gather in memory and are sent about a second later, together.
 * A worker killed in between loses that second of statistics and nothing else.
 */
export function countReplay(ledger: Ledger, identity: Identity): void {
  if (ledger.countReplays === undefined) return;
  const { userId, scope } = identity;
  const name = JSON.stringify([ledger.place ?? placeOf(ledger), userId, scope]);
  const count = counts.get(name);
  if (count !== undefined) {
    count.replays += 1;
    count.ledger = ledger;
    return;
  }
  if (counts.size === 0) {
    platform.waitUntil(
      new Promise<void>((resolve) => {
        setTimeout(() => flushReplayCounts().then(resolve), FLUSH_AFTER_MS);
      }),
    );
  }
  counts.set(name, { ledger, userId, scope, replays: 1 });
}

/** Sends what {@link countReplay} gathered; never throws. */
export async function flushReplayCounts(): Promise<void> {
  const gathered = [...counts.values()];
  counts.clear();
  await Promise.allSettled(
    gathered.map(async ({ ledger, userId, scope, replays }) => {
      await ledger.countReplays?.(userId, scope, replays);
    }),
  );
}
