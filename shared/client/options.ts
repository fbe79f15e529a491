import type { KeyStorage } from "./keys.ts";

/** The `fetch` of the platform, or one with its manners. */
export type Fetch = (
  input: RequestInfo | URL,
  init?: RequestInit,
) => Promise<Response>;

/** When a request is sent again. */
export interface RetryOptions {
  /**
   * How often a request is sent at most; 1 for once. Beyond the first, asking
   * how a running request stands (409 `REQUEST_IN_PROGRESS`) does not count, nor
   * does waiting for a network: the budget bounds both.
   *
   * @default {6}
   */
  attempts?: number;
  /**
   * Bound of the first wait, in milliseconds; it doubles with each failure.
   *
   * @default {500}
   */
  baseMs?: number;
  /**
   * Bound of every wait, in milliseconds. `Retry-After` goes before it.
   *
   * @default {20_000}
   */
  maxMs?: number;
  /**
   * For how long a request is sent again, in milliseconds since it was sent
   * first. A lease outlives a crashed worker by half a minute.
   *
   * @default {60_000}
   */
  budgetMs?: number;
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
  readonly status?: number;
  readonly replayed?: boolean;
  readonly error?: unknown;
  /** In milliseconds. */
  readonly delayMs?: number;
}

/** Options of `createIdempotentFetch`. */
export interface IdempotentFetchOptions {
  /**
   * Sends a request once.
   *
   * @default {globalThis.fetch}
   */
  fetch?: Fetch;
  /**
   * Keeps keys over page reloads and shares them between tabs.
   *
   * @default {localStorage, or memory where there is none}
   */
  storage?: KeyStorage;
  /**
   * Which requests get a key and are sent again; others are left alone. It is
   * given the request without its body.
   *
   * @default {POST, PUT, PATCH and DELETE under /functions/v1/}
   */
  match?: (request: Request) => boolean;
  /** When a request is sent again. */
  retry?: RetryOptions;
  /**
   * How long a key without a final answer is kept, in milliseconds. No longer
   * than the server keeps it: after that the same key runs again.
   *
   * @default {86_400_000}
   */
  keepMs?: number;
  /** Told what happens to each matching request. */
  onAttempt?: (event: AttemptEvent) => void;
  /**
   * The present, in milliseconds since 1970; for tests.
   *
   * @default {Date.now}
   */
  now?: () => number;
  /**
   * From 0 up to, and without, 1; for tests.
   *
   * @default {Math.random}
   */
  random?: () => number;
  /**
   * Waits, and throws the signal's reason when it is aborted; for tests.
   *
   * @default {by setTimeout, until the browser is back online}
   */
  pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** One intention of the user, which takes effect once however often it is sent. */
export interface Attempt {
  /**
   * The key that the request is sent under. A follow-up of the same intention,
   * such as a confirmation, is sent under it too.
   */
  readonly key: string;
  /** Sends the request, or shares the answer of a sending under way. */
  send(): Promise<Response>;
  /**
   * Gives the intention up: what is sent from now on is another one, and may
   * take effect beside the first.
   */
  reset(): Promise<void>;
}
