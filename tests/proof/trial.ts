import { assertEquals } from "@std/assert";

/** What a {@link Trial} is told. */
export interface TrialLimits {
  /** The same seed makes the same choices, as far as the machine lets it. */
  readonly seed: number;
  /** Begins nothing new after this long. */
  readonly seconds: number;
}

/** How often one promise was put to the test, and how often it held. */
export class Tally {
  tried = 0;
  held = 0;
  /** The first few that did not hold, each enough to look for the fault. */
  readonly broken: string[] = [];

  /** @param promise What holds, such as `every key answers`. */
  constructor(readonly promise: string) {}

  /** Counts one more. `report` is asked only where the promise did not hold. */
  count(held: boolean, report: () => string): void {
    this.tried++;
    if (held) this.held++;
    else if (this.broken.length < MOST_REPORTS) this.broken.push(report());
  }
}

/** One of the things that happen on the road, tried again and again. */
export interface Trial {
  /** Lower case, as `deno task soak --only` takes it. */
  readonly name: string;
  /** What this machine lacks for it, or `null`. */
  missing(): string | null;
  /** Tries until the time is up. Throws only where it could not try at all. */
  run(limits: TrialLimits): Promise<readonly Tally[]>;
}

const MOST_REPORTS = 5;

/** A seed that nobody chose. */
export function anySeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

/** A seed for a test, printed: another each time, or what `SOAK_SEED` chooses. */
export function testSeed(): number {
  const seed = Number(Deno.env.get("SOAK_SEED") ?? anySeed());
  console.log(`SOAK_SEED=${seed}`);
  return seed;
}

/**
 * Registers a short run of a trial as a test, with another seed each time;
 * `SOAK_SEED` chooses one.
 */
export function testTrial(trial: Trial, seconds: number): void {
  Deno.test({
    name: `trial: ${trial.name}`,
    ignore: trial.missing() !== null,
    async fn() {
      const seed = testSeed();
      const tallies = await trial.run({ seed, seconds });
      for (const { promise, tried, held } of tallies) {
        console.log(
          `${trial.name}, seed ${seed}: ${promise}: ${held}/${tried}`,
        );
      }
      const broken = tallies.flatMap(({ broken }) => broken);
      assertEquals(broken, [], `SOAK_SEED=${seed}`);
      const untried = tallies.filter(({ tried }) => tried === 0);
      assertEquals(untried.map(({ promise }) => promise), [], "never tried");
    },
  });
}
