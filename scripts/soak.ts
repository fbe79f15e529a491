/**
 * Tries for as long as you like what a test run has no time for:
 * `deno task soak --help`.
 *
 * @module
 */
import { agreementTrial } from "../tests/proof/agreement/trials.ts";
import { breakInTrial } from "../tests/proof/break_in/trials.ts";
import { clockTrials } from "../tests/proof/clocks/trials.ts";
import { crashTrials } from "../tests/proof/crash/trials.ts";
import { fuzzTrials } from "../tests/proof/fuzz/trials.ts";
import { loadTrials } from "../tests/proof/load/trials.ts";
import { scheduleTrials } from "../tests/proof/simulation/trials.ts";
import { anySeed, type Trial } from "../tests/proof/trial.ts";
import { printTable } from "./table.ts";
import { readTask, taskOptions, wrongUsage } from "./task.ts";

const USAGE =
  `Usage: deno task soak [--minutes N] [--seed S] [--only NAME,NAME] [--json]

Tries what a test run has no time for: workers and servers that are killed,
clocks that jump, simulated schedules, hostile users, odd requests, load that
does not end. What a trial needs and this machine lacks is skipped, and said.
Exit code 1 where a promise was broken.

  --minutes N          shared out among the trials; 60 by default
  --seed S             the same makes the same choices; printed where it is left out
  --only NAME,NAME     trials whose names begin so
  --json               a JSON object a line in place of the table`;
const MAX_SEED = 0xffff_ffff;

const trials: readonly Trial[] = [
  ...scheduleTrials,
  agreementTrial,
  ...fuzzTrials,
  ...crashTrials,
  breakInTrial,
  ...clockTrials,
  ...loadTrials,
];

/** A line of the table. */
interface Row {
  trial: string;
  promise: string;
  tried: number;
  held: number;
  seconds: number;
  seed: number;
}

const { minutes, seed, able, json } = readTask("soak", readArguments);

const seconds = minutes * 60 / able.length;
console.error(
  `${able.length} trials of ${seconds.toFixed(0)} s each, seed ${seed}`,
);
const rows: Row[] = [];
const broken: string[] = [];
for (const trial of able) {
  console.error(`… ${trial.name}`);
  const startedAt = performance.now();
  const tallies = await trial.run({ seed, seconds }).catch((error) => [
    // What the others tried is worth a table all the same.
    {
      promise: "comes to its end",
      tried: 1,
      held: 0,
      broken: [Deno.inspect(error)],
    },
  ]);
  for (const tally of tallies) {
    rows.push({
      trial: trial.name,
      promise: tally.promise,
      tried: tally.tried,
      held: tally.held,
      seconds: Math.round((performance.now() - startedAt) / 1000),
      seed,
    });
    broken.push(
      ...tally.broken.map((report) =>
        `${trial.name}: ${tally.promise}\n${report}`
      ),
    );
  }
}

if (json) { for (const row of rows) console.log(JSON.stringify(row)); }
else {
  printTable(
    ["trial", "promise", "tried", "held", "s", "seed"],
    rows.map((row) => Object.values(row)),
  );
}
for (const report of broken) console.error(`\nBROKEN  ${report}`);
if (rows.some(({ tried, held }) => held < tried || tried === 0)) {
  Deno.exitCode = 1;
}

function readArguments() {
  const values = taskOptions(USAGE, {
    minutes: { type: "string", default: "60" },
    seed: { type: "string" },
    only: { type: "string" },
    json: { type: "boolean", default: false },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes <= 7 * 24 * 60)) {
    throw wrongUsage(
      `--minutes ${values.minutes}: expected up to a week of them`,
      USAGE,
    );
  }
  const seed = values.seed === undefined ? anySeed() : Number(values.seed);
  if (!(Number.isInteger(seed) && seed >= 0 && seed <= MAX_SEED)) {
    throw wrongUsage(
      `--seed ${values.seed}: expected a whole number from 0 to ${MAX_SEED}`,
      USAGE,
    );
  }
  const names = values.only?.split(",").map((name) => name.trim());
  const unknown = names?.find((name) =>
    !trials.some((trial) => trial.name.startsWith(name))
  );
  if (unknown !== undefined) {
    const known = trials.map(({ name }) => name).join(", ");
    throw wrongUsage(`--only ${unknown}: expected some of ${known}`, USAGE);
  }
  const chosen = trials.filter(({ name }) =>
    names?.some((start) => name.startsWith(start)) ?? true
  );
  const able = chosen.filter((trial) => {
    const missing = trial.missing();
    if (missing !== null) console.error(`skipped: ${trial.name} (${missing})`);
    return missing === null;
  });
  if (able.length === 0) throw wrongUsage("nothing is left to try", USAGE);
  return { minutes, seed, able, json: values.json };
}
