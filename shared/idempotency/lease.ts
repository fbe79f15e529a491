import { hashIdentity } from "./identity_name.ts";
import type { Identity, Ledger } from "./ledger.ts";
import { platform } from "./platform.ts";

/** A lease that is kept alive for as long as its attempt runs. */
export interface Lease {
  /** Aborted when the key is lost to another attempt, or the worker must go. */
  readonly signal: AbortSignal;
  /** Stops renewing: the attempt has ended, one way or the other. */
  end(): void;
}

// Three chances in a lease: two renewals may fail before others take over.
const RENEWALS_PER_LEASE = 3;

const held = new Set<() => void>();
let listening = false;

/**
 * Renews a lease at a third of its length, again and again, until it is ended
 * or lost. An attempt that is shorter than that costs no trip.
 *
 * @param leaseSeconds How long the attempt may go unheard of, in seconds.
 */
export function keepLease(
  ledger: Ledger,
  identity: Identity,
  ownerToken: string,
  leaseSeconds: number,
): Lease {
  const lost = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;

  const end = () => {
    ended = true;
    clearTimeout(timer);
    held.delete(release);
  };

  const renew = async (seconds: number) => {
    try {
      const { outcome } = await ledger.renew(identity, ownerToken, seconds);
      if (outcome === "recorded" || ended) return;
      end();
      lost.abort(new Error(`The key "${identity.key}" was taken over`));
    } catch (error) {
      // The next renewal may get through; if none does, the lease lapses.
      const keyHash = await hashIdentity(identity);
      platform.log(`Could not renew the lease of the key ${keyHash}:`, error);
    }
  };

  const schedule = () => {
    timer = setTimeout(async () => {
      await renew(leaseSeconds);
      if (!ended) schedule();
    }, leaseSeconds * 1000 / RENEWALS_PER_LEASE);
  };

  const release = () => {
    end();
    lost.abort(new Error("The worker is told to go"));
    // What still finishes is recorded all the same, unless somebody has taken
    // the key over by then.
    platform.waitUntil(renew(0));
  };

  held.add(release);
  if (!listening) {
    listening = true;
    platform.onUnload(() => held.forEach((release) => release()));
  }
  schedule();
  return { signal: lost.signal, end };
}
