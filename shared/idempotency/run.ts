import type { ResolvedConfig } from "./config.ts";
import { pRetry } from "./deps.ts";
import {
  KeyReusedError,
  LedgerUnavailableError,
  OutcomeUnknownError,
  RequestInProgressError,
  ResponseNotStoredError,
} from "./errors.ts";
import { hashIdentity, type Outcome } from "./event.ts";
import type { Answer, ClaimResult, Identity, Ledger } from "./ledger.ts";
import { countReplay } from "./replay_counts.ts";
import { MAX_STORED_BYTES } from "./response.ts";

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
  /**
   * Records the answer and says which one to give: this one, or the one that
   * another attempt recorded first.
   *
   * @throws {RequestInProgressError} When another attempt has the key now.
   */
  finish(answer: Answer, final: boolean): Promise<Finished>;
  /** Records that the attempt did not take effect. */
  fail(error: unknown): Promise<void>;
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
  | { readonly kind: "run"; readonly run: Run };

/**
 * The first half of the state machine: claim, or wait for the claim's holder,
 * or replay. The second half is {@link Run}.
 *
 * @throws {IdempotencyError} When the request must not run.
 */
export async function begin(request: RunRequest): Promise<Begun> {
  const { ledger, identity, config } = request;
  const startedAt = performance.now();
  const ownerToken = crypto.randomUUID();
  const report = reporter(request, startedAt);
  let tries = 0;

  const claim = async (): Promise<Claimed> => {
    tries += 1;
    return granted(
      identity.key,
      await ledger.claim(identity, {
        fingerprint: request.fingerprint,
        ownerToken,
        leaseSeconds: config.leaseSeconds,
        ttlSeconds: config.ttlSeconds.completed,
        onAbandoned: config.onAbandoned,
        metadata: request.metadata ?? null,
      }),
    );
  };

  let claimed: Claimed;
  try {
    claimed = config.onConcurrent === "wait"
      ? await untilSettled(claim, config.waitSeconds)
      : await claim();
  } catch (error) {
    report(outcomeOfRefusal(error, config), 0, error);
    throw error;
  }
  if (claimed.outcome === "replay") {
    countReplay(ledger, identity);
    report(tries > 1 ? "replayed_after_wait" : "replayed", 0);
    return { kind: "replay", answer: claimed.answer };
  }
  const { attempt, fence } = claimed;
  const settle = (outcome: Outcome, error?: unknown) =>
    report(outcome, attempt, error);

  const fail = async (error: unknown) => {
    settle("failed", error);
    try {
      await ledger.fail(
        identity,
        ownerToken,
        messageOf(error),
        config.ttlSeconds.failed,
      );
    } catch (cause) {
      // The key frees itself when its lease ends; the handler's own error is
      // what the caller needs to see.
      settle("unrecorded", cause);
    }
  };

  const finish = async (answer: Answer, final: boolean): Promise<Finished> => {
    if (!final) {
      await fail(`answered with status ${answer.status}, which is not final`);
      return { answer, as: "unstored" };
    }
    try {
      const result = await ledger.complete(
        identity,
        ownerToken,
        keepable(answer),
        config.ttlSeconds.completed,
      );
      if (result.outcome === "recorded") {
        settle("executed");
        return { answer, as: "stored" };
      }
      settle("lost_lease");
      if (result.outcome === "replay") {
        return { answer: kept(identity.key, result.answer), as: "replayed" };
      }
      // Nobody else will answer for this key any more: ours is the only word.
      if (result.outcome === "gone") return { answer, as: "unstored" };
    } catch (error) {
      if (!(error instanceof LedgerUnavailableError)) throw error;
      // The effect has happened. Its answer stops the client from asking
      // again, which an error would invite.
      settle("unrecorded", error);
      return { answer, as: "unstored" };
    }
    throw new RequestInProgressError(identity.key, MAX_RETRY_AFTER_SECONDS);
  };

  return {
    kind: "run",
    run: { key: identity.key, attempt, fence, finish, fail },
  };
}

// The lease says how long a crash may go unnoticed, not how long the work
// takes; most of it is done in a second or two, and asking costs one read.
const MAX_RETRY_AFTER_SECONDS = 2;

type Claimed = Extract<ClaimResult, { outcome: "claimed" | "replay" }>;

function granted(key: string, result: ClaimResult): Claimed {
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

/** Polls with back-off and full jitter: the database must not block for us. */
function untilSettled(
  claim: () => Promise<Claimed>,
  waitSeconds: number,
): Promise<Claimed> {
  return pRetry(claim, {
    retries: Infinity,
    maxRetryTime: waitSeconds * 1000,
    minTimeout: 40,
    factor: 1.5,
    maxTimeout: 1_000,
    randomize: true,
    shouldRetry: ({ error }) => error instanceof RequestInProgressError,
  });
}

function keepable(answer: Answer): Answer {
  const tooLarge = (answer.body?.byteLength ?? 0) > MAX_STORED_BYTES;
  return tooLarge ? { ...answer, body: null } : answer;
}

function kept(key: string, answer: Answer): Answer {
  if (answer.body !== null) return answer;
  throw new ResponseNotStoredError(key, answer.status);
}

function outcomeOfRefusal(error: unknown, config: ResolvedConfig): Outcome {
  if (error instanceof RequestInProgressError) return "in_progress";
  if (error instanceof KeyReusedError) return "mismatch";
  if (error instanceof OutcomeUnknownError) return "abandoned";
  if (error instanceof ResponseNotStoredError) return "replayed";
  return error instanceof LedgerUnavailableError &&
      config.onLedgerDown === "run"
    ? "unprotected"
    : "unavailable";
}

function reporter({ identity, config }: RunRequest, startedAt: number) {
  return (outcome: Outcome, attempt: number, error?: unknown) => {
    if (error instanceof LedgerUnavailableError) logCause(error);
    const { onEvent } = config;
    if (onEvent === undefined) return;
    const durationMs = performance.now() - startedAt;
    hashIdentity(identity).then((keyHash) =>
      onEvent({
        outcome,
        scope: identity.scope,
        keyHash,
        durationMs,
        attempt,
        ...(error === undefined ? {} : { error }),
      })
    ).catch((cause) => console.error("onEvent threw:", cause));
  };
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

/** The client is told that the ledger is out of reach; the log is told why. */
function logCause({ message, cause }: LedgerUnavailableError): void {
  const { code = "no code", message: why = cause } = (cause ?? {}) as {
    code?: string;
    message?: string;
  };
  console.error(`${message} (${code || "no code"}: ${why})`);
}
