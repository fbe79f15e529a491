/**
 * The port: what any store must promise so that a request takes effect once.
 *
 * Every transition names the owner token that the caller made for its attempt.
 * A call with a token that no longer owns the key changes nothing. Each call
 * is safe to send again when its answer was lost on the way.
 */
export interface Ledger {
  /**
   * Decides who runs. At most one caller holds `claimed` for a key at a time;
   * the same owner token asking again is told `claimed` again.
   */
  claim(identity: Identity, request: ClaimRequest): Promise<ClaimResult>;
  /**
   * Extends the lease of an attempt to this many seconds from now; 0 ends it
   * at once, so that the next caller may take the key over.
   */
  renew(
    identity: Identity,
    ownerToken: string,
    leaseSeconds: number,
  ): Promise<SettleResult>;
  /**
   * Keeps the result of a finished step, so that no later attempt repeats it,
   * and renews the lease in the same trip. The first result stays.
   */
  checkpoint(
    identity: Identity,
    ownerToken: string,
    step: string,
    result: unknown,
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
    errorMessage: string,
    ttlSeconds: number,
  ): Promise<SettleResult>;
  /**
   * Claims many keys of one scope in one trip, each as {@link Ledger.claim}
   * would, in the order given: at most {@link MAX_BATCH}.
   */
  claimMany(
    userId: string | null,
    scope: string,
    requests: readonly BatchClaim[],
    terms: BatchTerms,
  ): Promise<(ClaimResult | Refused)[]>;
  /**
   * Completes and fails many keys of one scope in one trip, each as the single
   * call would, in the order given: at most {@link MAX_BATCH}.
   */
  settleMany(
    userId: string | null,
    scope: string,
    settlements: readonly Settlement[],
    ttlSeconds: { readonly completed: number; readonly failed: number },
  ): Promise<(SettleResult | Refused)[]>;
  /** Reads the final answer, if there is one; decides nothing. */
  read(identity: Identity): Promise<Answer | null>;
  /** Tells the user, where a channel for it is installed, that a key is completed. */
  notify(identity: Identity): Promise<void>;
  /** Adds to the statistics; replays themselves never write. */
  countReplays(
    userId: string | null,
    scope: string,
    count: number,
  ): Promise<void>;
}

/** What makes a key unique: two users may use the same key string. */
export interface Identity {
  /** The verified user; `null` for the project itself (webhooks, jobs). */
  readonly userId: string | null;
  /** The route or operation. */
  readonly scope: string;
  /** The idempotency key. */
  readonly key: string;
}

/** What an attempt brings to {@link Ledger.claim}. */
export interface ClaimRequest {
  /** SHA-256 of the request, 64 lower-case hexadecimal digits. */
  readonly fingerprint: string;
  /** A UUID that the caller made for this attempt alone. */
  readonly ownerToken: string;
  /** How long the attempt may go unheard of, in seconds. */
  readonly leaseSeconds: number;
  /** How long the key is kept, in seconds from this claim. */
  readonly ttlSeconds: number;
  /** What to do with an attempt whose lease lapsed. */
  readonly onAbandoned: "retry" | "refuse";
  /** Kept with the key, for people; never read by the ledger. */
  readonly metadata: Record<string, unknown> | null;
}

/** The most keys that one {@link Ledger.claimMany} or `settleMany` takes. */
export const MAX_BATCH = 100;

/** What a batch's claims have in common. */
export type BatchTerms = Pick<
  ClaimRequest,
  "leaseSeconds" | "ttlSeconds" | "onAbandoned"
>;

/** One key of {@link Ledger.claimMany}. */
export interface BatchClaim extends Omit<ClaimRequest, keyof BatchTerms> {
  /** The idempotency key. */
  readonly key: string;
}

/** One key of {@link Ledger.settleMany}: completed, or failed. */
export type Settlement =
  & { readonly key: string; readonly ownerToken: string }
  & ({ readonly answer: Answer } | { readonly errorMessage: string });

/** What the single call would throw for one key of a batch. */
export interface Refused {
  readonly outcome: "refused";
  readonly error: Error;
}

/** A final answer, as it was sent. */
export interface Answer {
  /** HTTP status, 200–599. */
  readonly status: number;
  /** Header names in lower case. */
  readonly headers: Record<string, string>;
  /** The bytes that were sent; `null` when they were too many to keep. */
  readonly body: Uint8Array | null;
}

/** What {@link Ledger.claim} decided. */
export type ClaimResult =
  | {
    readonly outcome: "claimed";
    readonly attempt: number;
    readonly fence: number;
    /** The results of the steps that earlier attempts finished, by name. */
    readonly steps: Readonly<Record<string, unknown>>;
    /** Whether the attempt before this one was abandoned. */
    readonly takenOver: boolean;
  }
  | { readonly outcome: "replay"; readonly answer: Answer }
  | { readonly outcome: "mismatch" }
  | { readonly outcome: "in_progress"; readonly retryAfterSeconds: number }
  | { readonly outcome: "abandoned" };

/**
 * What became of a transition by an owner token: `recorded`; `replay`, somebody else completed the key first, with this answer; `lost`,
 * somebody else has the key now; `gone`, nobody has it any more.
 */
export type SettleResult =
  | { readonly outcome: "recorded" }
  | { readonly outcome: "replay"; readonly answer: Answer }
  | { readonly outcome: "lost" }
  | { readonly outcome: "gone" };
