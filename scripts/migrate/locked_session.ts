import { takeLock } from "./lock.ts";
import type { ResolvedOptions } from "./options.ts";
import { openSession, type Session } from "./session.ts";

/** Runs `work` in a session that holds the lock, and ends the session. */
export async function withLockedSession<T>(
  options: ResolvedOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { databaseUrl, waitMs, log } = options;
  const session = await openSession(
    databaseUrl,
    (notice) => log(`           ${notice}`),
  );
  try {
    await takeLock(
      session,
      waitMs,
      (holder) => log(`waiting    for another runner: ${holder}`),
    );
    return await work(session);
  } finally {
    await session.close();
  }
}
