import { z } from "zod";
import type { Project } from "../project.ts";

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
  project: Project,
  { seconds = 30 }: RefreshOptions = {},
): Promise<Refreshed> {
  const deadline = Date.now() + seconds * 1000;
  const parameters = { p_most: A_CALL };
  let target: number | undefined;
  let forNothing = 0;
  while (true) {
    const [{ as_of: asOf, counted, behind }] = Refreshed.parse(
      await project.call("idempotency_refresh_statistics", parameters),
    );
    // How many were there at the first call; claims go on meanwhile.
    target ??= behind + counted;
    target -= counted;
    forNothing = counted === 0 ? forNothing + 1 : 0;
    const done = target <= 0 || behind === 0 ||
      forNothing >= MOST_CALLS_FOR_NOTHING || Date.now() > deadline;
    if (done) return { asOf, behind };
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
