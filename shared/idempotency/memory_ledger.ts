import { identityName } from "./identity_name.ts";
import type {
  Answer,
  ClaimRequest,
  ClaimResult,
  Identity,
  Ledger,
  SettleResult,
} from "./ledger.ts";

interface Entry {
  status: "processing" | "completed" | "failed";
  fingerprint: string;
  ownerToken: string;
  /** Who held the key before, in this generation. */
  pastOwners: string[];
  attempt: number;
  fence: number;
  leaseEndsAt: number;
  claimedAt: number;
  expiresAt: number;
  steps: Record<string, unknown>;
  answer: Answer | null;
}

/** Options of {@link memoryLedger}. */
export interface MemoryLedgerOptions {
  /**
   * The clock, in ms since the epoch.
   *
   * @default {Date.now}
   */
  now?: () => number;
}

/**
 * A ledger with the promises of the database's, in memory: for tests and for
 * work offline. It knows one process only, so it protects nothing that is
 * served by more than one.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { memoryLedger } from "./memory_ledger.ts";
 *
 * const ledger = memoryLedger();
 * const identity = { userId: "u1", scope: "orders", key: "order-17" };
 * const request = {
 *   fingerprint: "0".repeat(64),
 *   ownerToken: crypto.randomUUID(),
 *   leaseSeconds: 60,
 *   ttlSeconds: 3600,
 *   onAbandoned: "retry" as const,
 *   metadata: null,
 * };
 * assertEquals((await ledger.claim(identity, request)).outcome, "claimed");
 * const other = { ...request, ownerToken: crypto.randomUUID() };
 * assertEquals((await ledger.claim(identity, other)).outcome, "in_progress");
 * ```
 */
