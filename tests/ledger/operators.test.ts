import { assertEquals } from "@std/assert";
import postgres from "postgres";
import { unique } from "../support/probe.ts";
import { untilBlockedBy } from "../support/until_blocked_by.ts";

let sql: postgres.Sql;

Deno.test.beforeAll(() => {
  sql = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: 20 });
});
Deno.test.afterAll(() => sql.end());

const FINGERPRINT = "a".repeat(64);

async function claim(on: postgres.Sql, scope: string, key: string) {
  await on`select public.idempotency_claim(
    '', ${scope}, ${key}, ${FINGERPRINT}, gen_random_uuid(), 60, 3600)`;
}

async function refresh(most = 50_000): Promise<void> {
  await sql`select * from public.idempotency_refresh_statistics(${most})`;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 120));
}

/** More often than it takes where nobody holds the counting back. */
async function refreshAll(): Promise<void> {
  for (let n = 0; n < 4; n++) {
    await refresh();
    await pause();
  }
}

/** Until everything claimed before is counted, whoever else is at work. */
async function refreshToNow(): Promise<void> {
  const [{ now }] = await sql<[{ now: string }]>`
    select clock_timestamp()::text as now`;
  const deadline = Date.now() + 20_000;
  while (Date.now() < deadline) {
    await refresh();
    const [row] = await sql`
      select from idempotency.rollup where counted_at >= ${now}::timestamptz`;
    if (row !== undefined) return;
    await pause();
  }
}

async function executions(scope: string): Promise<number> {
  const [row] = await sql`
    select coalesce(sum(executions), 0)::int as number
    from idempotency.hours where scope = ${scope}`;
  return row!["number"];
}

async function stuck(scope: string): Promise<string[]> {
  const rows = await sql`
    select idempotency_key from public.idempotency_stuck_keys(1000)
    where scope = ${scope}`;
  return rows.map((row) => row["idempotency_key"]);
}

Deno.test("refreshes that meet count each claim once", async () => {
  const scope = unique("met");
  for (let round = 0; round < 5; round++) {
    await Promise.all(
      Array.from(
        { length: 20 },
        (_, n) => claim(sql, scope, `k-${round}-${n}`),
      ),
    );
    await refresh();
    await pause();
    // Each of those that follow has the same ones left to count.
    await refresh(1);
    await Promise.all(Array.from({ length: 10 }, () => refresh()));
  }
  await refreshToNow();
  assertEquals(await executions(scope), 100);
});

