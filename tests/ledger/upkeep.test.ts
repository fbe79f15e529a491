import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import postgres, { type Sql } from "postgres";
import { cleanUp } from "../../functions/cleanup-idempotency/clean_up.ts";
import {
  hasExtension,
  missingPostgres,
} from "../../scripts/cluster/postgres_extensions.ts";
import {
  migratedCluster,
  type SupabaseCluster,
} from "../../scripts/cluster/supabase_cluster.ts";
import { connect } from "../../scripts/project.ts";
import { cleanupExpiredKeys } from "../../shared/idempotency/calls.ts";
import { postgresLedger } from "../../shared/idempotency/postgres_ledger.ts";
import { heard } from "../support/heard.ts";
import { untilBlockedBy } from "../support/until_blocked_by.ts";

const withoutPostgres = missingPostgres([]) !== null;
const ignore = withoutPostgres || !hasExtension("pg_cron");
const JOB = "cleanup-expired-idempotency-keys";

let cluster: SupabaseCluster;
let sql: Sql;

Deno.test.beforeAll(async () => {
  if (withoutPostgres) return;
  cluster = await migratedCluster();
  sql = postgres(cluster.url, { max: 1, onnotice: () => {} });
});

Deno.test.afterAll(async () => {
  await sql?.end();
  await cluster?.[Symbol.asyncDispose]();
});

/** Makes completed keys that expired, the last one last. */
async function expiredKeys(count: number): Promise<void> {
  await sql`
    insert into public.idempotency_keys (
      owner, scope, idempotency_key, request_fingerprint, status, owner_token, status_code,
      response_encoding, completed_at, expires_at
    )
    select
      '', 'upkeep', 'key-' || n, repeat('a', 64), 'completed', gen_random_uuid(), 200,
      'none', now(), now() - interval '1 day' + make_interval(secs => n)
    from generate_series(1, ${count}::integer) as n`;
}

