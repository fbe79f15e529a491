import { missingPostgres } from "../../../scripts/cluster/postgres_extensions.ts";
import { hasRedis, startRedis } from "../../../scripts/cluster/redis.ts";
import { Tally, type Trial, type TrialLimits } from "../trial.ts";
import { memorySubject } from "./memory_subject.ts";
import type { Subject } from "./play.ts";
import { redisSubject } from "./redis_subject.ts";
import { simulate } from "./simulate.ts";
import { startSqlSubjects } from "./sql_subject.ts";

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
    schedules: Infinity,
    seconds,
  });
  tally.tried = played;
  tally.held = failure === null ? played : played - 1;
  if (failure !== null) tally.broken.push(failure.report);
  return [tally];
}

/** Simulated schedules against each ledger, forging users among them. */
export const scheduleTrials: readonly Trial[] = [
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
