import type { Answer, Identity } from "./ledger.ts";

const running = new Map<string, Promise<Answer | null>>();

/** Duplicates that may share a run: same caller, same key, same payload. */
function nameOf({ userId, scope, key }: Identity, fingerprint: string): string {
  return JSON.stringify([userId, scope, key, fingerprint]);
}

/**
 * Announces a run to duplicates in this isolate.
 *
 * @returns Ends the announcement, with the recorded answer or with `null` when
 * there is none to share.
 */
export function announceRun(
  identity: Identity,
  fingerprint: string,
): (answer: Answer | null) => void {
  const name = nameOf(identity, fingerprint);
  const { promise, resolve } = Promise.withResolvers<Answer | null>();
  running.set(name, promise);
  return (answer) => {
    // After a takeover in this isolate the name belongs to the next attempt.
    if (running.get(name) === promise) running.delete(name);
    resolve(answer);
  };
}

/**
 * Waits for a run of the same request in this isolate, without asking the
 * database.
 *
 * @param waitMs How long at most, in ms.
 * @returns Its recorded answer; `null` when there is no such run, it left none,
 * or time is up.
 */
export async function joinRun(
  identity: Identity,
  fingerprint: string,
  waitMs: number,
): Promise<Answer | null> {
  const run = running.get(nameOf(identity, fingerprint));
  if (run === undefined) return null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeIsUp = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), waitMs);
  });
  try {
    return await Promise.race([run, timeIsUp]);
  } finally {
    clearTimeout(timer);
  }
}
