import postgres from "postgres";
import { percentile } from "./row.ts";

/** How large {@link benchOps} makes the ledger, and how often it asks. */
export interface OpsBenchOptions {
  /** Keys in the ledger, spread over a little more than a day. */
  keys: number;
  /**
   * Times each query is asked.
   *
   * @default {100}
   */
  rounds?: number;
  /** Told what is being done. */
  onProgress?: (line: string) => void;
}

/** How long one query took. */
export interface OpsBenchRow {
  query: string;
  medianMs: number;
  p99Ms: number;
  /**
   * Processor time of the server for one call, which a busy machine stretches
   * less; `null` where the system does not tell.
   */
  processorMs: number | null;
}

const CHUNK = 250_000;
const LANES = 2;
// A page that looks every five seconds at ten million keys a day.
const CLAIMS_IN_5_SECONDS = 600;
const CLAIMS_IN_5_MINUTES = 35_000;

const REFRESH = "select * from public.idempotency_refresh_statistics()";
const STUCK_KEYS = "select * from public.idempotency_stuck_keys(100)";

/** What the page and `deno task stats` ask once they have counted. */
export const OPERATOR_QUERIES: Record<string, string> = {
  "live keys, rates and durations by scope":
    "select * from public.idempotency_scope_statistics(24, 50)",
  "chart of 48 hours": "select * from public.idempotency_hourly_statistics(48)",
  "stuck keys": STUCK_KEYS,
  "backlog and size": "select * from public.idempotency_upkeep()",
  "runs of cleanup": "select * from public.idempotency_job_runs(10)",
  "the latest requests":
    "select * from public.idempotency_recent_keys(p_limit => 20)",
  "stuck ones of an hour in the middle": `
    select * from public.idempotency_recent_keys(
      p_status => 'stuck', p_from => now() - interval '12 hours', p_until => now() - interval '11 hours'
    )`,
  "a key that is not there, one look":
    "select * from public.idempotency_recent_keys(p_idempotency_key => 'not-there')",
};

/**
 * The time of each query behind the operators' page, over a ledger of many
 * keys: 0.9 % failed, 1 in 10,000 stuck, 1.4 % expired, 20 scopes, and a
 * million hourly counts of replays.
 *
 * @param url A Postgres server of the bench's own, with the migrations applied.
 */
export async function benchOps(
  url: string,
  { keys, rounds = 100, onProgress = () => {} }: OpsBenchOptions,
): Promise<OpsBenchRow[]> {
  const sql = postgres(url, { max: LANES, onnotice: () => {} });
  try {
    await timed(onProgress, `fill in ${keys} keys`, () => fill(sql, keys));
    await timed(
      onProgress,
      "vacuum",
      () => sql`vacuum analyze public.idempotency_keys`,
    );
    await timed(onProgress, "count them for the first time", async () => {
      while (await refresh(sql, 1_000_000) > 0);
    });
    // As autovacuum would before long.
    await timed(onProgress, "vacuum again", () => sql`vacuum analyze`);
    return await measureAll(sql, keys, rounds);
  } finally {
    await sql.end();
  }
}

async function measureAll(
  sql: postgres.Sql,
  keys: number,
  rounds: number,
): Promise<OpsBenchRow[]> {
  const connection = await sql.reserve();
  try {
    const [{ pid }] = await connection<[{ pid: number }]>`
      select pg_backend_pid() as pid`;
    const rows: OpsBenchRow[] = [];
    const ask = async (
      query: string,
      text: string,
      times = rounds,
      before?: () => Promise<void>,
    ) => {
      const work = () => connection.unsafe(text);
      rows.push(await measure(query, pid, times, work, before));
    };
    let next = keys + 1;
    const claim = async (count: number, seconds: number) => {
      await insertKeys(sql, next, count, seconds);
      next += count;
    };
    await claim(CLAIMS_IN_5_MINUTES, 300);
    await ask("stuck keys, 5 minutes after the last look", STUCK_KEYS);
    await ask("counting: 5 minutes after the last look", REFRESH, 1);
    await ask("counting: 5 seconds after", REFRESH, rounds, async () => {
      await claim(CLAIMS_IN_5_SECONDS, 5);
      await pause();
    });
    for (const [query, text] of Object.entries(OPERATOR_QUERIES)) {
      await ask(query, text);
    }
    await sql`select idempotency.keep_statistics()`;
    await ask(
      "v_idempotency_stats, counted ahead",
      "select * from public.v_idempotency_stats",
    );
    await ask("beside them: select 1", "select 1");
    await ask(
      "beside them: counting for v_idempotency_stats",
      "select * from idempotency.count_statistics()",
      1,
    );
    return rows;
  } finally {
    connection.release();
  }
}

/** Counts once, and answers how many claims are left. */
async function refresh(sql: postgres.Sql, most: number): Promise<number> {
  await pause();
  const [row] = await sql<{ behind: number }[]>`
    select behind::int from public.idempotency_refresh_statistics(${most})`;
  return row!.behind;
}