export function memoryLedger(options: MemoryLedgerOptions = {}): Ledger {
  const now = options.now ?? Date.now;
  const entries = new Map<string, Entry>();
  let lastFence = 0;

  const live = (identity: Identity): Entry | undefined => {
    const entry = entries.get(identityName(identity));
    return entry && entry.expiresAt > now() ? entry : undefined;
  };

  const settle = (
    identity: Identity,
    ownerToken: string,
    outcome: Entry["status"],
    write: (entry: Entry) => void,
  ): SettleResult => {
    const entry = entries.get(identityName(identity));
    if (entry === undefined) return { outcome: "gone" };
    if (entry.ownerToken === ownerToken) {
      if (entry.status === "processing") write(entry);
      if (entry.status === outcome) return { outcome: "recorded" };
    } else if (!entry.pastOwners.includes(ownerToken)) {
      // Of another generation, or a stranger: the answer is not theirs to see.
      return { outcome: "gone" };
    }
    return entry.answer === null
      ? { outcome: "lost" }
      : { outcome: "replay", answer: copy(entry.answer) };
  };

  const granted = (identity: Identity, takenOver = false): ClaimResult => {
    const { attempt, fence, steps } = entries.get(identityName(identity))!;
    return {
      outcome: "claimed",
      attempt,
      fence,
      steps: { ...steps },
      takenOver,
    };
  };

  // Never sooner than it was: a call that was late on the way must not cut
  // short the one that overtook it. Only letting go does.
  const renew = (entry: Entry, leaseSeconds: number) => {
    entry.leaseEndsAt = leaseSeconds === 0
      ? Math.min(entry.leaseEndsAt, now())
      : Math.max(entry.leaseEndsAt, now() + leaseSeconds * 1000);
    entry.expiresAt = Math.max(entry.expiresAt, entry.leaseEndsAt);
  };

  // Counted from the claim, but never gone before it could be asked for: an
  // attempt may outlast a short retention.
  const keep = (entry: Entry, ttlSeconds: number) => {
    entry.expiresAt = Math.max(
      entry.claimedAt + ttlSeconds * 1000,
      now() + ttlSeconds * 500,
    );
  };

  const claim = (identity: Identity, request: ClaimRequest): ClaimResult => {
    const entry = live(identity);
    const take = (attempt: number): ClaimResult => {
      const leaseEndsAt = now() + request.leaseSeconds * 1000;
      entries.set(identityName(identity), {
        status: "processing",
        fingerprint: request.fingerprint,
        ownerToken: request.ownerToken,
        pastOwners: entry ? [entry.ownerToken, ...entry.pastOwners] : [],
        attempt,
        fence: ++lastFence,
        leaseEndsAt,
        claimedAt: now(),
        expiresAt: Math.max(leaseEndsAt, now() + request.ttlSeconds * 1000),
        steps: entry?.steps ?? {},
        answer: null,
      });
      return granted(identity, entry?.status === "processing");
    };
    if (entry === undefined) return take(1);
    if (entry.fingerprint !== request.fingerprint) {
      return { outcome: "mismatch" };
    }
    if (entry.answer !== null) {
      return { outcome: "replay", answer: copy(entry.answer) };
    }
    if (entry.status === "failed") return take(entry.attempt + 1);
    if (entry.ownerToken === request.ownerToken) {
      // The first answer was lost; a caller that asks now starts now.
      renew(entry, request.leaseSeconds);
      return granted(identity);
    }
    const left = entry.leaseEndsAt - now();
    if (left > 0) {
      return {
        outcome: "in_progress",
        retryAfterSeconds: Math.ceil(left / 1000),
      };
    }
    return request.onAbandoned === "refuse"
      ? { outcome: "abandoned" }
      : take(entry.attempt + 1);
  };

  // Each decision is made before anything is awaited: that is what makes it
  // atomic in one process.
  const ledger: Ledger = {
    claim: (identity, request) => Promise.resolve(claim(identity, request)),

    renew: (identity, ownerToken, leaseSeconds) =>
      Promise.resolve(
        settle(identity, ownerToken, "processing", (entry) => {
          renew(entry, leaseSeconds);
        }),
      ),

    checkpoint: (identity, ownerToken, step, result, leaseSeconds) =>
      Promise.resolve(
        settle(identity, ownerToken, "processing", (entry) => {
          if (!Object.hasOwn(entry.steps, step)) {
            entry.steps[step] = structuredClone(result);
          }
          renew(entry, leaseSeconds);
        }),
      ),

    complete: (identity, ownerToken, answer, ttlSeconds) =>
      Promise.resolve(
        settle(identity, ownerToken, "completed", (entry) => {
          entry.status = "completed";
          entry.answer = copy(answer);
          keep(entry, ttlSeconds);
        }),
      ),

    fail: (identity, ownerToken, _errorMessage, ttlSeconds) =>
      Promise.resolve(
        settle(identity, ownerToken, "failed", (entry) => {
          entry.status = "failed";
          keep(entry, ttlSeconds);
        }),
      ),

    claimMany: (userId, scope, requests, terms) =>
      Promise.all(
        requests.map(({ key, ...request }) =>
          ledger.claim({ userId, scope, key }, { ...request, ...terms })
        ),
      ),

    settleMany: (userId, scope, settlements, ttlSeconds) =>
      Promise.all(
        settlements.map((settlement) => {
          const { key, ownerToken } = settlement;
          const identity = { userId, scope, key };
          return "answer" in settlement
            ? ledger.complete(
              identity,
              ownerToken,
              settlement.answer,
              ttlSeconds.completed,
            )
            : ledger.fail(
              identity,
              ownerToken,
              settlement.errorMessage,
              ttlSeconds.failed,
            );
        }),
      ),

    read: (identity) => Promise.resolve(copy(live(identity)?.answer ?? null)),

    notify: () => Promise.resolve(),

    countReplays: () => Promise.resolve(),
  };
  return ledger;
}

function copy<T extends Answer | null>(answer: T): T {
  return structuredClone(answer);
}
