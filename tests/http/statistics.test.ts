import { assert, assertEquals, assertMatch } from "@std/assert";
import { runDeno } from "../../scripts/check/command.ts";
import type { Statistics } from "../../scripts/stats/statistics.ts";
import type { Database } from "../../shared/database.types.ts";
import { letLeaseLapse } from "../support/ledger_row.ts";
import { probe, unique } from "../support/probe.ts";
import {
  type Actor,
  anonymous,
  project,
  signUp,
  withStack,
} from "../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

async function run(scope: string, body: Record<string, unknown> = {}) {
  const response = await probe(stack(), ada, {
    key: unique("key"),
    body,
    config: { scope },
  });
  await response.body?.cancel();
}

/** Two answers, a failure, a run that was interrupted, and three replays. */
async function happen(scope: string): Promise<{ stuck: string }> {
  await run(scope);
  await run(scope);
  await run(scope, { status: 503 });
  const stuck = unique("stuck");
  const { client } = project(stack());
  await client.rpc("idempotency_claim", {
    p_owner: ada.userId,
    p_scope: scope,
    p_idempotency_key: stuck,
    p_fingerprint: "a".repeat(64),
    p_owner_token: crypto.randomUUID(),
    p_lease_seconds: 60,
    p_ttl_seconds: 3600,
  }).throwOnError();
  await letLeaseLapse(stack(), stuck);
  await client.rpc("idempotency_count_replays", {
    p_owner: ada.userId,
    p_scope: scope,
    p_count: 3,
  }).throwOnError();
  return { stuck };
}

async function stats(
  args: string[] = [],
  env: Record<string, string> = {
    SUPABASE_URL: stack().apiUrl,
    SUPABASE_SECRET_KEY: stack().secretKey,
  },
) {
  const { code, stdout, stderr } = await runDeno(
    ["task", "--quiet", "stats", ...args],
    { env },
  );
  return { code, stdout: stdout.trim(), stderr: stderr.trim() };
}

function check(statistics: Statistics, scope: string, stuck: string): void {
  const found = statistics.scopes.find((row) => row.scope === scope);
  const { duration_p50_ms, duration_p95_ms, ...counts } = found!;
  assertEquals(counts, {
    scope,
    processing_count: 1,
    stuck_count: 1,
    completed_count: 2,
    failed_count: 1,
    execution_count: 4,
    failure_count: 1,
    replay_count: 3,
    replay_rate: 3 / 7,
  });
  assert(duration_p50_ms! > 0 && duration_p95_ms! >= duration_p50_ms!);
  assertEquals(statistics.chart.length, 48);
  const { executions, replays } = statistics.chart.at(-1)!;
  // Two, where the hour turned between the runs and this look.
  const before = statistics.chart.at(-2)!;
  assert(executions + before.executions >= 4);
  assert(replays + before.replays >= 3);
  assert(statistics.total.execution_count >= 4);
  const listed = statistics.stuck_keys.map((key) => key.idempotency_key);
  assert(listed.includes(stuck));
  assert(statistics.upkeep.table_bytes > 0);
}

Deno.test("deno task stats --json tells through the API what has happened", async () => {
  const scope = unique("scope");
  const { stuck } = await happen(scope);
  const { code, stdout } = await stats(["--json"]);
  assertEquals(code, 0);
  check(JSON.parse(stdout), scope, stuck);
});

Deno.test("deno task stats --json tells the same over a database URL, and knows pg_cron's jobs", async () => {
  const { dbUrl } = stack();
  // Only a database server can be reached from another process.
  if (dbUrl === undefined) return;
  const scope = unique("scope");
  const { stuck } = await happen(scope);
  const { stdout } = await stats(["--json", "--database-url", dbUrl], {});
  const statistics: Statistics = JSON.parse(stdout);
  check(statistics, scope, stuck);
  const [cron] = await stack().sql<{ there: boolean }>(
    "select to_regclass('cron.job') is not null as there",
  );
  assertEquals(
    [...new Set(statistics.job_runs.map(({ job }) => job))],
    cron!.there
      ? ["cleanup-expired-idempotency-keys", "count-idempotency-statistics"]
      : [],
  );
});

Deno.test("deno task stats prints a table, a chart and what is to be done", async () => {
  const scope = unique("scope");
  await happen(scope);
  const { code, stdout } = await stats();
  assertEquals(code, 0);
  assertMatch(stdout, new RegExp(`${scope} .*│ 42.9 %`));
  assertMatch(stdout, /^executions │.{48}│ at most \d+ an hour$/m);
  assertMatch(stdout, /\d+ stuck keys?: see deno task keys list/);
});

Deno.test("deno task stats says that there are more scopes than it shows", async () => {
  const said = async () => (await stats()).stdout;
  const { scopes } = JSON.parse((await stats(["--json"])).stdout);
  // What other tests left may be more than fifty, too.
  assertEquals((await said()).includes("busiest scopes"), scopes.length >= 50);
  await stack().sql(
    `insert into idempotency.hours (hour, scope, executions)
     select date_trunc('hour', now(), 'UTC'), 'busy-' || n, 1000 from generate_series(1, 51) as n`,
  );
  try {
    assertMatch(
      await said(),
      /^the 50 busiest scopes; "all" counts every one$/m,
    );
  } finally {
    await stack().sql("delete from idempotency.hours where scope ~ '^busy-'");
  }
});

Deno.test("deno task stats --recount forgets and counts again", async () => {
  const scope = unique("scope");
  const { stuck } = await happen(scope);
  await stats(["--json"]);
  await stack().sql(
    "update idempotency.live_keys set keys = 99 where scope = $1",
    [scope],
  );
  const { stdout } = await stats(["--json", "--recount"]);
  check(JSON.parse(stdout), scope, stuck);
});

Deno.test("deno task stats explains what it does not understand, lacks or may not", async () => {
  const { apiUrl, publishableKey } = stack();
  const cases: [string[], Record<string, string>, number, RegExp][] = [
    [["--bogus"], {}, 2, /^stats: .*--bogus[^]*\nUsage:/],
    [
      [],
      { SUPABASE_URL: apiUrl, SUPABASE_SECRET_KEY: "" },
      2,
      /^stats: SUPABASE_SECRET_KEY is not set: set .*\nUsage:/,
    ],
    [
      [],
      { SUPABASE_URL: apiUrl, SUPABASE_SECRET_KEY: publishableKey },
      1,
      /^stats: .*use the project's secret key/,
    ],
  ];
  for (const [args, env, wanted, message] of cases) {
    const { code, stdout, stderr } = await stats(args, env);
    assertEquals([code, stdout], [wanted, ""]);
    assertMatch(stderr, message);
  }
});

Deno.test("only the secret key reads the statistics of operators", async () => {
  const names: (keyof Database["public"]["Functions"])[] = [
    "idempotency_refresh_statistics",
    "idempotency_scope_statistics",
    "idempotency_hourly_statistics",
    "idempotency_upkeep",
    "idempotency_job_runs",
    "idempotency_recount_statistics",
  ];
  for (const name of names) {
    for (const { client } of [ada, anonymous(stack())]) {
      const { error } = await client.rpc(name, {} as never);
      assertEquals(error?.code, "42501", name);
    }
    const { error } = await project(stack()).client.rpc(name, {} as never);
    assertEquals(error, null, name);
  }
});
