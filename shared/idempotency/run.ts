import {
  claimWhenSettled,
  type Granted,
  granted,
  kept,
  MAX_RETRY_AFTER_SECONDS,
} from "./claim.ts";
import type { ResolvedConfig } from "./config.ts";
import { type EffectKey, effectKeyOf } from "./effect_key.ts";
import {
  KeyReusedError,
  LeaseLostError,
  LedgerUnavailableError,
  OutcomeUnknownError,
  RequestInProgressError,
  ResponseNotStoredError,
} from "./errors.ts";
import { type Outcome, reporterOf } from "./event.ts";
import { hashIdentity } from "./identity_name.ts";
import { keepLease } from "./lease.ts";
import type { Answer, Identity, Ledger, SettleResult } from "./ledger.ts";
import { platform } from "./platform.ts";
import { countReplay } from "./replay_counts.ts";
import { MAX_STORED_BYTES } from "./response.ts";
import { lockedLedger } from "./shared_lock.ts";
import { announceRun, joinRun } from "./single_flight.ts";
import { type Step, stepsOf } from "./steps.ts";

/** What {@link begin} needs. */
export interface RunRequest {
  readonly ledger: Ledger;
  readonly identity: Identity;
  /** SHA-256, 64 lower-case hexadecimal digits. */
  readonly fingerprint: string;
  readonly config: ResolvedConfig;
  /** Kept with the key, for people. */
  readonly metadata?: Record<string, unknown> | null;
}

/** The caller holds the key: it must end with `finish` or `fail`. */
export interface Run {
  /** The idempotency key. */
  readonly key: string;
  /** Which run of the key this is, from 1. */
  readonly attempt: number;
  /** Greater than that of every earlier attempt of any key. */
  readonly fence: number;
  /** Aborted when the key is lost, or the worker must go. */
  readonly signal: AbortSignal;
  /** Runs a part of the operation once over all attempts. */
  readonly step: Step;
  /** Names an effect, the same in every attempt. */
  readonly effectKey: EffectKey;
  /**
   * Records the answer and says which one to give: this one, or the one that
   * another attempt recorded first.
   *
   * @throws {RequestInProgressError} When another attempt has the key now.
   */
  finish(answer: Answer, final: boolean): Promise<Finished>;
  /**
   * Records that the attempt did not take effect.
   *
   * @returns The answer to give instead of the error, when another attempt has
   * recorded one; else `null`.
   */
  fail(error: unknown): Promise<Answer | null>;
  /** Tells the user that the key is completed; never throws. */
  notify(): Promise<void>;
}

/** What became of {@link Run.finish}. */
export interface Finished {
  /** The answer to give. */
  readonly answer: Answer;
  /** `stored`: ours, and it will be replayed; `unstored`: ours; `replayed`. */
  readonly as: "stored" | "unstored" | "replayed";
}

/** What {@link begin} decided. */
export type Begun =
  | { readonly kind: "replay"; readonly answer: Answer }
  /** The ledger is out of reach, and the route runs all the same. */
  | { readonly kind: "unprotected" }
  | { readonly kind: "run"; readonly run: Run };

/**
 * The first half of the state machine: claim, or wait for whoever has claimed,
 * or replay. The second half is {@link Run}.
 *
 * @throws {IdempotencyError} When the request must not run.
 */
export async function begin(request: RunRequest): Promise<Begun> {
  const { identity, fingerprint, config } = request;
  const ledger = config.sharedLock === undefined
    ? request.ledger
    : lockedLedger(request.ledger, config.sharedLock);
  const report = reporterOf(identity, config.onEvent);
  const ownerToken = crypto.randomUUID();
  const waitUntil = performance.now() + config.waitSeconds * 1000;
  const waits = config.onConcurrent === "wait";
  let tries = 0;

  const claim = async (): Promise<Granted> => {
    tries += 1;
    const result = await ledger.claim(identity, {
      fingerprint,
      ownerToken,
      leaseSeconds: config.leaseSeconds,
      ttlSeconds: config.ttlSeconds.completed,
      onAbandoned: config.onAbandoned,
      metadata: request.metadata ?? null,
    });
    return granted(identity.key, result);
  };

  const shared = waits
    ? await joinRun(identity, fingerprint, config.waitSeconds * 1000)
    : null;
  if (shared !== null) return replay(shared, "shared");

  let claimed: Granted;
  try {
    claimed = waits
      ? await claimWhenSettled(
        claim,
        Math.max(0, waitUntil - performance.now()),
      )
      : await claim();
  } catch (error) {
    const outcome = refusalOf(error, config);
    report(outcome, { error });
    if (outcome === "unprotected") return { kind: outcome };
    throw error;
  }
  if (claimed.outcome === "claimed") {
    return {
      kind: "run",
      run: runOf({ ...request, ledger }, ownerToken, claimed, report),
    };
  }
  return replay(claimed.answer, tries > 1 ? "replayed_after_wait" : "replayed");

  function replay(answer: Answer, outcome: Outcome): Begun {
    countReplay(request.ledger, identity);
    report(outcome);
    return { kind: "replay", answer };
  }
}