Deno.test("refreshes beside claims that come and end lose none", async () => {
  const scope = unique("busy");
  let claiming = true;
  const looking = (async () => {
    while (claiming) {
      await refresh();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  await Promise.all(
    Array.from({ length: 8 }, async (_, lane) => {
      for (let n = 0; n < 50; n++) await claim(sql, scope, `k-${lane}-${n}`);
    }),
  );
  claiming = false;
  await looking;
  await refreshToNow();
  assertEquals(await executions(scope), 400);
});

Deno.test("a claim in a long transaction is counted when it can be seen, and listed when it is stuck", async () => {
  const scope = unique("long");
  const done = Promise.withResolvers<void>();
  const claimed = Promise.withResolvers<void>();
  const long = sql.begin(async (sql) => {
    await claim(sql as unknown as postgres.Sql, scope, "late");
    claimed.resolve();
    await done.promise;
  });
  await claimed.promise;
  try {
    // Granted after it, and visible before.
    await claim(sql, scope, "early");
    await refreshAll();
    assertEquals(await executions(scope), 0, "nothing above it is counted yet");
    // Longer ago than what other tests left: the list has a limit.
    await sql`update public.idempotency_keys
      set lease_expires_at = now() - interval '1 hour'
      where scope = ${scope} and idempotency_key = 'early'`;
    assertEquals(await stuck(scope), ["early"]);
  } finally {
    done.resolve();
    await long;
  }
  await refreshToNow();
  assertEquals(await executions(scope), 2);
  await sql`update public.idempotency_keys
    set lease_expires_at = now() - interval '1 hour' where scope = ${scope}`;
  assertEquals((await stuck(scope)).sort(), ["early", "late"]);
});

Deno.test("a claim that waited for another one of its key is counted, and listed when it is stuck", async () => {
  const scope = unique("waited");
  const [first, second, older] = await Promise.all(
    Array.from({ length: 3 }, () => sql.reserve()),
  ) as [postgres.ReservedSql, postgres.ReservedSql, postgres.ReservedSql];
  try {
    await refreshAll();
    // Counting waits for it, and goes on when the first claim is under way.
    await older`begin`;
    await older`select pg_current_xact_id()`;
    await refreshAll();
    await first`begin`;
    await claim(first, scope, "k-1");
    const [{ pid }] = await first<[{ pid: number }]>`
      select pg_backend_pid() as pid`;
    await second`begin`;
    const waiting = claim(second, scope, "k-1");
    await untilBlockedBy(sql, pid);
    await older`rollback`;
    await refreshAll();
    await first`rollback`;
    await waiting;
    await refreshAll();
    await second`commit`;
  } finally {
    for (const session of [first, second, older]) session.release();
  }
  await refreshToNow();
  assertEquals(await executions(scope), 1);
  await sql`update public.idempotency_keys
    set lease_expires_at = now() - interval '1 hour' where scope = ${scope}`;
  assertEquals(await stuck(scope), ["k-1"]);
});

Deno.test("a refresh does not wait for one that is under way", async () => {
  const { promise: holding, resolve: hold } = Promise.withResolvers<void>();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const holder = sql.begin(async (sql) => {
    await sql`select from idempotency.rollup for update`;
    hold();
    await released;
  });
  await holding;
  const asked =
    sql`select counted::int from public.idempotency_refresh_statistics()`
      .then(([row]) => row!["counted"]);
  let patience: ReturnType<typeof setTimeout> | undefined;
  const waited = new Promise((resolve) => {
    patience = setTimeout(resolve, 5000, "waited");
  });
  try {
    assertEquals(await Promise.race([asked, waited]), 0);
  } finally {
    release();
    await holder;
    await asked;
    clearTimeout(patience);
  }
});

Deno.test("a key that stays when its account ends is counted once, and how it ended once", async () => {
  const scope = unique("account");
  const owner = crypto.randomUUID();
  await sql`insert into auth.users (id) values (${owner})`;
  const claimAs = (key: string) =>
    sql`select public.idempotency_claim(
      ${owner}, ${scope}, ${key}, ${FINGERPRINT}, gen_random_uuid(), 60, 3600)`;
  const settle = (resolution: string) =>
    sql`
      select public.idempotency_resolve(k.owner, k.scope, k.idempotency_key, ${resolution}, ${
      resolution === "completed" ? 200 : null
    })
      from public.idempotency_keys as k where k.scope = ${scope} and k.idempotency_key = ${resolution}`;
  await Promise.all(["completed", "failed", "open"].map(claimAs));
  await refreshToNow();
  assertEquals(await executions(scope), 3);

  await sql`delete from auth.users where id = ${owner}`;
  // Longer ago than what other tests left, as above.
  await sql`update public.idempotency_keys
    set lease_expires_at = now() - interval '1 hour' where scope = ${scope}`;
  await settle("completed");
  await refreshToNow();
  assertEquals(await executions(scope), 3);
  assertEquals((await stuck(scope)).toSorted(), ["failed", "open"]);
  await settle("failed");
  await refreshToNow();
  assertEquals(await executions(scope), 3);
  assertEquals(await stuck(scope), ["open"]);
  const [counts] = await sql`
    select
      (select sum(failures)::int from idempotency.hours where scope = ${scope}) as failures,
      (select sum(answers)::int from idempotency.durations where scope = ${scope}) as answers,
      (select sum(keys)::int from idempotency.live_keys where scope = ${scope}) as ended`;
  assertEquals({ ...counts }, { failures: 1, answers: 1, ended: 2 });
});
