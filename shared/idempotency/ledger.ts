/**
 * The port: what any store must promise so that a request takes effect once.
 *
 * Every transition names the owner token that the caller made for its attempt.
 * A call with a token that no longer owns the key changes nothing. Each call
 * is safe to send again when its answer was lost on the way. The clock is the
 * store's own.
 *
 * A store that is out of reach throws `LedgerUnavailableError`: then
 * `onLedgerDown` holds, and the client is told 503. Any other error is passed on
 * as one of the handler's.
 *
 * `ledgerContract` in `testing.ts` proves a store of your own.
 */
export interface Ledger {
  /**
   * Names what is behind this object, the same for every ledger on it.
   *
   * @default {"something that no other object is on"}
   */
  readonly place?: string | undefined;
  /**
   * Decides who runs. At most one caller holds a key at a time; the same owner
   * token asking again is told the same again.
   */
  claim(identity: Identity, terms: ClaimTerms): Promise<ClaimResult>;
  /** Makes the lease of an attempt last this many seconds from now, never less than it did. */
  renew(
    identity: Identity,
    ownerToken: string,
    leaseSeconds: number,
  ): Promise<SettleResult>;
  /**
   * Keeps the result of a finished step, so that no later attempt repeats it,
   * and renews the lease in the same trip. The first result stays.
   *
   * @param result A JSON object.
   */
  checkpoint(
    identity: Identity,
    ownerToken: string,
    step: string,
    result: StepResult,
    leaseSeconds: number,
  ): Promise<SettleResult>;
  /** Records the final answer of an attempt. */
  complete(
    identity: Identity,
    ownerToken: string,
    answer: Answer,
    ttlSeconds: number,
  ): Promise<SettleResult>;
  /** Records that an attempt did not take effect: the key may run again. */
  fail(
    identity: Identity,
    ownerToken: string,
    failure: Failure,
    ttlSeconds: number,
  ): Promise<SettleResult>;
  /** Reads the final answer, if there is one; decides nothing. */
  read(identity: Identity): Promise<Answer | null>;

  /**
   * Claims many keys of one scope in one trip, each as {@link Ledger.claim}
   * would, in the order given: at most {@link MAX_BATCH}. A store may lack it.
   */
  claimMany?(
    userId: string | null,
    scope: string,
    requests: readonly BatchClaim[],
    terms: BatchTerms,
  ): Promise<(ClaimResult | Refused)[]>;
  /**
   * Completes and fails many keys of one scope in one trip, each as the single
   * call would, in the order given: at most {@link MAX_BATCH}. A store may lack
   * it.
   */
  settleMany?(
    userId: string | null,
    scope: string,
    settlements: readonly Settlement[],
    ttlSeconds: { readonly completed: number; readonly failed: number },
  ): Promise<(SettleResult | Refused)[]>;
  /**
   * Tells the user, where a channel for it is installed, that a key is
   * completed. A store may lack it.
   */
  notify?(identity: Identity): Promise<void>;
  /**
   * Adds to the statistics; replays themselves never write. A store may lack
   * it.
   */
  countReplays?(
    userId: string | null,
    scope: string,
    count: number,
  ): Promise<void>;
  /** How a key stands; never what it was answered with. A store may lack it. */
  status?(identity: Identity): Promise<KeyStatus | null>;
  /**
   * Deletes what has expired, never a running attempt.
   *
   * @returns How many keys were deleted. A store may lack it, where keys leave
   * by themselves.
   */
  deleteExpired?(): Promise<number>;
}

/** How a key stands; `null` is told of one that has expired. */
export interface KeyStatus {
  readonly status: "processing" | "completed" | "failed";
  /** Which run of the key the latest is, from 1. */
  readonly attempt: number;
  /** When the key was first claimed. */
  readonly createdAt: Date;
  /** When the latest attempt began. */
  readonly claimedAt: Date;
  /** When the latest attempt ended; `null` while one is processing. */
  readonly completedAt: Date | null;
  /** When the key is free again. */
  readonly expiresAt: Date;
  /** HTTP status of the latest answer; `null` when there is none. */
  readonly statusCode: number | null;
  /** Whether the latest attempt was interrupted: its lease lapsed. */
  readonly isStuck: boolean;
  /** Names of the steps that are done, sorted: how far the work has come. */
  readonly finishedSteps: readonly string[];
}

/** What a step left, as a JSON object: some ways to a database know no other JSON. */
export type StepResult = Readonly<Record<string, unknown>>;

/** What makes a key unique: two users may use the same key string. */
export interface Identity {
  /**
   * The verified user, the token's `sub`; `null` for the project itself
   * (webhooks, jobs).
   */
  readonly userId: string | null;
  /** The route or operation. */
  readonly scope: string;
  /** The idempotency key. */
  readonly key: string;
}

/** One string for a user, scope and key that no other three share. */
export function identityName({ userId, scope, key }: Identity): string {
  return JSON.stringify([userId, scope, key]);
}

const places = new WeakMap<object, string>();
let lastPlace = 0;

/** Names an object that has no name for what is behind it. */
export function placeOf(on: object): string {
  const place = places.get(on) ?? `object ${++lastPlace}`;
  places.set(on, place);
  return place;
}

/**
 * Waits for a store, but not for ever. Own code, because it is on the path of
 * every call: the libraries for it make their error before it is needed, which
 * costs three times as much.
 *
 * @param withinMs How long at most, in ms.
 * @throws {Error} When the time is over; what was asked goes on.
 */
