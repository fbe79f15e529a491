import {
  FINAL_REFUSALS,
  isFromProtected,
  isRecorded,
  isReplayed,
  type Refusal,
  refusalOf,
} from "./answers.ts";
import type { IdempotentFetchOptions } from "./idempotent_fetch.ts";

/** When a request is sent again, to a function that is known to be protected. */
export interface RetryOptions {
  /**
   * How often a request is sent at most; 1 for once. Beyond the first, asking
   * how a running request stands (409 `REQUEST_IN_PROGRESS`) does not count, nor
   * does waiting for a network: the budget bounds both.
   *
   * @default {6}
   */
  attempts?: number | undefined;
  /**
   * Bound of the first wait, in milliseconds; it doubles with each failure.
   *
   * @default {500}
   */
  baseMs?: number | undefined;
  /**
   * Bound of every wait, in milliseconds. `Retry-After` goes before it.
   *
   * @default {20_000}
   */
  maxMs?: number | undefined;
  /**
   * How long a try may be silent before it counts as lost, in milliseconds: a
   * half-open connection never says that it is dead. Uploads have as long again
   * as they need at 5 kB/s. A function that works for longer is asked after, as
   * a running request.
   *
   * @default {30_000}
   */
  tryMs?: number | undefined;
  /**
   * For how long a request is sent again, in milliseconds since it was sent
   * first. After a try that used it up, one more asks for the recorded answer.
   *
   * @default {150_000, for as long as the platform lets a request wait for its answer}
   */
  budgetMs?: number | undefined;
}

/** Something that happened to a request, for a timeline or a log. */
export interface AttemptEvent {
  /**
   * `sent`; `answered`, with a status; `failed`, with an error; `waiting`, with
   * a delay, before it is sent again; `joined`: a repeat shares its answer.
   */
  readonly type: "sent" | "answered" | "failed" | "waiting" | "joined";
  readonly method: string;
  readonly url: string;
  /** The key; not known yet to a repeat that joins. */
  readonly key?: string;
  /** Which sending of the request, from 1. */
  readonly count?: number;
  readonly status?: number | undefined;
  readonly replayed?: boolean | undefined;
  readonly error?: unknown;
  /** In milliseconds. */
  readonly delayMs?: number;
}

/** What {@link sendUntilAnswered} needs to know of a request. */
export interface Sending {
  readonly send: (signal: AbortSignal) => Promise<Response>;
  readonly signal: AbortSignal;
  readonly isRepeatable: boolean;
  /** Of its body, in bytes; `Infinity` where nobody can tell. */
  readonly size: number;
  /** Whether the function is known to run once under a key. */
  readonly isProtected: boolean;
  /** Whether nothing else was, or is, sent under this key. */
  readonly isNew: () => boolean;
  readonly tell: (event: Omit<AttemptEvent, "method" | "url">) => void;
  /** Measures time, in milliseconds. */
  readonly tick: () => number;
}

/** The answer that sending ended with. */
export interface LastAnswer {
  readonly response: Response;
  /** How often the request was sent for it. */
  readonly count: number;
  /** Whether the intention has its final answer. */
  readonly isFinal: boolean;
  /** Whether the answer is one that only a protected function gives. */
  readonly isShown: boolean;
}

interface Try {
  readonly response?: Response;
  readonly refusal?: Refusal | undefined;
  readonly error?: unknown;
}

/** Bytes in a millisecond, of the slowest upload that is not given up. */
const SLOWEST = 5;

/** A longer time-out would be taken for none. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Sends a request until there is an answer that sending again would not change,
 * or until tries or budget are used up: then the last answer counts, or the
 * last error is thrown. Once, and with nothing read ahead of the caller, where
 * nothing says that the function is protected.
 */
