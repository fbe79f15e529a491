/**
 * Plays simulated schedules of clients, crashes and lost messages against a
 * ledger: `deno task simulate --help`.
 *
 * @module
 */
import { play, type Subject } from "../tests/proof/simulation/play.ts";
import { memorySubject } from "../tests/proof/simulation/memory_subject.ts";
import { createSchedule, partOf } from "../tests/proof/simulation/schedule.ts";
import { redisSubject } from "../tests/proof/simulation/redis_subject.ts";
import { simulate } from "../tests/proof/simulation/simulate.ts";
import { startSqlSubjects } from "../tests/proof/simulation/sql_subject.ts";
import { anySeed } from "../tests/proof/trial.ts";
import { missingPostgres } from "./cluster/postgres_extensions.ts";
import { hasRedis, startRedis } from "./cluster/redis.ts";
import { taskOptions, wrongUsage } from "./task.ts";

const USAGE =
  `Usage: deno task simulate [--schedules N] [--seed S] [--events N,N] [--ledger memory|redis|sql]

Plays simulated schedules of clients, crashes and lost messages against a ledger.
A failing schedule is made as short as it can be, and printed with how to play it
again.

  --schedules N        1000 by default
  --seed S             that of the first one; any where it is left out
  --events N,N         of the schedule of that seed, these alone
  --ledger NAME        memory, redis or sql; memory by default`;
// Each is a connection; more than the server has cores only wait.
const SQL_LANES = 2;
const MAX_SEED = 0xffff_ffff;
const RUNS = {
  memory: (wanted: Wanted) => run([memorySubject()], wanted),
  redis: runOnRedis,
  sql: runOnSql,
};

/** What to play. */
interface Wanted {
  readonly schedules: number;
  readonly seed: number;
  /** Of the schedule of that seed, these alone. */
  readonly events: readonly number[] | null;
}

try {
  const { ledger, ...wanted } = readArguments();
  const { schedules, seed, events } = wanted;
  console.log(
    events === null
      ? `${schedules} schedules from seed ${seed} against the ${ledger} ledger`
      : `${events.length} events of seed ${seed} against the ${ledger} ledger`,
  );
  const failed = await RUNS[ledger](wanted);
  if (failed) Deno.exitCode = 1;
} catch (error) {
  console.error((error as Error).message);
  Deno.exitCode = 2;
}

async function runOnRedis(wanted: Wanted): Promise<boolean> {
  if (!hasRedis()) throw new Error("Cannot simulate on Redis: no redis-server");
  await using redis = await startRedis();
  return await run([redisSubject(redis)], wanted);
}

async function runOnSql(wanted: Wanted): Promise<boolean> {
  const missing = missingPostgres([]);
  if (missing !== null) throw new Error(`Cannot simulate on SQL: ${missing}`);
  const lanes = Math.min(SQL_LANES, wanted.schedules);
  await using sql = await startSqlSubjects(lanes);
  return await run(sql.subjects, wanted);
}

async function run(
  subjects: readonly Subject[],
  { schedules, seed: firstSeed, events }: Wanted,
): Promise<boolean> {
  if (events !== null) {
    const [subject] = subjects as [Subject];
    const schedule = createSchedule(firstSeed, subject.surroundings);
    const failure = await play(partOf(schedule, events), subject);
    console.log(failure === null ? "passed" : failure.report);
    return failure !== null;
  }
  const { played, failure, tally, seconds } = await simulate({
    subjects,
    schedules,
    firstSeed,
  });
  for (const [name, times] of [...tally].sort()) {
    console.log(`${String(times).padStart(9)}  ${name}`);
  }
  if (failure !== null) console.log(failure.report);
  const rate = (played / seconds).toFixed(0);
  console.log(
    `${played} schedules in ${seconds.toFixed(1)} s, ${rate} schedules/s: ${
      failure === null ? "all passed" : `seed ${failure.schedule.seed} FAILED`
    }`,
  );
  return failure !== null;
}

function readArguments() {
  const { schedules, seed, events, ledger } = taskOptions(USAGE, {
    schedules: { type: "string", default: "1000" },
    seed: { type: "string" },
    events: { type: "string" },
    ledger: { type: "string", default: "memory" },
  });
  if (!isLedger(ledger)) {
    throw wrongUsage(
      `Cannot use --ledger ${ledger}: expected memory, redis or sql`,
      USAGE,
    );
  }
  if (events !== undefined && seed === undefined) {
    throw wrongUsage("Cannot use --events without --seed", USAGE);
  }
  return {
    ledger,
    events:
      events?.split(",").map((number) => wholeNumber("events", number, 0)) ??
        null,
    schedules: wholeNumber("schedules", schedules, 1),
    seed: seed === undefined ? anySeed() : wholeNumber("seed", seed, 0),
  };
}

function isLedger(name: string): name is keyof typeof RUNS {
  return Object.hasOwn(RUNS, name);
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= MAX_SEED) return value;
  throw wrongUsage(
    `Cannot use --${name} ${text}: expected a whole number from ${least} to ${MAX_SEED}`,
    USAGE,
  );
}
