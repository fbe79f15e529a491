import {
  type Answer,
  type Answered,
  batchesOf,
  type Claimed,
  type ClaimResult,
  type ClaimTerms,
  type Identity,
  identityName,
  type KeyStatus,
  type Ledger,
  type SettleResult,
} from "./ledger.ts";

interface Entry {
  status: "processing" | "completed" | "failed";
  fingerprint: string;
  ownerToken: string;
  /** Who held the key before, in this generation. */
  pastOwners: readonly string[];
  attempt: number;
  /** Attempts in a row, right before this one, that crashed. */
  crashes: number;
  fence: number;
  leaseEndsAt: number;
  claimedAt: number;
  expiresAt: number;
  createdAt: number;
  completedAt: number | null;
  statusCode: number | null;
  /** JSON texts by name: what a database would give back, not what was put in. */
  steps: Map<string, string>;
  answer: Answer | null;
}

// Whoever was overtaken by so many others has long given up.
const MAX_PAST_OWNERS = 32;

// Below this, looking through the entries is not worth it.
const MIN_SWEPT = 1024;

/** Options of {@link memoryLedger}. */
export interface MemoryLedgerOptions {
  /**
   * The clock, in ms since the epoch.
   *
   * @default {Date.now}
   */
  now?: (() => number) | undefined;
}

/**
 * A ledger with the promises of the database's, in memory: for tests and for
 * work offline. It knows one process only, so it protects nothing that is
 * served by more than one. It takes any user id, bounds none of them, keeps no
 * metadata and no failure's message, and drops expired keys as new ones come.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { memoryLedger } from "./memory_ledger.ts";
 *
 * const ledger = memoryLedger();
 * const identity = { userId: "u1", scope: "orders", key: "order-17" };
 * const terms = {
 *   fingerprint: "0".repeat(64),
 *   ownerToken: crypto.randomUUID(),
 *   leaseSeconds: 60,
 *   ttlSeconds: 3600,
 *   onAbandoned: "retry" as const,
 *   maxAttempts: 5,
 *   metadata: null,
 * };
 * assertEquals((await ledger.claim(identity, terms)).outcome, "claimed");
 * const other = { ...terms, ownerToken: crypto.randomUUID() };
 * assertEquals((await ledger.claim(identity, other)).outcome, "in_progress");
 * ```
 */
