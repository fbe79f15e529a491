import { type Failure, play, type Subject } from "./play.ts";

/** What to simulate, and for how long. */
export interface Simulation {
  /** Each plays schedules of its own, beside the others. */
  readonly subjects: readonly Subject[];
  /** The seed of the first schedule; the next ones follow it. */
  readonly firstSeed: number;
  /** How many schedules at most. */
  readonly schedules: number;
  /** Begins no schedule after this long. @default {Infinity} */
  readonly seconds?: number;
}

/** What came of a {@link Simulation}. */
export interface Simulated {
  /** How many schedules were played, the failing one included. */
  readonly played: number;
  readonly failure: Failure | null;
  /** How often each call had each outcome. */
  readonly tally: Map<string, number>;
  readonly seconds: number;
}

/** Plays schedules until one fails or all are done. */
export async function simulate(
  { subjects, firstSeed, schedules, seconds = Infinity }: Simulation,
): Promise<Simulated> {
  const tally = new Map<string, number>();
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  let failure: Failure | null = null;
  let played = 0;
  const lane = async (subject: Subject) => {
    while (failure === null && played < schedules && elapsed() < seconds) {
      failure ??= await play(firstSeed + played++, subject, tally);
    }
  };
  await Promise.all(subjects.map(lane));
  return { played, failure, tally, seconds: elapsed() };
}
