/**
 * What {@link IdempotencyError} codes mean over HTTP, by status and title: the
 * contract with clients. A code, once published, keeps its status.
 */
const CONTRACT = {
  IDEMPOTENCY_KEY_MISSING: [400, "Idempotency key missing"],
  IDEMPOTENCY_KEY_INVALID: [400, "Idempotency key invalid"],
  IDEMPOTENCY_KEY_REUSED: [422, "Idempotency key used for another request"],
  REQUEST_IN_PROGRESS: [409, "Request in progress"],
  OUTCOME_UNKNOWN: [409, "Outcome unknown"],
  RESPONSE_NOT_STORED: [409, "Response not stored"],
  LEDGER_UNAVAILABLE: [503, "Idempotency ledger out of reach"],
  TOO_MANY_KEYS: [429, "Too many live idempotency keys"],
  LEDGER_MISCONFIGURED: [500, "Idempotency ledger not set up"],
  CALLER_UNKNOWN: [403, "Nobody whose idempotency key this is"],
  ACCOUNT_GONE: [403, "Account gone"],
  KEY_TAKEN_OVER: [409, "Idempotency key taken over"],
  KEY_NOT_CLAIMED: [500, "Idempotency key not claimed"],
  REQUEST_TOO_LARGE: [413, "Request too large"],
  REQUEST_BODY_INCOMPLETE: [400, "Request body incomplete"],
  REQUEST_BODY_CONSUMED: [500, "Request body consumed"],
} as const;

// The same request may succeed later without a change.
const RETRYABLE = new Set<IdempotencyCode>([
  "REQUEST_IN_PROGRESS",
  "LEDGER_UNAVAILABLE",
  "TOO_MANY_KEYS",
  "KEY_TAKEN_OVER",
  "REQUEST_BODY_INCOMPLETE",
]);

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
    [this.status, this.title] = CONTRACT[code];
    this.retryable = RETRYABLE.has(code);
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** The route requires a key and the request has none. */
export class KeyMissingError extends IdempotencyError {
  override readonly name = "KeyMissingError";
  /** @param what What the route wants to be sent. */
  constructor(what = "an Idempotency-Key header") {
    super(
      "IDEMPOTENCY_KEY_MISSING",
      `This route requires an idempotency key: send ${what} with a new value for each intended effect, and the same value when you retry`,
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

/** The request took effect, but its answer was not kept. */
export class ResponseNotStoredError extends IdempotencyError {
  override readonly name = "ResponseNotStoredError";
  /** The HTTP status of the first answer. */
  readonly storedStatus: number;
  /** The `Location` of the first answer, where it had one. */
  readonly location: string | undefined;
  constructor(key: string, storedStatus: number, location?: string) {
    super(
      "RESPONSE_NOT_STORED",
      `The request with the key "${key}" took effect and was answered with status ${storedStatus}, but the body was not kept: read the result from ${
        location ?? "the resource itself"
      }`,
    );
    this.storedStatus = storedStatus;
    this.location = location;
  }
}

/** The ledger is out of reach at the moment, so nothing was run. */
export class LedgerUnavailableError extends IdempotencyError {
  override readonly name = "LedgerUnavailableError";
  constructor(
    attempted: string,
    cause: unknown,
    retryAfterSeconds = 2,
    who = "the idempotency ledger",
  ) {
    super(
      "LEDGER_UNAVAILABLE",
      `Could not ${attempted}: ${who} did not answer, send the same request again later`,
      { cause, retryAfterSeconds },
    );
  }
}

/**
 * The ledger refused the call, and will until somebody mends the set-up: the
 * migration is missing or of another version, or the key is not the secret one.
 */
export class LedgerMisconfiguredError extends IdempotencyError {
  override readonly name = "LedgerMisconfiguredError";
  /**
   * @param remedy What whoever runs this has to do.
   */
  constructor(attempted: string, remedy: string, cause: unknown) {
    super(
      "LEDGER_MISCONFIGURED",
      `Could not ${attempted}: ${remedy}`,
      { cause },
    );
  }
}

/** The route admits callers who are no user, and does not say who shares keys. */
export class CallerUnknownError extends IdempotencyError {
  override readonly name = "CallerUnknownError";
  /**
   * @param who The caller, as far as that is known.
   */
  constructor(who: string) {
    super(
      "CALLER_UNKNOWN",
      `Cannot tell whose idempotency key this is: the caller is ${who}; sign in, or leave the key out. A route whose callers may share keys sets callers: "project"`,
    );
  }
}

/** The account that the token names was deleted. */
export class AccountGoneError extends IdempotencyError {
  override readonly name = "AccountGoneError";
  constructor(cause: unknown) {
    super(
      "ACCOUNT_GONE",
      "Your account does not exist any more: sign in again. A route whose users belong to another issuer than this project's Auth sets thirdPartyAuth: true",
      { cause },
    );
  }
}

/** A recorded answer, or the problem document that stands for one. */
export interface CachedResponse {
  /** The body; base64 where it is not text. */
  response: string;
  /** HTTP status. */
  status_code: number;
  /** Headers of the outcome, names in lower case. */
  response_headers: Record<string, string>;
}

/** The answer was recorded already: give it instead of running. */
export class AlreadyCompletedError extends Error {
  override readonly name = "AlreadyCompletedError";
  /** What to answer with. */
  readonly cachedResponse: CachedResponse;
  constructor(key: string, cachedResponse: CachedResponse) {
    super(
      `Cannot claim the key "${key}": it is completed, answer with the recorded response`,
    );
    this.cachedResponse = cachedResponse;
  }
}

/** The caller does not hold the key: it never did, or somebody took it over. */
export class NotOwnerError extends IdempotencyError {
  override readonly name = "NotOwnerError";
  constructor(
    code: "KEY_TAKEN_OVER" | "KEY_NOT_CLAIMED",
    key: string,
    why: string,
  ) {
    super(code, `Cannot settle the key "${key}": ${why}`);
  }
}

/** The user has more live keys, or more in them, than the ledger grants one user. */
export class TooManyKeysError extends IdempotencyError {
  override readonly name = "TooManyKeysError";
  constructor(cause: unknown) {
    super(
      "TOO_MANY_KEYS",
      "Your live idempotency keys are more, or hold more, than one user may have: wait until some have expired",
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

/** The client has gone, or was cut off, before the body of its request had ended. */
export class BodyIncompleteError extends IdempotencyError {
  override readonly name = "BodyIncompleteError";
  constructor(req: Request, cause: unknown) {
    const { pathname } = new URL(req.url);
    super(
      "REQUEST_BODY_INCOMPLETE",
      `The body of ${req.method} ${pathname} broke off before its end: send the same request again`,
      { cause },
    );
  }
}

/** Something has read the body of a request before its fingerprint was taken. */
export class BodyConsumedError extends IdempotencyError {
  override readonly name = "BodyConsumedError";
  constructor(req: Request) {
    const { pathname } = new URL(req.url);
    const consumer = req.bodyUsed
      ? "it was read before, by a call such as req.json() or by a middleware that runs earlier"
      : "a reader or a stream holds it (req.body is locked)";
    super(
      "REQUEST_BODY_CONSUMED",
      `Cannot fingerprint the body of ${req.method} ${pathname}: ${consumer}; read a clone there, req.clone().json(), or run idempotency before it`,
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
