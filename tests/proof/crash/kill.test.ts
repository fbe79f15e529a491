import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import {
  IdempotencyError,
  OutcomeUnknownError,
} from "../../../shared/idempotency/errors.ts";
import { randomFrom } from "../simulation/random.ts";
import { startCluster } from "../../../scripts/cluster/postgres.ts";
import { migrate } from "../../../scripts/cluster/supabase_cluster.ts";
import { killWorkers } from "./killing.ts";
import { type Mode, MODES, operate, TABLES } from "./operations.ts";

const KILLS = 200;
const SECONDS = 35;
// A busy machine gets less far in that time.
const FEWEST_KILLS = 20;
const MOST_WAIT_MS = 20_000;

Deno.test("after hundreds of kills every effect is accounted for, every key answers, and no answer has changed", async () => {
  const seed = Number(
    Deno.env.get("CRASH_SEED") ??
      crypto.getRandomValues(new Uint32Array(1))[0],
  );
  const cluster = await startCluster();
  const sql = postgres(cluster.url, { max: 8, onnotice: () => {} });
  try {
    await migrate(cluster.url);
    await sql.unsafe(TABLES);
    const { kills, stalls, told, errors } = await killWorkers(
      new URL("./worker.ts", import.meta.url),
      cluster.url,
      randomFrom(seed),
      { kills: KILLS, seconds: SECONDS },
    );
    console.log(
      `seed ${seed}: ${kills} kills, ${stalls} of zombies, ${told.length} answers`,
    );
    assertEquals(errors, [], `seed ${seed}`);
    assert(kills >= FEWEST_KILLS, `only ${kills} kills`);
    const interrupted = await sql`
      select from public.idempotency_keys where attempt > 1 or status = 'processing'`;
    assert(interrupted.length > 10, `only ${interrupted.length} interrupted`);
    await checkBooks(sql, await askAgain(sql), told, `seed ${seed}`);
  } finally {
    await sql.end({ timeout: 5 });
    await cluster.close();
  }
});

type Answers = Map<string, string>;

/** Asks for every key that anybody has touched, as its client would. */
async function askAgain(sql: postgres.Sql): Promise<Answers> {
  const keys = await sql<{ mode: Mode; key: string }[]>`
    select scope as mode, idempotency_key as key from public.idempotency_keys
    union select mode, key from crash_effects where mode <> 'step again'`;
  const answers: Answers = new Map();
  const queue = [...keys];
  const lane = async () => {
    for (let next = queue.pop(); next; next = queue.pop()) {
      answers.set(`${next.mode} ${next.key}`, await answerFor(sql, next));
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  return answers;
}

async function answerFor(
  sql: postgres.Sql,
  { mode, key }: { mode: Mode; key: string },
): Promise<string> {
  const deadline = Date.now() + MOST_WAIT_MS;
  while (Date.now() < deadline) {
    try {
      const body = await operate(sql, mode, key, () => Promise.resolve());
      if (body !== null) return body;
    } catch (error) {
      if (!(error instanceof IdempotencyError)) throw error;
      if (error instanceof OutcomeUnknownError) await resolve(sql, mode, key);
    }
    await new Promise((wake) => setTimeout(wake, 100));
  }
  throw new Error(`${mode} ${key} was not answerable for ${MOST_WAIT_MS} ms`);
}

/** What an operator does: looks whether it happened, and says so. */
async function resolve(sql: postgres.Sql, mode: Mode, key: string) {
  const [effect] = await sql`
    select from crash_effects where mode = ${mode} and key = ${key}`;
  await (effect === undefined
    ? sql`select public.idempotency_resolve('', ${mode}, ${key}, 'failed')`
    : sql`select public.idempotency_resolve(
        '', ${mode}, ${key}, 'completed', 200, ${`${key} resolved`})`);
}

async function checkBooks(
  sql: postgres.Sql,
  answers: Answers,
  told: { mode: Mode; key: string; body: string }[],
  seed: string,
) {
  for (const { mode, key, body } of told) {
    assertEquals(
      body,
      answers.get(`${mode} ${key}`),
      `${seed}: the answer of ${mode} ${key} changed`,
    );
  }
  const effects = await sql<
    { mode: Mode; key: string; effects: number; attempts: number }[]
  >`
    select k.scope as mode, k.idempotency_key as key, k.attempt as attempts,
      (select count(*)::int from crash_effects as e
       where e.mode = k.scope and e.key = k.idempotency_key) as effects
    from public.idempotency_keys as k where k.scope <> 'steps'`;
  for (const { mode, key, effects: times, attempts } of effects) {
    const most = mode === "retry" ? attempts : 1;
    assert(
      times >= 1 && times <= most,
      `${seed}: ${mode} ${key} took effect ${times} times in ${attempts} attempts`,
    );
  }
  const repeated = await sql`
    select mode, key, attempt from crash_effects
    group by mode, key, attempt having count(*) > 1`;
  assertEquals([...repeated], [], `${seed}: an attempt took effect twice`);

  const again = await sql`
    select key from crash_effects where mode = 'step again'`;
  assertEquals([...again], [], `${seed}: a finished step was repeated`);

  const jobs = await sql<{ key: string; id: string; jobs: number }[]>`
    select key, min(id) as id, count(*)::int as jobs
    from crash_provider_jobs group by key`;
  for (const { key, id, jobs: times } of jobs) {
    assertEquals(times, 1, `${seed}: ${key} made ${times} jobs`);
    const answer = answers.get(`steps ${key}`) ?? "";
    assert(answer.startsWith(`${key} job ${id} `), `${seed}: ${answer}`);
  }
  for (const mode of MODES) {
    const keys = [...answers.keys()].filter((name) =>
      name.startsWith(`${mode} `)
    );
    assert(keys.length > 20, `only ${keys.length} keys of ${mode}`);
  }
}
