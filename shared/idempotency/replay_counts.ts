import type { Identity, Ledger } from "./ledger.ts";
import { platform } from "./platform.ts";

// Long enough that a burst of retries becomes one call, short enough that
// whoever watches the statistics sees them move.
const FLUSH_AFTER_MS = 1_000;

const pending = new Map<string, Pending>();

interface Pending {
  ledger: Ledger;
  userId: string | null;
  scope: string;
  count: number;
}

/**
 * Counts a replay for the statistics. The replay itself neither writes nor
 * waits: counts gather in memory and are sent about a second later, together.
 * A worker killed in between loses that second of statistics and nothing else.
 */
export function countReplay(ledger: Ledger, identity: Identity): void {
  const { userId, scope } = identity;
  const name = JSON.stringify([userId, scope]);
  const entry = pending.get(name);
  if (entry !== undefined) {
    entry.count += 1;
    // The newest caller's ledger: an older one's token may have expired.
    entry.ledger = ledger;
    return;
  }
  if (pending.size === 0) scheduleFlush();
  pending.set(name, { ledger, userId, scope, count: 1 });
}

/** Sends what {@link countReplay} gathered; never throws. */
export async function flushReplayCounts(): Promise<void> {
  const batch = [...pending.values()];
  pending.clear();
  await Promise.allSettled(
    batch.map(({ ledger, userId, scope, count }) =>
      ledger.countReplays(userId, scope, count)
    ),
  );
}

function scheduleFlush(): void {
  platform.waitUntil(
    new Promise<void>((resolve) => {
      setTimeout(() => flushReplayCounts().then(resolve), FLUSH_AFTER_MS);
    }),
  );
}