export async function sendUntilAnswered(
  { send, signal, isRepeatable, size, isProtected, isNew, tell, tick }: Sending,
  options: IdempotentFetchOptions,
): Promise<LastAnswer> {
  const {
    attempts = 6,
    baseMs = 500,
    maxMs = 20_000,
    tryMs = 30_000,
    budgetMs = 150_000,
  } = options.retry ?? {};
  const { random = Math.random, pause = pauseByTimer } = options;
  const endsAt = tick() + budgetMs;
  const isOnce = !isRepeatable || attempts < 2;
  for (let count = 1, failures = 0;; count++) {
    if (signal.aborted) throw reasonOf(signal);
    const before = endsAt - tick();
    const silenceMs = Math.min(tryMs, before > 0 ? before : budgetMs || tryMs);
    tell({ type: "sent", count });
    const { response, refusal, error } = await trySending(
      send,
      signal,
      isProtected,
      isOnce || !isProtected ? Infinity : silenceMs + size / SLOWEST,
    );
    tell({
      type: response ? "answered" : "failed",
      count,
      status: response?.status,
      replayed: response && isReplayed(response),
      error,
    });
    const isShown = !!response && isFromProtected(response, refusal);
    isProtected ||= isShown;
    const isOpen = !response || refusal?.retryable && !isRecorded(response);
    const isCutOff = !response && isOffline();
    if (!(isCutOff || refusal?.code === "REQUEST_IN_PROGRESS")) failures++;
    const left = endsAt - tick();
    const delayMs = isCutOff ? left : (refusal?.retryAfterMs ?? 0) +
      backOffMs(failures, baseMs, maxMs, random());
    // By this try, and not by the waits; a timer may be a millisecond early.
    const isUsedUp = !response && left < 2 && before > 0 && before > 2 * left;
    if (
      !isOpen || !isProtected || isOnce || failures >= attempts ||
      !isUsedUp && (left <= 0 || delayMs > left)
    ) {
      if (!response) throw error;
      return {
        response,
        count,
        isShown,
        // After a try that may have taken effect, a refusal that is not recorded
        // says nothing: it may come from what stands before the function.
        isFinal: !isOpen && (!refusal || isShown ||
          count < 2 && isNew() && FINAL_REFUSALS.test(`${response.status}`)),
      };
    }
    await response?.body?.cancel();
    if (isUsedUp) continue;
    tell({ type: "waiting", count, delayMs });
    await pause(delayMs, signal);
  }
}

/**
 * Sends once. Of a protected function the answer is read to its end before it
 * counts, because one that breaks off half-way is lost like one that never came.
 * An event stream is not waited for.
 *
 * @param silenceMs How long it may be silent, in milliseconds.
 */
async function trySending(
  send: Sending["send"],
  signal: AbortSignal,
  isProtected: boolean,
  silenceMs: number,
): Promise<Try> {
  const controller = new AbortController();
  const abort = () => controller.abort(reasonOf(signal));
  if (isProtected) signal.addEventListener("abort", abort);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hear = () => {
    clearTimeout(timer);
    timer = setTimeout(
      () => controller.abort(new TypeError(`No answer for ${silenceMs} ms`)),
      Math.min(silenceMs, MAX_TIMER_MS),
    );
  };
  try {
    hear();
    // A signal of the caller's may live for as long as the app: no listener of
    // ours is left on it.
    const response = await send(isProtected ? controller.signal : signal);
    if (isProtected && !isEventStream(response)) {
      const reader = response.clone().body?.getReader();
      do hear(); while (reader && !(await reader.read()).done);
    }
    return { response, refusal: await refusalOf(response, isProtected) };
  } catch (error) {
    return { error };
  } finally {
    clearTimeout(timer);
  }
}

/** Whether a good answer comes bit by bit, for as long as it takes. */
export function isEventStream(response: Response): boolean {
  return response.ok &&
    /event-stream/.test(`${response.headers.get("content-type")}`);
}

/**
 * How long to wait before the next try, in milliseconds: anything up to a bound
 * that doubles with each failure ("full jitter"), so that clients which failed
 * together do not come back together.
 *
 * @param failures How many tries have failed; half of the first bound for none.
 * @param baseMs Bound of the first wait, in milliseconds.
 * @param maxMs Bound of every wait, in milliseconds.
 * @param random From 0 up to, and without, 1.
 */
export function backOffMs(
  failures: number,
  baseMs: number,
  maxMs: number,
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
export async function pauseByTimer(
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  let wake!: () => void;
  const woken = new Promise<void>((resolve) => wake = resolve);
  const timer = setTimeout(wake, Math.min(ms, MAX_TIMER_MS));
  // Not on React Native, which has no events of this kind.
  globalThis.addEventListener?.("online", wake);
  await unlessAborted(woken, signal).finally(() => {
    clearTimeout(timer);
    globalThis.removeEventListener?.("online", wake);
  });
}

/** Waits for a promise, and throws the signal's reason when it is aborted. */
export function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(reasonOf(signal!));
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    promise.finally(() => signal?.removeEventListener("abort", abort))
      .then(resolve, reject);
  });
}

/** Whether the browser knows that it has no network. */
export function isOffline(): boolean {
  const navigator: unknown = globalThis.navigator;
  return (navigator as { onLine?: boolean } | undefined)?.onLine === false;
}

/** Why a signal was aborted; some platforms do not say. */
export function reasonOf(signal: AbortSignal): unknown {
  return signal.reason ?? new Error("Aborted");
}