/** A refresh goes up to where the sequence was a tenth of a second before. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 110));
}

async function fill(sql: postgres.Sql, keys: number): Promise<void> {
  await sql`insert into auth.users (id)
    select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid
    from generate_series(0, 999) as n on conflict do nothing`;
  const seconds = 24.35 * 3600;
  let begun = 0;
  await Promise.all(Array.from({ length: LANES }, async () => {
    while (begun < keys) {
      const first = begun + 1;
      const count = Math.min(CHUNK, keys - begun);
      begun += count;
      const from = seconds * (1 - (first - 1) / keys);
      const to = seconds * (1 - (first - 1 + count) / keys);
      await insertKeys(sql, first, count, from, to);
    }
  }));
  await sql.begin(async (sql) => {
    await sql`set local session_replication_role = replica`;
    await sql`insert into idempotency.replay_counts (owner, scope, hour, replays)
      select '00000000-0000-4000-8000-' || lpad((n % 1000)::text, 12, '0'),
        'scope-' || n / 1000, hour, 1 + n % 7
      from generate_series(0, 5199) as n,
        generate_series(date_trunc('hour', now(), 'UTC') - interval '191 hours', now(), '1 hour') as hour`;
  });
  await sql`vacuum analyze idempotency.replay_counts`;
}

/** Keys claimed evenly between two moments, given in seconds ago. */
async function insertKeys(
  sql: postgres.Sql,
  first: number,
  count: number,
  from: number,
  to = 0,
): Promise<void> {
  await sql.begin(async (sql) => {
    // The foreign key is checked a row at a time; the CHECKs stay.
    await sql`set local session_replication_role = replica`;
    await sql`
      insert into public.idempotency_keys (
        owner, user_id, scope, idempotency_key, request_fingerprint, owner_token, status, attempt,
        lease_expires_at, status_code, response, response_encoding, response_headers,
        error_message, created_at, claimed_at, completed_at, expires_at)
      select
        '00000000-0000-4000-8000-' || lpad((n % 1000)::text, 12, '0'),
        ('00000000-0000-4000-8000-' || lpad((n % 1000)::text, 12, '0'))::uuid,
        'scope-' || floor(20 * power(random(), 2)), 'order-' || n, md5(n::text) || md5(n::text),
        gen_random_uuid(), status, 1 + (n % 97 = 0)::int,
        case when status = 'processing' then claimed + interval '30 seconds' end,
        case when status = 'completed' then 200 end,
        case when status = 'completed' then '{"order":' || n || '}' end,
        case when status = 'completed' then 'text' end,
        case when status = 'completed' then '{"content-type":"application/json"}'::jsonb end,
        case when status = 'failed' then 'the provider is down' end,
        claimed, claimed,
        case when status = 'failed' then claimed + interval '1 second' when status = 'completed'
          then claimed + make_interval(secs => 0.02 * exp(1.5 * (random() + random() + random()))) end,
        claimed + interval '1 day'
      from (
        select n,
          now() - make_interval(secs => ${from}::float8 + (${to}::float8 - ${from}::float8) * (n - ${first}::bigint) / ${count}::bigint) as claimed,
          case when n % 10000 = 0 then 'processing' when n % 111 = 0 then 'failed' else 'completed' end as status
        from generate_series(${first}::bigint, ${first}::bigint + ${count}::bigint - 1) as n
      ) as keys`;
  });
}

async function measure(
  query: string,
  pid: number,
  rounds: number,
  ask: () => PromiseLike<unknown>,
  before: () => Promise<void> = () => Promise.resolve(),
): Promise<OpsBenchRow> {
  const times = [];
  let processor: number | null = 0;
  for (let round = 0; round < rounds; round++) {
    await before();
    const processorBefore = await processorTime(pid);
    const startedAt = performance.now();
    await ask();
    times.push(performance.now() - startedAt);
    const processorAfter = await processorTime(pid);
    processor = processor === null || processorAfter === null
      ? null
      : processor + processorAfter - processorBefore!;
  }
  return {
    query,
    medianMs: percentile(times, 50),
    p99Ms: percentile(times, 99),
    processorMs: processor === null ? null : processor / rounds,
  };
}

/** Milliseconds that a process has had, on Linux. */
async function processorTime(pid: number): Promise<number | null> {
  try {
    // In nanoseconds, finer than the ticks of `stat`.
    const text = await Deno.readTextFile(`/proc/${pid}/schedstat`);
    return Number(text.split(" ")[0]) / 1e6;
  } catch {
    return null;
  }
}

async function timed(
  onProgress: (line: string) => void,
  what: string,
  work: () => PromiseLike<unknown>,
): Promise<void> {
  const startedAt = performance.now();
  await work();
  const seconds = (performance.now() - startedAt) / 1000;
  onProgress(`${what}: ${seconds.toFixed(1)} s`);
}
