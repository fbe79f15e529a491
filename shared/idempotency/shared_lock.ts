import { identityName } from "./identity_name.ts";
import type { ClaimRequest, Identity, Ledger } from "./ledger.ts";
import { sha256Hex } from "./sha256.ts";

/**
 * A store that says quickly who runs a key, such as {@link redisLock}. It
 * decides nothing and only spares a question to the ledger; when it fails, the
 * ledger is asked.
 */
export interface SharedLock {
  /** Who holds the name; `null` when nobody does. */
  holder(name: string): Promise<string | null>;
  /** Writes down who holds the name, for this many ms. */
  hold(name: string, holder: string, ms: number): Promise<void>;
  /** Forgets this holder of the name, and no other. */
  release(name: string, holder: string): Promise<void>;
}

// Slower than this, the ledger could have been asked as well.
const PATIENCE_MS = 250;

// Whoever runs the key may be done in a moment, and asking again costs little.
const RETRY_AFTER_SECONDS = 1;

/**
 * The ledger of one run, with a {@link SharedLock} before it: duplicates of a
 * running request, and the polls of those that wait for it, are answered
 * without the database.
 *
 * The lock is told after the ledger has granted the claim, so it never keeps a
 * first request out. It can be too old: the name of a worker that died, or
 * could not reach it any more, stays until the lease is over. For that long
 * duplicates hear that the key is in progress.
 */
export function lockedLedger(ledger: Ledger, lock: SharedLock): Ledger {
  let name: string | undefined;

  const release = async (ownerToken: string) => {
    if (name === undefined) return;
    const held = name;
    name = undefined;
    await inTime(lock.release(held, ownerToken));
  };

  return {
    ...ledger,
    async claim(identity, request) {
      const asked = await nameOf(identity, request);
      const holder = await inTime(lock.holder(asked)) ?? null;
      if (holder !== null && holder !== request.ownerToken) {
        return {
          outcome: "in_progress",
          retryAfterSeconds: RETRY_AFTER_SECONDS,
        };
      }
      const result = await ledger.claim(identity, request);
      if (result.outcome === "claimed") {
        name = asked;
        const ms = request.leaseSeconds * 1000;
        await inTime(lock.hold(asked, request.ownerToken, ms));
      }
      return result;
    },
    async renew(identity, ownerToken, leaseSeconds) {
      const result = await ledger.renew(identity, ownerToken, leaseSeconds);
      if (result.outcome !== "recorded" || leaseSeconds === 0) {
        await release(ownerToken);
      } else if (name !== undefined) {
        await inTime(lock.hold(name, ownerToken, leaseSeconds * 1000));
      }
      return result;
    },
    async complete(identity, ownerToken, answer, ttlSeconds) {
      const result = await ledger.complete(
        identity,
        ownerToken,
        answer,
        ttlSeconds,
      );
      await release(ownerToken);
      return result;
    },
    async fail(identity, ownerToken, errorMessage, ttlSeconds) {
      const result = await ledger.fail(
        identity,
        ownerToken,
        errorMessage,
        ttlSeconds,
      );
      await release(ownerToken);
      return result;
    },
  };
}

/**
 * The payload is in the name: a request with another one has to hear from the
 * ledger that the key is taken.
 */
async function nameOf(
  identity: Identity,
  { fingerprint }: ClaimRequest,
): Promise<string> {
  const hash = await sha256Hex(`${identityName(identity)} ${fingerprint}`);
  return `idempotency:${hash}`;
}

/** What the lock says; `undefined` when it fails, or takes too long. */
async function inTime<T>(answer: Promise<T>): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeIsUp = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MS, undefined);
  });
  try {
    return await Promise.race([answer, timeIsUp]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
