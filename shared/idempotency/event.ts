import { LedgerMisconfiguredError, LedgerUnavailableError } from "./errors.ts";
import { sha256Hex } from "./fingerprint.ts";
import { type Identity, identityName } from "./ledger.ts";
import { platform } from "./platform.ts";

/** What became of a request that carried a key, or should have. */
export type Outcome =
  /** It ran, and its answer was recorded. */
  | "executed"
  /** It got the recorded answer of an earlier one. */
  | "replayed"
  /** It waited for a running one and got that one's answer. */
  | "replayed_after_wait"
  /** It got the answer of a running one in the same isolate. */
  | "shared"
  /** Somebody else runs the key. */
  | "in_progress"
  /** The key belongs to another payload. */
  | "mismatch"
  /** An interrupted attempt holds the key, and the route refuses to guess. */
  | "abandoned"
  /** It runs a key that an interrupted attempt left; its outcome follows. */
  | "taken_over"
  /** It ran and threw, or its answer was not final. */
  | "failed"
  /** It ran too long: another attempt had taken the key over. */
  | "lost_lease"
  /** It ran, but the ledger could not record how it ended. */
  | "unrecorded"
  /** The ledger was out of reach; it ran without protection. */
  | "unprotected"
  /** The ledger was out of reach; it was refused. */
  | "unavailable"
  /** A POST, PUT or PATCH without a key; run or refused as is enforced. */
  | "missing";

/** One line for logs and statistics; it holds nothing personal. */
export interface IdempotencyEvent {
  /** What became of the request. */
  readonly outcome: Outcome;
  /** The route or operation. */
  readonly scope: string;
  /**
   * The first 16 hexadecimal digits of SHA-256 over user, scope and key; empty
   * where there was no key.
   */
  readonly keyHash: string;
  /** From the claim of the key to the outcome, in ms; 0 without a key. */
  readonly durationMs: number;
  /** Which run of the key this was, from 1; 0 when it did not run. */
  readonly attempt: number;
  /** What went wrong, where something did. */
  readonly error?: unknown;
}

/** Says what became of one request. */
export type Reporter = (
  outcome: Outcome,
  details?: {
    attempt?: number;
    error?: unknown;
    /** @default {the one that was known from the beginning} */
    onEvent?: ((event: IdempotencyEvent) => void) | undefined;
  },
) => void;

/**
 * Tells `onEvent` and the log what became of one request.
 *
 * @param first Told where nobody else is named.
 * @param startedAt When the key was asked for, in ms of this worker.
 */
export function reporterOf(
  identity: Identity,
  first: ((event: IdempotencyEvent) => void) | undefined,
  startedAt: number = performance.now(),
): Reporter {
  return (outcome, { attempt = 0, error, onEvent = first } = {}) => {
    if (
      error instanceof LedgerUnavailableError ||
      error instanceof LedgerMisconfiguredError
    ) logCause(error);
    if (onEvent === undefined) return;
    const durationMs = performance.now() - startedAt;
    hashIdentity(identity).then((keyHash) =>
      tell(onEvent, {
        outcome,
        scope: identity.scope,
        keyHash,
        durationMs,
        attempt,
        ...(error === undefined ? {} : { error }),
      })
    );
  };
}

/** Tells a listener, without waiting for it; the log has what it throws. */
export async function tell(
  onEvent: ((event: IdempotencyEvent) => unknown) | undefined,
  event: IdempotencyEvent,
): Promise<void> {
  try {
    await onEvent?.(event);
  } catch (cause) {
    platform.log("onEvent threw:", cause);
  }
}

/** The client is told that the ledger is out of reach; the log is told why. */
function logCause({ message, cause }: Error): void {
  const { code, message: why = cause } = (cause ?? {}) as {
    code?: string;
    message?: string;
  };
  platform.log(`${message} (${code || "no code"}: ${why})`);
}

/**
 * Stands for a key in a log: hides who and which one, and still tells two apart.
 *
 * @returns 16 hexadecimal digits.
 */
export async function hashIdentity(identity: Identity): Promise<string> {
  return (await sha256Hex(identityName(identity))).slice(0, 16);
}