function runOf(
  { ledger, identity, fingerprint, config }: RunRequest,
  ownerToken: string,
  { attempt, fence, steps, takenOver }: Extract<
    Granted,
    { outcome: "claimed" }
  >,
  reportAny: ReturnType<typeof reporterOf>,
): Run {
  const { key } = identity;
  const { leaseSeconds, ttlSeconds } = config;
  const effectKey = effectKeyOf(identity, fingerprint);
  const lease = keepLease(ledger, identity, ownerToken, leaseSeconds);
  const share = announceRun(identity, fingerprint);
  const report = (outcome: Outcome, error?: unknown) =>
    reportAny(outcome, { attempt, error });
  if (takenOver) report("taken_over");

  const end = (answer: Answer | null) => {
    lease.end();
    share(answer);
  };

  const fail = async (error: unknown): Promise<Answer | null> => {
    end(null);
    report(error instanceof LeaseLostError ? "lost_lease" : "failed", error);
    try {
      const message = messageOf(error);
      const result = await ledger.fail(
        identity,
        ownerToken,
        message,
        ttlSeconds.failed,
      );
      return result.outcome === "replay" ? kept(key, result.answer) : null;
    } catch (cause) {
      // The key frees itself when its lease ends; the handler's own error is
      // what the caller needs to see.
      report("unrecorded", cause);
      return null;
    }
  };

  const complete = async (answer: Answer): Promise<SettleResult | null> => {
    try {
      return await ledger.complete(
        identity,
        ownerToken,
        keepable(answer),
        ttlSeconds.completed,
      );
    } catch (error) {
      // The effect has happened. Its answer stops the client from asking
      // again, which an error would invite.
      report("unrecorded", error);
      return null;
    }
  };

  const finish = async (answer: Answer, final: boolean): Promise<Finished> => {
    if (!final) {
      const other = await fail(
        `answered with status ${answer.status}, which is not final`,
      );
      return other === null
        ? { answer, as: "unstored" }
        : { answer: other, as: "replayed" };
    }
    lease.end();
    const result = await complete(answer);
    const recorded = result?.outcome === "recorded";
    end(recorded && isKeepable(answer) ? answer : null);
    if (recorded) report("executed");
    else if (result !== null) report("lost_lease");
    switch (result?.outcome) {
      case "recorded":
        return { answer, as: "stored" };
      case "replay":
        return { answer: kept(key, result.answer), as: "replayed" };
      case "lost":
        throw new RequestInProgressError(key, MAX_RETRY_AFTER_SECONDS);
      // Nobody else answers for this key any more: ours is the only word.
      case "gone":
      case undefined:
        return { answer, as: "unstored" };
    }
  };

  return {
    key,
    attempt,
    fence,
    signal: lease.signal,
    step: stepsOf(
      ledger,
      identity,
      ownerToken,
      { effectKey, leaseSeconds },
      steps,
    ),
    effectKey,
    finish,
    fail,
    notify: async () => {
      try {
        await ledger.notify(identity);
      } catch (error) {
        // The answer is recorded; whoever asks for it gets it all the same.
        const keyHash = await hashIdentity(identity);
        platform.log(`Could not notify the user of the key ${keyHash}:`, error);
      }
    },
  };
}

function isKeepable(answer: Answer): boolean {
  return (answer.body?.byteLength ?? 0) <= MAX_STORED_BYTES;
}

function keepable(answer: Answer): Answer {
  return isKeepable(answer) ? answer : { ...answer, body: null };
}

function refusalOf(error: unknown, config: ResolvedConfig): Outcome {
  if (error instanceof RequestInProgressError) return "in_progress";
  if (error instanceof KeyReusedError) return "mismatch";
  if (error instanceof OutcomeUnknownError) return "abandoned";
  if (error instanceof ResponseNotStoredError) return "replayed";
  return error instanceof LedgerUnavailableError &&
      config.onLedgerDown === "run"
    ? "unprotected"
    : "unavailable";
}

// A message is for people who look at the key later; a stack or a response
// dumped into it would only push out the part that helps.
const MAX_ERROR_CHARS = 1_000;

function messageOf(error: unknown): string {
  const text = error instanceof Error
    ? `${error.name}: ${error.message}`
    : String(error);
  return text.slice(0, MAX_ERROR_CHARS);
}
