/**
 * What {@link IdempotencyError} codes mean over HTTP: the contract with
 * clients. A code, once published, keeps its status.
 */
const CONTRACT = {
  IDEMPOTENCY_KEY_MISSING: {
    status: 400,
    title: "Idempotency key missing",
    retryable: false,
  },
  IDEMPOTENCY_KEY_INVALID: {
    status: 400,
    title: "Idempotency key invalid",
    retryable: false,
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    title: "Idempotency key used for another request",
    retryable: false,
  },
  REQUEST_IN_PROGRESS: {
    status: 409,
    title: "Request in progress",
    retryable: true,
  },
  OUTCOME_UNKNOWN: {
    status: 409,
    title: "Outcome unknown",
    retryable: false,
  },
  RESPONSE_NOT_STORED: {
    status: 409,
    title: "Response not stored",
    retryable: false,
  },
  LEDGER_UNAVAILABLE: {
    status: 503,
    title: "Idempotency ledger out of reach",
    retryable: true,
  },
  TOO_MANY_KEYS: {
    status: 429,
    title: "Too many live idempotency keys",
    retryable: true,
  },
  REQUEST_TOO_LARGE: {
    status: 413,
    title: "Request too large",
    retryable: false,
  },
} as const;

/** The machine-readable codes of the HTTP contract. */
export type IdempotencyCode = keyof typeof CONTRACT;

/**
 * A condition of the idempotency contract that keeps a request from running.
 * The core throws it; the middleware turns it into a problem document.
 *
 * Branch on the subclass, or on {@link IdempotencyError.code}.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { RequestInProgressError } from "./errors.ts";
 *
 * const error = new RequestInProgressError("order-17", 2);
 * assertEquals(error.code, "REQUEST_IN_PROGRESS");
 * assertEquals([error.status, error.retryable], [409, true]);
 * assertEquals(error.retryAfterSeconds, 2);
 * ```
 */
export class IdempotencyError extends Error {
  override readonly name: string = "IdempotencyError";
  /** The code of the HTTP contract. */
  readonly code: IdempotencyCode;
  /** The HTTP status that goes with the code. */
  readonly status: number;
  /** A short title that is the same at every occurrence (RFC 9457, 3.1.3). */
  readonly title: string;
  /** Whether the same request may succeed later without a change. */
  readonly retryable: boolean;
  /** How long to wait before the next try, in seconds, where that is known. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: IdempotencyCode,
    message: string,
    options: ErrorOptions & { retryAfterSeconds?: number } = {},
  ) {
    super(message, options);
    this.code = code;
    this.status = CONTRACT[code].status;
    this.title = CONTRACT[code].title;
    this.retryable = CONTRACT[code].retryable;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** The route requires a key and the request has none. */
export class KeyMissingError extends IdempotencyError {
  override readonly name = "KeyMissingError";
  constructor() {
    super(
      "IDEMPOTENCY_KEY_MISSING",
      "This route requires an idempotency key: send an Idempotency-Key header with a new value for each intended effect, and the same value when you retry",
    );
  }
}

/** The key is malformed, or two headers name different keys. */
export class KeyInvalidError extends IdempotencyError {
  override readonly name = "KeyInvalidError";
  constructor(message: string, options?: ErrorOptions) {
    super("IDEMPOTENCY_KEY_INVALID", message, options);
  }
}

/** The key was used before, with another payload. */
export class KeyReusedError extends IdempotencyError {
  override readonly name = "KeyReusedError";
  constructor(key: string) {
    super(
      "IDEMPOTENCY_KEY_REUSED",
      `The key "${key}" was first used with another payload: send the original request again, or use a new key for the new one`,
    );
  }
}

/** Somebody else runs this key now. */
export class RequestInProgressError extends IdempotencyError {
  override readonly name = "RequestInProgressError";
  constructor(key: string, retryAfterSeconds: number) {
    super(
      "REQUEST_IN_PROGRESS",
      `A request with the key "${key}" is still running: send the same request again in ${retryAfterSeconds} s to get its answer`,
      { retryAfterSeconds },
    );
  }
}

/** An attempt was abandoned, and the route refuses to guess how it ended. */
export class OutcomeUnknownError extends IdempotencyError {
  override readonly name = "OutcomeUnknownError";
  constructor(key: string) {
    super(
      "OUTCOME_UNKNOWN",
      `The request with the key "${key}" was interrupted and may have taken effect: it is not run again until an operator has resolved the key`,
    );
  }
}

/** The request took effect, but its answer was too large to keep. */
export class ResponseNotStoredError extends IdempotencyError {
  override readonly name = "ResponseNotStoredError";
  /** The HTTP status of the first answer. */
  readonly storedStatus: number;
  constructor(key: string, storedStatus: number) {
    super(
      "RESPONSE_NOT_STORED",
      `The request with the key "${key}" took effect and was answered with status ${storedStatus}, but the body was too large to keep: read the result from the resource itself`,
    );
    this.storedStatus = storedStatus;
  }
}

/** The ledger could not be reached, so nothing was run. */
export class LedgerUnavailableError extends IdempotencyError {
  override readonly name = "LedgerUnavailableError";
  constructor(attempted: string, cause: unknown) {
    super(
      "LEDGER_UNAVAILABLE",
      `Could not ${attempted}: the idempotency ledger did not answer, send the same request again later`,
      { cause, retryAfterSeconds: 2 },
    );
  }
}

/** The user has more live keys than the ledger grants one user. */
export class TooManyKeysError extends IdempotencyError {
  override readonly name = "TooManyKeysError";
  constructor(cause: unknown) {
    super(
      "TOO_MANY_KEYS",
      "You hold more live idempotency keys than one user may: wait until some have expired",
      { cause, retryAfterSeconds: 3600 },
    );
  }
}

/** The request's body is larger than what is read for its fingerprint. */
export class RequestTooLargeError extends IdempotencyError {
  override readonly name = "RequestTooLargeError";
  constructor(limitBytes: number) {
    super(
      "REQUEST_TOO_LARGE",
      `The request body is larger than ${limitBytes} bytes: send less, or send it in parts`,
    );
  }
}

/** Another attempt has taken the key over while this one was running. */
export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError";
  constructor(key: string) {
    super(
      `Cannot go on with the key "${key}": another attempt has taken it over`,
    );
  }
}
