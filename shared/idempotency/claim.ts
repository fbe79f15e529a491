import { pRetry } from "./deps.ts";
import {
  KeyReusedError,
  OutcomeUnknownError,
  RequestInProgressError,
  ResponseNotStoredError,
} from "./errors.ts";
import type { Answer, ClaimResult } from "./ledger.ts";

/** A claim that ends in running or in answering. */
export type Granted = Extract<ClaimResult, { outcome: "claimed" | "replay" }>;

// The lease says how long a crash may go unnoticed, not how long the work
// takes; most of it is done in a second or two, and asking costs one read.
export const MAX_RETRY_AFTER_SECONDS = 2;

/**
 * Turns a refused claim into the error that says why.
 *
 * @throws {IdempotencyError}
 */
export function granted(key: string, result: ClaimResult): Granted {
  switch (result.outcome) {
    case "claimed":
      return result;
    case "replay":
      return { outcome: "replay", answer: kept(key, result.answer) };
    case "mismatch":
      throw new KeyReusedError(key);
    case "abandoned":
      throw new OutcomeUnknownError(key);
    case "in_progress":
      throw new RequestInProgressError(
        key,
        Math.min(result.retryAfterSeconds, MAX_RETRY_AFTER_SECONDS),
      );
  }
}

/**
 * Claims again while somebody else runs the key. Polls with back-off and full
 * jitter, because a statement that waits in the database would hold one of its
 * connections and end at the API's statement time limit.
 *
 * @param waitMs How long at most, in ms.
 * @throws {RequestInProgressError} When time is up.
 */
export function claimWhenSettled(
  claim: () => Promise<Granted>,
  waitMs: number,
): Promise<Granted> {
  return pRetry(claim, {
    retries: Infinity,
    maxRetryTime: waitMs,
    minTimeout: 40,
    factor: 1.5,
    maxTimeout: 1_000,
    randomize: true,
    shouldRetry: ({ error }) => error instanceof RequestInProgressError,
  });
}

/**
 * The answer, if its body was kept.
 *
 * @throws {ResponseNotStoredError}
 */
export function kept(key: string, answer: Answer): Answer {
  if (answer.body !== null) return answer;
  throw new ResponseNotStoredError(key, answer.status);
}
