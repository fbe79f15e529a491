import { z } from "zod";

/** A database that has the ledger, for whoever may keep it. */
export interface Keeper {
  /** Calls a function of the database, and gives its rows. */
  call(
    name: "cleanup_expired_idempotency_keys" | "idempotency_refresh_statistics",
    parameters?: { p_most?: number },
  ): Promise<unknown[]>;
}

const Deleted = z.tuple([
  z.object({ cleanup_expired_idempotency_keys: z.coerce.number().int() }),
]);

/** What a cleanup did. */
export interface Cleanup {
  /** How many keys were deleted. */
  readonly deleted: number;
  /** Whether none was left; else the next cleanup goes on. */
  readonly isDone: boolean;
}

// What a call deletes at once; it goes on where it found as many.
const A_BATCH = 1000;

/**
 * Deletes expired keys until none is left or the time is up, after they were
 * counted for the statistics of operators. Never deletes one that is in use.
 *
 * @param seconds How long it goes on; what it began then takes some more.
 */
export async function cleanUp(
  keeper: Keeper,
  { seconds = Infinity }: { seconds?: number } = {},
): Promise<Cleanup> {
  const deadline = performance.now() + seconds * 1000;
  try {
    await refreshStatistics(keeper, { seconds: Math.min(seconds, 30) });
  } catch (error) {
    // What nobody can count takes as much room: it is deleted all the same.
    console.warn(`counting before cleanup: ${(error as Error).message}`);
  }
  for (let deleted = 0;;) {
    // Each call is a transaction, and stops after 5 seconds.
    const [row] = Deleted.parse(
      await keeper.call("cleanup_expired_idempotency_keys"),
    );
    const latest = row.cleanup_expired_idempotency_keys;
    deleted += latest;
    // Some have expired meanwhile: they are the next cleanup's.
    if (latest < A_BATCH) return { deleted, isDone: true };
    if (performance.now() > deadline) return { deleted, isDone: false };
  }
}

const Refreshed = z.tuple([z.object({
  as_of: z.coerce.date().nullable(),
  counted: z.coerce.number(),
  behind: z.coerce.number(),
})]);

/** How far the statistics are. */
export interface Refreshed {
  /** Claims granted before are counted; `null` where none is yet. */
  readonly asOf: Date | null;
  /** At most this many claims are not counted yet. */
  readonly behind: number;
}

/** How long {@link refreshStatistics} goes on. */
export interface RefreshOptions {
  /** @default {30} */
  seconds?: number;
}

// A call counts up to where the one before it began, a tenth of a second ago
// or more, and not beyond what a transaction still open may have claimed.
const PAUSE_MS = 110;
const MOST_CALLS_FOR_NOTHING = 4;
const A_CALL = 100_000;

/**
 * Counts until all claims granted before are counted, the time is up, or a
 * transaction that is still open stands in the way.
 */
export async function refreshStatistics(
  keeper: Keeper,
  { seconds = 30 }: RefreshOptions = {},
): Promise<Refreshed> {
  const deadline = performance.now() + seconds * 1000;
  const parameters = { p_most: A_CALL };
  let target: number | undefined;
  let forNothing = 0;
  while (true) {
    const [{ as_of: asOf, counted, behind }] = Refreshed.parse(
      await keeper.call("idempotency_refresh_statistics", parameters),
    );
    // How many were there at the first call; claims go on meanwhile.
    target ??= behind + counted;
    target -= counted;
    forNothing = counted === 0 ? forNothing + 1 : 0;
    const done = target <= 0 || behind === 0 ||
      forNothing >= MOST_CALLS_FOR_NOTHING || performance.now() > deadline;
    if (done) return { asOf, behind };
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
