import postgres from "postgres";
import { startCluster } from "../../../scripts/cluster/postgres.ts";
import { missingPostgres } from "../../../scripts/cluster/postgres_extensions.ts";
import { migrate } from "../../../scripts/cluster/supabase_cluster.ts";
import { type Random, randomFrom } from "../simulation/random.ts";
import { Tally, type Trial, type TrialLimits } from "../trial.ts";
import { type Instance, startInstance } from "./instance.ts";
import { keepHouse } from "./keeper.ts";
import { flatness, type Sample } from "./flatness.ts";
import { type Books, type Scene, STORIES, WEIGHTS } from "./stories.ts";
import { type Route, ROUTES } from "./terms.ts";

const INSTANCES = 2;
const LANES = 8;
const USERS = 40;
const ALL_ROUTES = Object.keys(ROUTES) as Route[];
const SAMPLE_EVERY_MS = 5_000;
const MOST_PAUSE_MS = 150;

async function load({ seed, seconds }: TrialLimits): Promise<Tally[]> {
  const cluster = await startCluster();
  const sql = postgres(cluster.url, { max: 4, onnotice: () => {} });
  const instances: Instance[] = [];
  try {
    await migrate(cluster.url);
    await sql`create table public.load_effects (key text not null, effect uuid not null)`;
    await sql`create index on public.load_effects (key)`;
    while (instances.length < INSTANCES) {
      instances.push(await startInstance(cluster.url));
    }
    return await play(sql, instances, randomFrom(seed), seconds);
  } finally {
    for (const instance of instances) await instance[Symbol.asyncDispose]();
    await sql.end({ timeout: 5 });
    await cluster.close();
  }
}

async function play(
  sql: postgres.Sql,
  instances: readonly Instance[],
  random: Random,
  seconds: number,
): Promise<Tally[]> {
  const answers = new Tally("each request is answered as its route says");
  const crowds = new Tally(
    "more waiters than connections all get the one answer",
  );
  const effects = new Tally("each key takes effect once");
  const until = performance.now() + seconds * 1000;
  const isOver = () => performance.now() >= until;
  const books: Books = { executions: 0, failures: 0, replays: 0 };
  let times: Sample["times"] = { "first run": [], replay: [], bare: [] };
  const samples: Sample[] = [];
  let keys = 0;

  const tell = async (route: Route) => {
    const key = `${route}-${keys++}`;
    const user = `user-${random.below(USERS)}`;
    // Some answers are compressed.
    const padding = "x".repeat(random.pick([0, 0, 100, 8_000]));
    const scene: Scene = {
      route,
      key,
      random,
      tallies: { answers, crowds },
      books,
      time: (kind, ms) => times[kind].push(ms),
      press: (payload = padding) =>
        random.pick(instances).press(route, { user, key, padding: payload }),
    };
    await STORIES[route](scene);
    const took = await sql`
      delete from public.load_effects where key = ${key} returning effect`;
    effects.count(took.length === 1, () => `${key}: ${took.length} effects`);
  };
  const lane = async (_: unknown, n: number) => {
    // Each story is told, also in a short run.
    await tell(ALL_ROUTES[n % ALL_ROUTES.length]!);
    while (!isOver()) {
      await tell(random.weighted(WEIGHTS));
      times.bare.push(await random.pick(instances).bare());
      await sleep(random.below(MOST_PAUSE_MS));
    }
  };
  const sample = async () => {
    while (!isOver()) {
      await sleep(Math.min(SAMPLE_EVERY_MS, until - performance.now()));
      const [{ bytes }] = await sql<[{ bytes: number }]>`
        select pg_total_relation_size('public.idempotency_keys')::float8 as bytes`;
      const memory = await Promise.all(instances.map((one) => one.memory()));
      samples.push({ times, bytes, memory });
      times = { "first run": [], replay: [], bare: [] };
    }
  };
  const [house] = await Promise.all([
    keepHouse(sql, isOver),
    sample(),
    ...Array.from({ length: LANES }, lane),
  ]);
  return [
    answers,
    crowds,
    effects,
    ...house,
    await settle(sql, books),
    ...flatness(samples, seconds),
  ];
}

/** What the statistics show in the end, which is nothing but what happened. */
async function settle(sql: postgres.Sql, books: Books): Promise<Tally> {
  const tally = new Tally(
    "statistics count each run and failure, and no replay twice",
  );
  // Replays are told about a second later.
  const deadline = performance.now() + 20_000;
  let counted: Books;
  do {
    await sleep(500);
    await sql`select public.idempotency_refresh_statistics()`;
    [counted] = await sql<[Books]>`
      select
        sum(executions)::float8 as executions, sum(failures)::float8 as failures,
        sum(replays)::float8 as replays
      from idempotency.hours`;
  } while (
    !(agree(counted, books) && counted.replays === books.replays) &&
    performance.now() < deadline
  );
  // Replays whose count found the database too busy are left out.
  tally.count(
    agree(counted, books) && counted.replays <= books.replays,
    () => `${JSON.stringify(counted)} instead of ${JSON.stringify(books)}`,
  );
  return tally;
}

function agree(one: Books, other: Books): boolean {
  return one.executions === other.executions && one.failures === other.failures;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Mixed traffic of two instances for as long as there is time. */
export const loadTrials: readonly Trial[] = [
  { name: "load", missing: () => missingPostgres([]), run: load },
];
