/**
 * Plays simulated schedules of clients, crashes and lost messages against a
 * ledger: `deno task simulate [--schedules N] [--seed S] [--ledger memory|redis|sql]`.
 * A failing seed is printed with its schedule; `--schedules 1 --seed S` plays
 * it again.
 *
 * @module
 */
import { parseArgs } from "node:util";
import type { Subject } from "../tests/proof/simulation/play.ts";
import { memorySubject } from "../tests/proof/simulation/memory_subject.ts";
import { redisSubject } from "../tests/proof/simulation/redis_subject.ts";
import { simulate } from "../tests/proof/simulation/simulate.ts";
import { startSqlSubjects } from "../tests/proof/simulation/sql_subject.ts";
import { missingPostgres } from "./cluster/postgres_extensions.ts";
import { hasRedis, startRedis } from "./cluster/redis.ts";

const USAGE =
  "Usage: deno task simulate [--schedules N] [--seed S] [--ledger memory|redis|sql]";
// Each is a connection; more than the server has cores only wait.
const SQL_LANES = 2;
const MAX_SEED = 0xffff_ffff;
const RUNS = {
  memory: (schedules: number, seed: number) =>
    run([memorySubject()], schedules, seed),
  redis: runOnRedis,
  sql: runOnSql,
};

try {
  const { schedules, seed, ledger } = readArguments();
  console.log(
    `${schedules} schedules from seed ${seed} against the ${ledger} ledger`,
  );
  const failed = await RUNS[ledger](schedules, seed);
  if (failed) Deno.exitCode = 1;
} catch (error) {
  console.error((error as Error).message);
  Deno.exitCode = 2;
}

async function runOnRedis(schedules: number, seed: number): Promise<boolean> {
  if (!hasRedis()) throw new Error("Cannot simulate on Redis: no redis-server");
  await using redis = await startRedis();
  return await run([redisSubject(redis)], schedules, seed);
}

async function runOnSql(schedules: number, seed: number): Promise<boolean> {
  const missing = missingPostgres([]);
  if (missing !== null) throw new Error(`Cannot simulate on SQL: ${missing}`);
  await using sql = await startSqlSubjects(Math.min(SQL_LANES, schedules));
  return await run(sql.subjects, schedules, seed);
}

async function run(
  subjects: readonly Subject[],
  schedules: number,
  firstSeed: number,
): Promise<boolean> {
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
      failure === null ? "all passed" : `seed ${failure.seed} FAILED`
    }`,
  );
  return failure !== null;
}

function readArguments() {
  const { schedules, seed, ledger } = parse();
  if (!isLedger(ledger)) {
    throw new Error(
      `Cannot use --ledger ${ledger}: expected memory, redis or sql. ${USAGE}`,
    );
  }
  return {
    ledger,
    schedules: wholeNumber("schedules", schedules, 1),
    seed: seed === undefined
      ? crypto.getRandomValues(new Uint32Array(1))[0]!
      : wholeNumber("seed", seed, 0),
  };
}

function isLedger(name: string): name is keyof typeof RUNS {
  return Object.hasOwn(RUNS, name);
}

function parse() {
  try {
    return parseArgs({
      options: {
        schedules: { type: "string", default: "1000" },
        seed: { type: "string" },
        ledger: { type: "string", default: "memory" },
      },
    }).values;
  } catch (error) {
    throw new Error(`${(error as Error).message} ${USAGE}`);
  }
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= MAX_SEED) return value;
  throw new Error(
    `Cannot use --${name} ${text}: expected a whole number from ${least} to ${MAX_SEED}. ${USAGE}`,
  );
}