export function memoryLedger(options: MemoryLedgerOptions = {}): Ledger {
  const now = options.now ?? Date.now;
  const entries = new Map<string, Entry>();
  let sweepAt = MIN_SWEPT;
  let lastFence = 0;

  const live = (identity: Identity): Entry | undefined => {
    const entry = entries.get(identityName(identity));
    return entry && entry.expiresAt > now() ? entry : undefined;
  };

  const deleteExpired = (): number => {
    const { size } = entries;
    for (const [name, { expiresAt }] of entries) {
      if (expiresAt <= now()) entries.delete(name);
    }
    return size - entries.size;
  };

  // At each doubling, so that an entry costs the same however many there are.
  const sweep = () => {
    if (entries.size < sweepAt) return;
    deleteExpired();
    sweepAt = Math.max(MIN_SWEPT, 2 * entries.size);
  };

  // Never sooner than it was: a call that was late on the way must not cut
  // short the one that overtook it.
  const renew = (entry: Entry, leaseSeconds: number) => {
    entry.leaseEndsAt = Math.max(
      entry.leaseEndsAt,
      now() + leaseSeconds * 1000,
    );
    entry.expiresAt = Math.max(entry.expiresAt, entry.leaseEndsAt);
  };

  // Counted from the claim, but never gone before it could be asked for: an
  // attempt may outlast a short retention.
  const end = (
    entry: Entry,
    status: "completed" | "failed",
    statusCode: number | null,
    ttlSeconds: number,
  ) => {
    entry.status = status;
    entry.statusCode = statusCode;
    entry.completedAt = now();
    entry.expiresAt = Math.max(
      entry.claimedAt + ttlSeconds * 1000,
      now() + ttlSeconds * 500,
    );
  };

  const claim = (identity: Identity, terms: ClaimTerms): ClaimResult => {
    const entry = live(identity);
    const take = (crashes: number): Claimed => {
      sweep();
      const leaseEndsAt = now() + terms.leaseSeconds * 1000;
      const taken: Entry = {
        status: "processing",
        fingerprint: terms.fingerprint,
        ownerToken: terms.ownerToken,
        pastOwners: entry
          ? [entry.ownerToken, ...entry.pastOwners].slice(0, MAX_PAST_OWNERS)
          : [],
        attempt: (entry?.attempt ?? 0) + 1,
        crashes,
        fence: ++lastFence,
        leaseEndsAt,
        createdAt: entry?.createdAt ?? now(),
        claimedAt: now(),
        completedAt: null,
        statusCode: null,
        expiresAt: Math.max(leaseEndsAt, now() + terms.ttlSeconds * 1000),
        steps: entry?.steps ?? new Map(),
        answer: null,
      };
      entries.set(identityName(identity), taken);
      return claimed(taken);
    };

    if (entry === undefined) return take(0);
    if (entry.fingerprint !== terms.fingerprint) {
      return { outcome: "mismatch" };
    }
    if (entry.answer !== null) return replay(entry.answer);
    if (entry.status === "failed") return take(0);
    if (entry.ownerToken === terms.ownerToken) {
      // The first answer was lost; a caller that asks again starts here.
      renew(entry, terms.leaseSeconds);
      return claimed(entry);
    }
    const leftMs = entry.leaseEndsAt - now();
    if (leftMs > 0) {
      return {
        outcome: "in_progress",
        retryAfterSeconds: Math.ceil(leftMs / 1000),
      };
    }
    const crashes = entry.crashes + 1;
    return terms.onAbandoned === "refuse" || crashes >= terms.maxAttempts
      ? { outcome: "abandoned" }
      : take(crashes);
  };

  const settle = (
    identity: Identity,
    ownerToken: string,
    status: Entry["status"],
    write: (entry: Entry) => void,
  ): SettleResult => {
    const entry = entries.get(identityName(identity));
    if (entry === undefined) return { outcome: "gone" };
    if (entry.ownerToken === ownerToken) {
      if (entry.status === "processing") write(entry);
      if (entry.status === status) return { outcome: "recorded" };
    } else if (!entry.pastOwners.includes(ownerToken)) {
      // Of another generation, or a stranger: the answer is not theirs to see.
      return { outcome: "gone" };
    }
    return entry.answer === null ? { outcome: "lost" } : replay(entry.answer);
  };

  // Each decision is made before anything is awaited: that is what makes it
  // atomic in one process.
  const ledger: Ledger = {
    claim: (identity, terms) => Promise.resolve(claim(identity, terms)),

    renew: (identity, ownerToken, leaseSeconds) =>
      Promise.resolve(
        settle(identity, ownerToken, "processing", (entry) => {
          renew(entry, leaseSeconds);
        }),
      ),

    checkpoint: (identity, ownerToken, step, result, leaseSeconds) =>
      Promise.resolve(
        settle(identity, ownerToken, "processing", (entry) => {
          if (!entry.steps.has(step)) {
            entry.steps.set(step, JSON.stringify(result) ?? "null");
          }
          renew(entry, leaseSeconds);
        }),
      ),

    complete: (identity, ownerToken, answer, ttlSeconds) =>
      Promise.resolve(
        settle(identity, ownerToken, "completed", (entry) => {
          entry.answer = copy(answer);
          end(entry, "completed", answer.status, ttlSeconds);
        }),
      ),

    fail: (identity, ownerToken, failure, ttlSeconds) =>
      Promise.resolve(
        settle(identity, ownerToken, "failed", (entry) => {
          end(entry, "failed", failure.status, ttlSeconds);
        }),
      ),

    read: (identity) => {
      const answer = live(identity)?.answer ?? null;
      return Promise.resolve(answer && copy(answer));
    },

    status: (identity) => {
      const entry = live(identity);
      return Promise.resolve(entry ? statusOf(entry, now()) : null);
    },

    deleteExpired: () => Promise.resolve(deleteExpired()),
  };
  return { ...ledger, ...batchesOf(ledger) };
}

function claimed({ crashes, attempt, fence, steps }: Entry): Claimed {
  return {
    outcome: crashes > 0 ? "taken_over" : "claimed",
    attempt,
    fence,
    steps: Object.fromEntries(
      Array.from(steps, ([name, result]) => [name, JSON.parse(result)]),
    ),
  };
}

function statusOf(entry: Entry, now: number): KeyStatus {
  const { status, attempt, statusCode, completedAt, leaseEndsAt } = entry;
  return {
    status,
    attempt,
    createdAt: new Date(entry.createdAt),
    claimedAt: new Date(entry.claimedAt),
    completedAt: completedAt === null ? null : new Date(completedAt),
    expiresAt: new Date(entry.expiresAt),
    statusCode,
    isStuck: status === "processing" && leaseEndsAt <= now,
    finishedSteps: [...entry.steps.keys()].sort(),
  };
}

function replay(answer: Answer): Answered {
  return { outcome: "replay", answer: copy(answer) };
}

function copy({ status, headers, body }: Answer): Answer {
  return { status, headers: { ...headers }, body: body && body.slice() };
}
