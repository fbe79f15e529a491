import { missingPostgres } from "../../../scripts/cluster/postgres_extensions.ts";
import { hasRedis, startRedis } from "../../../scripts/cluster/redis.ts";
import { Tally, type Trial, type TrialLimits } from "../trial.ts";
import { memorySubject } from "./memory_subject.ts";
import type { Subject } from "./play.ts";
import { redisSubject } from "./redis_subject.ts";
import { simulate } from "./simulate.ts";
import { startSqlSubjects } from "./sql_subject.ts";
import { playWorkers } from "./workers.ts";

// Each is a connection; more than the server has cores only wait.
const SQL_LANES = 2;

async function play(
  subjects: readonly Subject[],
  { seed, seconds }: TrialLimits,
): Promise<Tally[]> {
  const tally = new Tally("the ledger answers as its model does");
  const { played, failure } = await simulate({
    subjects,
    firstSeed: seed,
    schedules: 1,
    seconds,
  });
  tally.tried = played;
  tally.held = failure === null ? played : played - 1;
  if (failure !== null) tally.broken.push(failure.report);
  return [tally];
}

async function playAllWorkers(
  { seed, seconds }: TrialLimits,
): Promise<Tally[]> {
  const tallies = {
    calm: new Tally("hung, stalled and crashed workers keep every promise"),
    storm: new Tally(
      "workers keep every promise while calls are lost and the ledger is down",
    ),
  };
  const until = performance.now() + seconds * 1000;
  for (let next = seed; performance.now() < until; next++) {
    for (const [weather, tally] of Object.entries(tallies)) {
      const storms = weather === "storm";
      const { failure } = await playWorkers(next % 2 ** 32, { storms });
      tally.count(failure === null, () => failure!);
    }
  }
  return Object.values(tallies);
}

/** Simulated schedules against each ledger, forging users among them. */
export const scheduleTrials: readonly Trial[] = [
  {
    name: "schedules of workers",
    missing: () => null,
    run: playAllWorkers,
  },
  {
    name: "schedules in memory",
    missing: () => null,
    run: (limits) => play([memorySubject()], limits),
  },
  {
    name: "schedules on redis",
    missing: () => hasRedis() ? null : "no redis-server",
    async run(limits) {
      await using redis = await startRedis();
      return await play([redisSubject(redis)], limits);
    },
  },
  {
    name: "schedules on sql",
    missing: () => missingPostgres([]),
    async run(limits) {
      await using sql = await startSqlSubjects(SQL_LANES);
      return await play(sql.subjects, limits);
    },
  },
];