async function keysLeft(): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::integer as count from public.idempotency_keys where scope = 'upkeep'`;
  return row!.count;
}

/** Runs what pg_cron would, as it does: the text of the job, as one statement. */
async function runJob(name = JOB): Promise<void> {
  const [job] = await sql<{ command: string }[]>`
    select command from cron.job where jobname = ${name}`;
  await sql.unsafe(job!.command).simple();
}

/** Keys of many owners, of which the statistics know, and then many of one. */
async function keysBeyondStatistics(owner: string, expiresIn: string) {
  const insert = (owners: string, count: number, lives: string) =>
    sql.unsafe(`
      insert into public.idempotency_keys (
        owner, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at
      )
      select ${owners}, 'scope-' || n % 50, 'key-' || n, repeat('a', 64), gen_random_uuid(),
        now() + interval '${lives}', now() + interval '${lives}'
      from generate_series(1, ${count}) as n`);
  await sql`alter table public.idempotency_keys set (autovacuum_enabled = off)`;
  await insert("'owner-' || n", 3_000, "1 hour");
  await sql`analyze public.idempotency_keys`;
  await insert(`'${owner}'`, 10_000, expiresIn);
}

// With ten thousand keys of one owner the square of their number is minutes.
Deno.test({
  name:
    "keys that the statistics do not know of yet cost a claim and the cleanup no more than others",
  ignore: withoutPostgres,
  async fn() {
    const claim = () =>
      sql`select public.idempotency_claim(
        'eve', 'orders', ${crypto.randomUUID()}, ${"a".repeat(64)},
        gen_random_uuid(), 60, 3600
      )`;
    await keysBeyondStatistics("eve", "1 hour");
    await sql`insert into idempotency.full_owners (owner) values ('eve')`;
    await sql`set statement_timeout = '5s'`;
    try {
      await assertRejects(claim, Error, "10000 live keys");
      await sql`update public.idempotency_keys set lease_expires_at = now() - interval '1 hour',
        expires_at = now() - interval '1 hour' where owner = 'eve'`;
      await sql`select public.cleanup_expired_idempotency_keys()`;
      await claim();
    } finally {
      await sql`set statement_timeout = 0`;
      await sql`delete from public.idempotency_keys`;
      await sql`alter table public.idempotency_keys reset (autovacuum_enabled)`;
    }
  },
});

Deno.test({
  name:
    "how one of the project's many keys stands is looked up, however often a session has asked",
  ignore: withoutPostgres,
  fn: async () => {
    await keysBeyondStatistics("", "1 hour");
    let read = 0;
    // A prepared query may get a plan for any arguments at its sixth run.
    for (let asked = 1; asked <= 8; asked++) {
      const [row] = await sql`
        explain (analyze, buffers, format json)
        select from public.get_idempotency_status('key-57', 'scope-7')`;
      const { Plan: plan } = row!["QUERY PLAN"][0];
      assertEquals(plan["Actual Rows"], 1);
      read = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
    }
    await sql`delete from public.idempotency_keys`;
    await sql`alter table public.idempotency_keys reset (autovacuum_enabled)`;
    assert(read < 20, `${read} pages were read`);
  },
});

// What marks owners who are full is one row for all that they do at once.
const FULL = "full";
const TOKEN = crypto.randomUUID();

const claimOfFull = (session: Sql, key: string) =>
  session`select public.idempotency_claim(
    ${FULL}, 'orders', ${key}, ${"a".repeat(64)}, ${TOKEN}, 60, 3600)`;

/** Keys of one owner: one that may be claimed again, and one that is large. */
async function keysOfFull(expiresIn: string): Promise<void> {
  await sql`
    insert into public.idempotency_keys (
      owner, scope, idempotency_key, request_fingerprint, owner_token, status, completed_at, expires_at,
      response
    )
    select ${FULL}, 'orders', key, ${
    "a".repeat(64)
  }, gen_random_uuid(), 'failed', now(),
      now() + ${expiresIn}::interval, repeat('x', size)
    from (values ('again', 0), ('large', 1000)) as keys (key, size)`;
}

/** Two sessions beside `sql`, each in a transaction. */
async function inTwoSessions(
  act: (one: Sql, other: Sql) => Promise<void>,
): Promise<void> {
  const sessions = postgres(cluster.url, { max: 2, onnotice: () => {} });
  const [one, other] = await Promise.all([
    sessions.reserve(),
    sessions.reserve(),
  ]);
  try {
    for (const session of [one, other]) {
      await session`begin`;
      await session`set local lock_timeout = '5s'`;
    }
    await act(one, other);
  } finally {
    for (const session of [one, other]) {
      await session`rollback`;
      session.release();
    }
    await sessions.end();
    await sql`delete from public.idempotency_keys`;
    await sql`delete from idempotency.full_owners`;
    await sql`update idempotency.limits set keys = default, bytes = default`;
  }
}

Deno.test({
  name: "cleanup passes over a key that is being claimed anew",
  ignore: withoutPostgres,
  async fn() {
    await keysOfFull("-1 second");
    await inTwoSessions(async (claims, cleans) => {
      await claimOfFull(claims, "again");
      const [cleaned] = await cleans<
        [{ count: number }]
      >`select public.cleanup_expired_idempotency_keys()::integer as count`;
      assertEquals(cleaned.count, 1);
    });
  },
});

Deno.test({
  name:
    "cleanup does not wait for a transaction that makes room for its owner and then wants a key that cleanup deletes",
  ignore: withoutPostgres,
  async fn() {
    await keysOfFull("-1 second");
    await sql`insert into idempotency.full_owners (owner) values (${FULL})`;
    await inTwoSessions(async (claims, cleans) => {
      await claimOfFull(claims, "first");
      await cleans`select public.cleanup_expired_idempotency_keys()`;
      const [{ pid }] = await cleans<
        [{ pid: number }]
      >`select pg_backend_pid() as pid`;
      const second = claimOfFull(claims, "again").execute();
      await untilBlockedBy(sql, pid);
      await cleans`commit`;
      await second;
    });
  },
});

Deno.test({
  name:
    "whoever records an answer does not wait for a transaction that finds the owner full and then wants that key",
  ignore: withoutPostgres,
  async fn() {
    await sql`update idempotency.limits set bytes = 100`;
    await keysOfFull("1 hour");
    await inTwoSessions(async (claims, records) => {
      await claimOfFull(records, "again");
      await claims`select idempotency.enforce_limits(${FULL})`;
      const [{ pid }] = await records<
        [{ pid: number }]
      >`select pg_backend_pid() as pid`;
      const second = claimOfFull(claims, "again").execute();
      await untilBlockedBy(sql, pid);
      // large enough for a look each time
      await records`select idempotency.has_room_for(${FULL}, 16777217)`;
      await records`commit`;
      await second;
    });
  },
});

// An outage: tables that were almost empty when Postgres looked last, and then
// many keys whose requests were interrupted, which somebody wants to see.
Deno.test({
  name:
    "operators see interrupted requests that the statistics do not know of yet",
  ignore: withoutPostgres,
  async fn() {
    const tables = ["public.idempotency_keys", "idempotency.open_keys"];
    const interrupted = (owner: string) =>
      sql`
        insert into public.idempotency_keys (
          owner, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at
        )
        select ${owner}, 'orders', 'key-' || n, repeat('a', 64), gen_random_uuid(),
          now() - interval '1 second', now() + interval '1 hour'
        from generate_series(1, 15000) as n`;
    const refresh = async () => {
      for (let call = 0; call < 3; call++) {
        await sql`select public.idempotency_refresh_statistics(100000)`;
        await new Promise((resolve) => setTimeout(resolve, 110));
      }
    };
    const rows = async () => {
      await refresh();
      const [{ stuck }, { open }] = [
        ...await sql`select stuck_count::integer as stuck from public.idempotency_scope_statistics() where scope is null`,
        ...await sql`select count(*)::integer as open from idempotency.open_keys`,
      ] as unknown as [{ stuck: number }, { open: number }];
      return [stuck, open];
    };
    for (const table of tables) {
      await sql.unsafe(`alter table ${table} set (autovacuum_enabled = off)`);
    }
    await interrupted("ada");
    await refresh();
    await sql`delete from public.idempotency_keys where idempotency_key <> 'key-15000'`;
    await refresh();
    for (const table of tables) {
      await sql.unsafe(`vacuum (analyze, truncate off) ${table}`);
    }
    await sql`set statement_timeout = '5s'`;
    try {
      await interrupted("eve");
      assertEquals(await rows(), [15_001, 15_001]);
      assertEquals(
        (await sql`select from public.idempotency_stuck_keys(1000)`).length,
        1000,
      );
      await sql`update public.idempotency_keys set status = 'completed', status_code = 200,
        response_encoding = 'none', lease_expires_at = null, completed_at = now() where owner = 'eve'`;
      assertEquals(await rows(), [1, 1]);
    } finally {
      await sql`set statement_timeout = 0`;
      await sql`delete from public.idempotency_keys`;
      for (const table of tables) {
        await sql.unsafe(`alter table ${table} reset (autovacuum_enabled)`);
      }
    }
  },
});

Deno.test({
  name: "both jobs are scheduled, once each",
  ignore,
  async fn() {
    const jobs = await sql<{ jobname: string; schedule: string }[]>`
      select jobname, schedule from cron.job order by jobname`;
    assertEquals([...jobs], [
      { jobname: JOB, schedule: "7 * * * *" },
      { jobname: "count-idempotency-statistics", schedule: "*/5 * * * *" },
    ]);
  },
});

Deno.test({
  name: "the job deletes until nothing is left, and commits each batch",
  ignore,
  async fn() {
    await expiredKeys(2500);
    await sql.unsafe(`
      create function public.refuse() returns trigger language plpgsql as $$
      begin
        raise exception 'this one stays';
      end;
      $$;
      create trigger refuse before delete on public.idempotency_keys for each row
      when (old.idempotency_key = 'key-2500') execute function public.refuse();
    `).simple();
    try {
      await assertRejects(() => runJob(), Error, "this one stays");
      assertEquals(await keysLeft(), 500);
    } finally {
      await sql`drop function public.refuse cascade`;
    }
    await runJob();
    assertEquals(await keysLeft(), 0);
  },
});

Deno.test({
  name: "cleanup ends also where keys expire all the time",
  ignore: withoutPostgres,
  async fn() {
    await expiredKeys(1500);
    await sql.unsafe(`
      create function public.traffic() returns trigger language plpgsql as $$
      begin
        insert into public.idempotency_keys (
          owner, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at
        )
        values ('', 'upkeep', gen_random_uuid(), repeat('a', 64), gen_random_uuid(), now(), now());
        return null;
      end;
      $$;
      create trigger traffic after delete on public.idempotency_keys execute function public.traffic();
      set statement_timeout = '10s';
    `).simple();
    try {
      let calls = 0;
      await using project = connect(cluster.url);
      const { isDone } = await cleanUp({
        call(name, parameters) {
          calls += 1;
          assert(calls < 20, "it goes on for ever");
          return project.call(name, parameters);
        },
      });
      assert(isDone);
      assert(await keysLeft() < 10);
      if (!ignore) await runJob();
    } finally {
      await sql`set statement_timeout = 0`;
      await sql`drop function public.traffic cascade`;
      await sql`delete from public.idempotency_keys`;
    }
  },
});

Deno.test({
  name: "cleanup deletes what has expired also where it cannot be counted",
  ignore: withoutPostgres,
  async fn() {
    await expiredKeys(3);
    await sql`alter table idempotency.rollup rename to gone`;
    try {
      await using project = connect(cluster.url);
      const [told] = await heard("warn", async () => {
        assertEquals(await cleanUp(project), { deleted: 3, isDone: true });
      });
      assertStringIncludes(told!, "counting before cleanup: ");
    } finally {
      await sql`alter table idempotency.gone rename to rollup`;
    }
  },
});

Deno.test({
  name: "the job counts what has expired before it deletes it, where it can",
  ignore,
  async fn() {
    const claim = (scope: string) =>
      sql`select public.idempotency_claim('', ${scope}, 'short', repeat('a', 64), gen_random_uuid(), 1, 1)`;
    const expire = () =>
      sql`update public.idempotency_keys set lease_expires_at = now(), expires_at = now()
        where idempotency_key = 'short'`;
    await claim("brief");
    await expire();
    await runJob();
    const counted = await sql<{ executions: number }[]>`
      select executions::integer from idempotency.hours where scope = 'brief'`;
    assertEquals([...counted], [{ executions: 1 }]);

    await claim("uncounted");
    await expire();
    await sql`alter table idempotency.rollup rename to gone`;
    try {
      await runJob();
    } finally {
      await sql`alter table idempotency.gone rename to rollup`;
    }
    const left =
      await sql`select from public.idempotency_keys where idempotency_key = 'short'`;
    assertEquals(left.length, 0);
  },
});

Deno.test({
  name: "the job forgets old counts and its own old runs, and nobody else's",
  ignore,
  async fn() {
    await sql`
      insert into idempotency.replay_counts (owner, scope, hour, replays) values
        ('', 'upkeep', now() - interval '9 days', 1), ('', 'upkeep', now() - interval '7 days', 1)`;
    await sql`select cron.schedule('nightly', '0 3 * * *', 'select 1')`;
    // Numbered below what pg_cron itself may write meanwhile.
    await sql`
      insert into cron.job_run_details (jobid, runid, status, return_message, start_time, end_time)
      select j.jobid, r.runid - 100, 'succeeded', 'of a test', r.began, r.began
      from (values
        (1, ${JOB}, now() - interval '9 days'),
        (2, 'count-idempotency-statistics', null),
        (3, 'nightly', now() - interval '9 days'),
        (4, 'count-idempotency-statistics', now() - interval '8 days'),
        (5, ${JOB}, now() - interval '6 days'),
        (6, 'count-idempotency-statistics', null)
      ) as r (runid, jobname, began)
      join cron.job as j using (jobname)`;
    await runJob();
    const counts = await sql`
      select from idempotency.replay_counts where scope = 'upkeep'`;
    assertEquals(counts.length, 1);
    const runs = await sql<{ number: number }[]>`
      select runid::integer + 100 as number from cron.job_run_details
      where return_message = 'of a test' order by runid`;
    assertEquals(runs.map(({ number }) => number), [3, 5, 6]);
  },
});

Deno.test({
  name: "the other job counts statistics",
  ignore,
  async fn() {
    await sql`
      select public.idempotency_claim('', 'counted', 'key', repeat('a', 64), gen_random_uuid(), 60, 3600)`;
    // One run finds where to end, the next one, a little later, counts up to there.
    let behind = 1;
    for (let run = 0; run < 20 && behind > 0; run++) {
      await runJob("count-idempotency-statistics");
      await new Promise((resolve) => setTimeout(resolve, 110));
      const [row] = await sql<{ behind: number }[]>`
        select statistics_behind::integer as behind from public.idempotency_upkeep()`;
      behind = row!.behind;
    }
    assertEquals(behind, 0);
  },
});

// Logical replication (Realtime, ETL, Debezium) refuses updates and deletes on a
// table that has no primary key.
Deno.test({
  name:
    "cleanup, counting and statistics work under a publication for all tables",
  ignore: withoutPostgres,
  async fn() {
    await sql`create publication everything for all tables`;
    try {
      await expiredKeys(3);
      await sql`
        insert into idempotency.replay_counts (owner, scope, hour, replays)
        values ('', 'published', now() - interval '9 days', 1)`;
      await sql`
        select public.idempotency_claim('', 'published', 'key', repeat('a', 64), gen_random_uuid(), 60, 3600)`;
      for (const replays of [3, 4]) {
        await sql`select public.idempotency_count_replays('', 'published', ${replays})`;
      }
      await sql`insert into idempotency.full_owners values ('user_2abc')`;
      await sql`delete from idempotency.full_owners`;
      await statistics();
      const [cleaned] = await sql<{ deleted: number }[]>`
        select public.cleanup_expired_idempotency_keys()::integer as deleted`;
      assertEquals(cleaned, { deleted: 3 });
      await expiredKeys(3);
      if (!ignore) await runJob();
      assertEquals(await keysLeft(), ignore ? 3 : 0);
      const counted = await sql<{ replays: number }[]>`
        select replays::integer from idempotency.replay_counts where scope = 'published'`;
      assertEquals([...counted], [{ replays: 7 }]);
      await sql`select public.idempotency_recount_statistics()`;
      await statistics();
      const [shown] = await sql<{ executions: number; replays: number }[]>`
        select execution_count::integer as executions, replay_count::integer as replays
        from public.idempotency_scope_statistics() where scope = 'published'`;
      assertEquals(shown, { executions: 1, replays: 7 });
    } finally {
      await sql`drop publication everything`;
    }
  },
});

/** Counts until what has happened so far is counted. */
async function statistics(): Promise<void> {
  const began = new Date();
  for (let behind = true; behind;) {
    const [row] = await sql<{ as_of: Date | null }[]>`
      select as_of from public.idempotency_refresh_statistics()`;
    behind = row!.as_of === null || row!.as_of < began;
    if (behind) await new Promise((resolve) => setTimeout(resolve, 110));
  }
}

Deno.test({
  name: "a cleanup in code that takes its 5 seconds says how many it deleted",
  ignore: withoutPostgres,
  fn: async () => {
    await expiredKeys(5000);
    await sql.unsafe(`
      create function public.slow_disk() returns trigger language plpgsql as $$
      begin
        perform pg_sleep(0.9);
        return null;
      end;
      $$;
      create trigger slow_disk after delete on public.idempotency_keys
        for each statement execute function public.slow_disk();`);
    try {
      assertEquals(await cleanupExpiredKeys(postgresLedger(sql)), 5000);
    } finally {
      await sql`drop function public.slow_disk() cascade`;
    }
  },
});
