import postgres from "postgres";
import { startCluster } from "../../../scripts/cluster/postgres.ts";
import { missingPostgres } from "../../../scripts/cluster/postgres_extensions.ts";
import { migrate } from "../../../scripts/cluster/supabase_cluster.ts";
import { LeaseLostError } from "../../../shared/idempotency/errors.ts";
import { fingerprintValue } from "../../../shared/idempotency/fingerprint.ts";
import { linesOf } from "../../support/lines_of.ts";
import { type Random, randomFrom } from "../simulation/random.ts";
import { Tally, type Trial, type TrialLimits } from "../trial.ts";
import { checkBooks, type Told } from "./books.ts";
import { type FakedClock, fakedClock, missingFaketime } from "./faked_clock.ts";
import { Failed, perform, type Route, ROUTES, TABLES } from "./operations.ts";
import { Scenes } from "./scenes.ts";

/** What a worker with a wrong clock tells. */
export type Line =
  | {
    readonly kind: "outcome";
    readonly route: Route;
    readonly key: string;
    readonly status: number;
    readonly did: string;
  }
  /** What another request was answered while work went on past its lease. */
  | { readonly kind: "kept"; readonly status: number }
  /** How long a request waited for a held key, as a share of what it may. */
  | { readonly kind: "waited"; readonly status: number; readonly share: number }
  /** How long claims were refused after the ledger was back. */
  | { readonly kind: "closed"; readonly seconds: number }
  /** All is done, and nothing is left to do but to end. */
  | { readonly kind: "over" };

const WORKERS = 2;
const FARTHEST_SECONDS = 12 * 3600;
// A wait of 2 s may take as long on a busy machine; a jump makes it hours.
const MOST_SHARE = 15;
const MOST_REFUSED_SECONDS = 30;
const MOST_OVERTIME_SECONDS = 180;

/** The database's clock is right, those of the functions are not. */
async function functionClocks(
  { seed, seconds }: TrialLimits,
): Promise<Tally[]> {
  const random = randomFrom(seed);
  const kept = new Tally("work longer than its lease keeps its key");
  const waited = new Tally("a request waits as long as its route lets it");
  const closed = new Tally("claims go on seconds after the ledger is back");
  const ended = new Tally(
    "an instance whose clock jumps goes on and ends in time",
  );
  const told: Told[] = [];
  await using database = await startDatabase();
  const { sql, url } = database;
  const held = crypto.randomUUID();
  await hold(sql, held);

  await Promise.all(Array.from({ length: WORKERS }, async () => {
    using clock = fakedClock();
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--allow-all", "--no-check", "--quiet"],
        new URL("./worker.ts", import.meta.url).href,
        ...[url, String(random.below(0xffff_ffff)), String(seconds), held],
      ],
      env: clock.env,
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    // What takes the clock for a stop-watch may wait for hours.
    const tooLong = setTimeout(
      () => child.kill("SIGKILL"),
      (seconds + MOST_OVERTIME_SECONDS) * 1000,
    );
    let isOver = false;
    let saysSo = false;
    const ending = child.status.finally(() => isOver = true);
    const hear = (line: Line) => {
      switch (line.kind) {
        case "outcome":
          if (line.status === 200) told.push(line);
          break;
        case "kept":
          kept.count(line.status === 409, () => `answered ${line.status}`);
          break;
        case "waited":
          waited.count(
            line.status === 409 && line.share > 0.4 && line.share < MOST_SHARE,
            () => `${line.status} after ${line.share} of the wait`,
          );
          break;
        case "closed":
          closed.count(
            line.seconds < MOST_REFUSED_SECONDS,
            () => `${line.seconds} s`,
          );
          break;
        case "over":
          saysSo = true;
      }
    };
    const listen = async () => {
      for await (const line of linesOf(child.stdout)) hear(JSON.parse(line));
    };
    const listening = listen();
    while (!isOver) {
      clock.set(anywhere(random));
      // Now and then it stays wrong for longer than anything takes.
      const pauseMs = random.below(random.chance(0.3) ? 60_000 : 300);
      await Promise.race([sleep(pauseMs), ending]);
    }
    const { code, signal } = await ending;
    clearTimeout(tooLong);
    await listening;
    // As a process ends, libfaketime gives up its memory while threads of the
    // runtime still ask it for the time: one in ten does not survive that.
    const isWell = code === 0 || signal === "SIGSEGV";
    ended.count(saysSo && isWell, () => `exit code ${code}`);
  }));
  return [
    ended,
    // On a machine that stands still nobody can renew in time.
    ...(kept.tried > 0 ? [kept] : []),
    waited,
    closed,
    ...await checkBooks(sql, told, { takeovers: false }),
  ];
}

