import {
  type IdempotencyProblemError,
  isRecorded,
  isReplayed,
  problemOf,
} from "./answers.ts";
import type { AttemptEvent, IdempotentFetchOptions } from "./options.ts";
import { isOffline, reasonOf } from "./platform.ts";

/** What {@link sendUntilAnswered} needs to know of a request. */
export interface Sending {
  readonly send: () => Promise<Response>;
  readonly signal: AbortSignal;
  readonly isRepeatable: boolean;
  /** Whether a request under this key may have been sent before. */
  readonly isResumed: boolean;
  readonly tell: (event: Omit<AttemptEvent, "method" | "url">) => void;
}

/** The answer that sending ended with. */
export interface LastAnswer {
  readonly response: Response;
  /** Whether the intention has its final answer. */
  readonly isFinal: boolean;
}

interface Try {
  readonly response?: Response;
  readonly problem?: IdempotencyProblemError | null;
  readonly error?: unknown;
}

// What the server does not record: see the README, "What clients see".
const OPEN_STATUSES = [401, 403, 408, 409, 425, 429];

const CLOSING_CODES = [
  "IDEMPOTENCY_KEY_INVALID",
  "IDEMPOTENCY_KEY_REUSED",
  "RESPONSE_NOT_STORED",
];

/**
 * Sends a request until there is an answer that sending again would not change,
 * or until tries or budget are used up: then the last answer counts, or the
 * last error is thrown.
 */
export async function sendUntilAnswered(
  { send, signal, isRepeatable, isResumed, tell }: Sending,
  options: IdempotentFetchOptions,
): Promise<LastAnswer> {
  const {
    attempts = 6,
    baseMs = 500,
    maxMs = 20_000,
    budgetMs = 60_000,
  } = options.retry ?? {};
  const { now = Date.now, random = Math.random, pause = pauseByTimer } =
    options;
  const endsAt = now() + budgetMs;
  for (let count = 1, failures = 0;; count++) {
    tell({ type: "sent", count });
    const { response, problem, error }: Try = await trySending(send);
    if (signal.aborted) throw reasonOf(signal);
    const told = response
      ? {
        type: "answered",
        status: response.status,
        replayed: isReplayed(response),
      } as const
      : { type: "failed", error } as const;
    tell({ ...told, count });
    if (response && !(problem?.retryable && !isRecorded(response))) {
      const isFirst = count === 1 && !isResumed;
      return { response, isFinal: isFinal(response, problem, isFirst) };
    }
    const isCutOff = !response && isOffline();
    if (!isCutOff && problem?.code !== "REQUEST_IN_PROGRESS") failures++;
    const left = endsAt - now();
    const delayMs = isCutOff ? left : (problem?.retryAfterMs ?? 0) +
      backOffMs(failures, { baseMs, maxMs }, random());
    const isLast = !isRepeatable || attempts < 2 || failures >= attempts;
    if (isLast || left <= 0 || delayMs > left) {
      if (response) return { response, isFinal: false };
      throw error;
    }
    tell({ type: "waiting", count, delayMs });
    await response?.body?.cancel();
    await pause(delayMs, signal);
  }
}

/**
 * Sends once, and reads the answer to its end before it counts: one that breaks
 * off half-way is lost like one that never came. An event stream is not waited
 * for.
 */
async function trySending(send: Sending["send"]): Promise<Try> {
  try {
    const response = await send();
    const problem = await problemOf(response);
    if (!problem && !isEventStream(response)) {
      await response.clone().arrayBuffer();
    }
    return { response, problem };
  } catch (error) {
    return { error };
  }
}

/** Whether an answer comes bit by bit, for as long as it takes. */
export function isEventStream(response: Response): boolean {
  return response.headers.get("content-type")?.startsWith(
    "text/event-stream",
  ) ??
    false;
}

/**
 * @param isFirst Whether no earlier try can have taken effect. After one that
 * has, a refusal that is not recorded says nothing about it: it may come from
 * something that stands before the function.
 */
function isFinal(
  response: Response,
  problem: IdempotencyProblemError | null | undefined,
  isFirst: boolean,
): boolean {
  if (!problem || isRecorded(response)) return true;
  const { status, code } = problem;
  if (CLOSING_CODES.includes(code)) return true;
  return isFirst && status < 500 && !OPEN_STATUSES.includes(status);
}

/** Between which bounds {@link backOffMs} grows. */
export interface BackOff {
  /** Bound of the first wait, in milliseconds. */
  baseMs: number;
  /** Bound of every wait, in milliseconds. */
  maxMs: number;
}

/**
 * How long to wait before the next try, in milliseconds: anything up to a bound
 * that doubles with each failure ("full jitter"), so that clients which failed
 * together do not come back together.
 *
 * @param failures How many tries have failed; half of the first bound for none.
 * @param random From 0 up to, and without, 1.
 */
export function backOffMs(
  failures: number,
  { baseMs, maxMs }: BackOff,
  random: number,
): number {
  return random * Math.min(maxMs, baseMs * 2 ** (failures - 1));
}

/**
 * Waits. Ends early when the browser says that it is back online, and throws
 * the signal's reason when it is aborted.
 *
 * @param ms How long, in milliseconds.
 */
export function pauseByTimer(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const wake = () => end(resolve);
    const abort = () => end(() => reject(reasonOf(signal)));
    const end = (settle: () => void) => {
      clearTimeout(timer);
      // Not on React Native, which has no events of this kind.
      globalThis.removeEventListener?.("online", wake);
      signal.removeEventListener("abort", abort);
      settle();
    };
    // A longer time-out would be taken for none.
    const timer = setTimeout(wake, Math.min(ms, 2 ** 31 - 1));
    globalThis.addEventListener?.("online", wake);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
  });
}