export function inTime<T>(
  answer: PromiseLike<T>,
  withinMs: number,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`No answer in ${Math.ceil(withinMs)} ms`));
    }, withinMs);
    answer.then((value) => {
      clearTimeout(timer);
      resolve(value);
    }, (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

/**
 * A character that a database keeps, for regular expressions with the flag `u`.
 * Postgres has no U+0000; halves of surrogate pairs would all become U+FFFD, and
 * two texts one.
 */
export const KEPT_CHARACTER: string = String.raw`[^\0\ud800-\udfff]`;

/** JSON, with a sign in place of each character that a database does not keep. */
export function keptJson(text: string): string {
  // An escaped backslash escapes nothing else.
  return text.replace(
    /\\(\\|u0000|ud[89a-f]..)/g,
    (escape) => escape === "\\\\" ? escape : "\\ufffd",
  );
}

/** What an attempt brings to {@link Ledger.claim}. */
export interface ClaimTerms {
  /** SHA-256 of the request, 64 lower-case hexadecimal digits. */
  readonly fingerprint: string;
  /** A UUID that the caller made for this attempt alone. */
  readonly ownerToken: string;
  /** Seconds without a heartbeat before an attempt counts as crashed. */
  readonly leaseSeconds: number;
  /** How long the key is kept, in seconds from this claim. */
  readonly ttlSeconds: number;
  /** What to do with an attempt whose lease lapsed. */
  readonly onAbandoned: "retry" | "refuse";
  /** After so many crashed attempts in a row the key is parked: `abandoned`. */
  readonly maxAttempts: number;
  /** Kept with the key, for people; never read by the ledger. */
  readonly metadata: Record<string, unknown> | null;
  /**
   * Whether the user is another issuer's, so that an id that is a UUID names
   * no account of this project.
   *
   * @default {false}
   */
  readonly thirdParty?: boolean | undefined;
}

/**
 * The batches of a ledger; of one that lacks them, its single calls at once.
 */
export function batchesOf(
  ledger: Ledger,
): Required<Pick<Ledger, "claimMany" | "settleMany">> {
  const single = async <Result>(
    call: Promise<Result>,
  ): Promise<Result | Refused> => {
    try {
      return await call;
    } catch (error) {
      return { outcome: "refused", error: error as Error };
    }
  };
  return {
    claimMany: ledger.claimMany?.bind(ledger) ??
      ((userId, scope, requests, terms) =>
        Promise.all(requests.map(({ key, ...request }) =>
          single(
            ledger.claim({ userId, scope, key }, { ...terms, ...request }),
          )
        ))),
    settleMany: ledger.settleMany?.bind(ledger) ??
      ((userId, scope, settlements, { completed, failed }) =>
        Promise.all(settlements.map((settlement) => {
          const { key, ownerToken } = settlement;
          const identity = { userId, scope, key };
          return single(
            "answer" in settlement
              ? ledger
                .complete(identity, ownerToken, settlement.answer, completed)
              : ledger.fail(identity, ownerToken, settlement.failure, failed),
          );
        }))),
  };
}

/** The most keys that one {@link Ledger.claimMany} or `settleMany` takes. */
export const MAX_BATCH = 100;

/** What a batch's claims have in common. */
export type BatchTerms = Omit<
  ClaimTerms,
  "fingerprint" | "ownerToken" | "metadata"
>;

/** One key of {@link Ledger.claimMany}. */
export interface BatchClaim extends Omit<ClaimTerms, keyof BatchTerms> {
  /** The idempotency key. */
  readonly key: string;
}

/** One key of {@link Ledger.settleMany}: completed, or failed. */
export type Settlement =
  & { readonly key: string; readonly ownerToken: string }
  & ({ readonly answer: Answer } | { readonly failure: Failure });

/** What the single call would throw for one key of a batch. */
export interface Refused {
  readonly outcome: "refused";
  readonly error: Error;
}

/** Whether the single call would have thrown. */
export function isRefused(
  result: { readonly outcome: string },
): result is Refused {
  return result.outcome === "refused";
}

/** A final answer, as it was sent. */
export interface Answer {
  /** HTTP status, 200–599. */
  readonly status: number;
  /** Header names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The bytes that were sent; `null` when they were not kept. */
  readonly body: Uint8Array | null;
}

/** Why an attempt did not take effect, for people. */
export interface Failure {
  /** At most 2,000 characters are kept. */
  readonly message: string;
  /** HTTP status of the answer that was not final; `null` where there was none. */
  readonly status: number | null;
}

/** What {@link Ledger.claim} decided. */
export type ClaimResult = Claimed | Answered | Denied;

/** The caller holds the key. */
export interface Claimed {
  /** `taken_over`: the attempt before this one crashed. */
  readonly outcome: "claimed" | "taken_over";
  /** Which run of the key this is, from 1. */
  readonly attempt: number;
  /** Greater than that of every earlier attempt of any key. */
  readonly fence: number;
  /** The results of the steps that earlier attempts finished, by name. */
  readonly steps: Readonly<Record<string, unknown>>;
}

/** The key is completed, with this answer. */
export interface Answered {
  readonly outcome: "replay";
  readonly answer: Answer;
}

/** The caller must not run. */
export type Denied =
  | { readonly outcome: "mismatch" }
  | { readonly outcome: "in_progress"; readonly retryAfterSeconds: number }
  /** Interrupted and not to be repeated: by policy, or after too many crashes. */
  | { readonly outcome: "abandoned" };

/**
 * What became of a transition by an owner token: `recorded`; `replay`,
 * somebody else completed the key first, with this answer; `lost`, somebody
 * else has the key now; `gone`, nobody has it any more.
 */
export type SettleResult =
  | { readonly outcome: "recorded" }
  | Answered
  | { readonly outcome: "lost" }
  | { readonly outcome: "gone" };