const LANES = 6;
const LEASE_SECONDS = 30;
const MS_PER_KEY = 400;
const KEYS_AT_ONCE = 3;

/** The functions' clocks are right, the database's is not. */
async function databaseClock({ seed, seconds }: TrialLimits): Promise<Tally[]> {
  const random = randomFrom(seed);
  using clock = fakedClock();
  await using database = await startDatabase(clock);
  const { sql } = database;
  const startedAt = performance.now();
  const passed = () => performance.now() - startedAt;
  const isOver = () => passed() > seconds * 1000;
  const told: Told[] = [];
  const answers = new Tally("a request is answered, or told to come back");
  const scenes = new Scenes(sql, clock, random);

  const client = async () => {
    while (!isOver()) {
      const route = random.pick(ROUTES);
      const newest = Math.floor(passed() / MS_PER_KEY);
      const key = `key-${newest + random.below(KEYS_AT_ONCE)}`;
      try {
        const { status, body } = await perform(sql, route, key, {
          leaseSeconds: LEASE_SECONDS,
          workMs: random.below(200),
          fails: random.chance(0.1),
        });
        if (status === 200) told.push({ route, key, did: body.did });
        answers.count(
          status === 200 || body.code === "REQUEST_IN_PROGRESS" ||
            body.code === "LEDGER_UNAVAILABLE" ||
            route === "refuse" && body.code === "OUTCOME_UNKNOWN",
          () => `${route} ${key}: ${status} ${body.code}`,
        );
      } catch (error) {
        // Heard at a step: the jump gave the key to another attempt.
        const isLost = error instanceof LeaseLostError;
        if (!(isLost || error instanceof Failed)) throw error;
      }
      await sleep(random.below(30));
    }
  };
  const jumps = async () => {
    do await scenes.play(); while (!isOver());
  };
  await Promise.all([jumps(), ...Array.from({ length: LANES }, client)]);
  clock.set(0);
  return [
    ...await checkBooks(sql, told, { takeovers: true }),
    answers,
    ...Object.values(scenes.tallies),
    await checkStatistics(sql),
  ];
}

/** Each attempt of the keys that are there is counted, and none twice. */
async function checkStatistics(sql: postgres.Sql): Promise<Tally> {
  const tally = new Tally("statistics count each attempt once");
  const deadline = performance.now() + 20_000;
  let counted: Record<string, number>[];
  const isRight = () =>
    counted.every(({ attempts, executions }) => attempts === executions);
  do {
    await sql`select public.idempotency_refresh_statistics()`;
    counted = await sql<Record<string, number>[]>`
      select
        k.scope, sum(k.attempt)::float8 as attempts,
        (select sum(h.executions)::float8 from idempotency.hours as h where h.scope = k.scope) as executions
      from public.idempotency_keys as k
      where k.scope in ${sql(ROUTES)}
      group by k.scope`;
    await sleep(150);
  } while (!isRight() && performance.now() < deadline);
  for (const row of counted) {
    tally.count(
      row["attempts"] === row["executions"],
      () => JSON.stringify(row),
    );
  }
  return tally;
}

interface Database extends AsyncDisposable {
  readonly url: string;
  readonly sql: postgres.Sql;
}

async function startDatabase(clock?: FakedClock): Promise<Database> {
  const { url, close } = await startCluster({ env: clock?.env ?? {} });
  const sql = postgres(url, { max: 8, onnotice: () => {} });
  const end = async () => {
    await sql.end({ timeout: 5 });
    await close();
  };
  try {
    await migrate(url);
    await sql.unsafe(TABLES);
  } catch (error) {
    await end();
    throw error;
  }
  return { url, sql, [Symbol.asyncDispose]: end };
}

/** Holds a key for longer than anybody waits for it. */
async function hold(sql: postgres.Sql, key: string): Promise<void> {
  await sql`
    select public.idempotency_claim(
      '', 'held', ${key}, ${await fingerprintValue(["held", null])},
      gen_random_uuid(), 86400, 86400)`;
}

function anywhere(random: Random): number {
  return random.below(2 * FARTHEST_SECONDS) - FARTHEST_SECONDS;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const missing = () => missingPostgres([]) ?? missingFaketime();

/** Clocks that are hours off and jump, of functions and of the database. */
export const clockTrials: readonly Trial[] = [
  { name: "clocks of functions", missing, run: functionClocks },
  { name: "clock of the database", missing, run: databaseClock },
];
