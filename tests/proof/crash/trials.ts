import { surviveLateWrites } from "../../support/late_writes.ts";
import { randomFrom } from "../simulation/random.ts";
import { Tally, type Trial, type TrialLimits } from "../trial.ts";
import { openBooks } from "./books.ts";
import { type Fault, faults } from "./faults.ts";
import { startLoad } from "./load.ts";
import { connect } from "./operations.ts";
import { startProvider } from "./provider.ts";

const INSTANCES = 3;
// What has been told before the first strike may be lost by it. With so many,
// each way to have an effect is among them.
const CALM_ANSWERS = 60;
const ANSWERS_AFTER = 5;
const MOST_PAUSE_MS = 500;

async function play(
  fault: Fault,
  { seed, seconds }: TrialLimits,
): Promise<Tally[]> {
  const random = randomFrom(seed);
  const going = new Tally(`keys are answered again after ${fault.strike}`);
  await using provider = startProvider();
  await using ending = new AsyncDisposableStack();
  ending.defer(surviveLateWrites());
  const stage = await fault.open(ending, seconds);
  const books = openBooks(provider);
  const end = performance.now() + seconds * 1000;
  for (let round = 1; round === 1 || performance.now() < end; round++) {
    const url = await stage.prepare();
    const work = { url, provider: provider.url, prefix: `round-${round}` };
    const load = startLoad(work, random, INSTANCES);
    try {
      await load.answers(CALM_ANSWERS);
      for (let strikes = 0; strikes < stage.mostStrikes;) {
        await stage.strike(load, random);
        strikes++;
        going.count(
          await load.answers(ANSWERS_AFTER),
          () => `round ${round}, strike ${strikes}: none`,
        );
        if (performance.now() > end) break;
        await sleep(random.below(MOST_PAUSE_MS));
      }
    } finally {
      await load.end();
    }
    await using access = await connect(url);
    await books.close(access, load);
  }
  return [going, ...books.tallies];
}

/** One for everything that may be taken away. */
export const crashTrials: readonly Trial[] = faults.map((fault) => ({
  name: fault.name,
  missing: fault.missing,
  run: (limits) => play(fault, limits),
}));

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
