import { type Failure, play, type Subject } from "./play.ts";
import { createSchedule } from "./schedule.ts";
import { shrink } from "./shrink.ts";

// Whoever plays one again can name these.
const SEEDS = 2 ** 32;

/** What to simulate, and for how long. */
export interface Simulation {
  /** Each plays schedules of its own, beside the others. */
  readonly subjects: readonly Subject[];
  /** The seed of the first schedule; the next ones follow it. */
  readonly firstSeed: number;
  /** How many schedules. */
  readonly schedules: number;
  /** Goes on with more of them for this long. @default {0} */
  readonly seconds?: number;
  /** Whether a failing schedule is made as short as it can be. @default {true} */
  readonly shrinks?: boolean;
}

/** What came of a {@link Simulation}. */
export interface Simulated {
  /** How many schedules were played, the failing one included. */
  readonly played: number;
  readonly failure: Failure | null;
  /** How often each call had each outcome, and how often what else happened. */
  readonly tally: Map<string, number>;
  readonly seconds: number;
}

/** Plays schedules until one fails or all are done. */
export async function simulate(
  { subjects, firstSeed, schedules, seconds = 0, shrinks = true }: Simulation,
): Promise<Simulated> {
  const tally = new Map<string, number>();
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  let failure: Failure | null = null;
  let played = 0;
  const lane = async (subject: Subject) => {
    while (failure === null && (played < schedules || elapsed() < seconds)) {
      const seed = (firstSeed + played++) % SEEDS;
      const schedule = createSchedule(seed, subject.surroundings);
      const found = await play(schedule, subject, tally);
      if (found === null || failure !== null) continue;
      failure = found;
      if (shrinks) failure = await shrink(found, subject);
    }
  };
  await Promise.all(subjects.map(lane));
  return { played, failure, tally, seconds: elapsed() };
}
