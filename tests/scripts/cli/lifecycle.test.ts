import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import postgres from "postgres";
import { EXAMPLE } from "../../../scripts/cli/init.ts";
import { VERSION } from "../../../scripts/cli/release.ts";
import {
  emptyCluster,
  type SupabaseCluster,
} from "../../../scripts/cluster/supabase_cluster.ts";
import { printed } from "../../../scripts/check/command.ts";
import { runSupabase } from "../../../scripts/check/supabase_cli.ts";
import { schemaOf } from "../../support/catalog.ts";
import { moduleOf } from "../../support/vendored.ts";
import { cli, durable, newProject, stamp } from "../../support/cli.ts";
import { upgradeBesideRequests } from "./upgrade.ts";

const ALL = "client,tracing,archive,sequences,migrate";

const NEWEST = 17;

for (const version of [15, NEWEST]) {
  Deno.test(`a project of one's own takes the ledger in and out again on Postgres ${version}`, async (t) => {
    await using cluster = await emptyCluster({ version });
    await using project = await newProject();
    const { url } = cluster;
    await project.migration(
      "effects",
      "create table public.effects (id bigint generated always as identity, key text);",
    );
    await project.push(url);
    const before = await schemaOf(url);

    await t.step("init says what it creates, and is pushed", async () => {
      const text = await project.cli("init", "--parts", ALL, "--yes");
      assertMatch(text, /_idempotency\.sql creates\n/);
      assertStringIncludes(text, "idempotency_keys");
      assertStringIncludes(
        text,
        "cleanup-expired-idempotency-keys (7 * * * *)",
      );
      await project.push(url);
      assertStringIncludes(
        await project.cli("migrate", "status", "--database-url", url),
        "4 versions, 0 pending",
      );
    });

    await t.step("a migration made a minute later is pushed too", async () => {
      const latest = project.migrations().at(-1)!;
      assert(latest < stamp(60), latest);
      await project.migration("more", "create table public.more (id int);", 8);
      await project.push(url);
      assertEquals(await notPushed(url, project.migrations()), []);
    });

    await t.step("a protected function takes effect once", async () => {
      assertEquals(await callTwice(project.path, url), [1, [1, 1]]);
    });

    await t.step("doctor finds nothing wrong", async () => {
      await project.write("supabase/functions/hello/index.ts", EXAMPLE);
      const text = await project.cli("doctor", "--database-url", durable(url));
      assertStringIncludes(text, `ok    schema: version ${VERSION}`);
      assertStringIncludes(text, "ok    function hello: CORS and verify_jwt");
      assertStringIncludes(text, "nothing is wrong");
      await Deno.remove(`${project.path}/supabase/functions/hello`, {
        recursive: true,
      });
    });

    await t.step(
      "doctor sees a grant too many, a job too few, an edit, and what forgets",
      async () => {
        await doctorFinds(cluster, project.path, project.cli);
      },
    );

    await t.step(
      "remove says which keys are live, and leaves what was",
      async () => {
        const end = await runningRequest(project.path, url);
        const text = await project.cli(
          ...["remove", "--yes", "--database-url", url],
        );
        assertStringIncludes(text, "1 processing, 1 completed, 0 failed");
        const push = () =>
          runSupabase(["db", "push", `--remote=${url}`], {
            workdir: project.path,
          });
        assertMatch(
          printed(await push()),
          /requests are running that hold 1 of its keys/,
        );
        assertEquals(await end(), 200);
        const sql = postgres(url, { max: 1 });
        // What the project made of the ledger's is not taken with it.
        for (
          const [make, unmake] of [
            [
              "create view public.load as select scope, executions from idempotency.hours",
              "drop view public.load",
            ],
            [
              "alter table public.effects add column caller idempotency.owner",
              "alter table public.effects drop column caller",
            ],
            [
              "create table idempotency.mine (id int)",
              "drop table idempotency.mine",
            ],
          ] as const
        ) {
          await sql.unsafe(make);
          assertMatch(printed(await push()), /other objects depend on/);
          await sql.unsafe(unmake);
        }
        await project.push(url);
        assertEquals(await notPushed(url, project.migrations()), []);
        await sql`drop table public.more`;
        await sql.end();
        assertEquals(await schemaOf(url), before);
        assertEquals(
          await Array.fromAsync(
            Deno.readDir(`${project.path}/supabase`),
            ({ name }) => name,
          ).then((names) => names.sort()),
          ["config.toml", "migrations"],
        );
      },
    );

    // What a project of today runs on.
    if (version !== NEWEST) return;
    await t.step(
      "put in once more, it is upgraded beside requests of both versions",
      async () => {
        await project.cli("init", "--yes");
        await project.push(url);
        await upgradeBesideRequests(project, url);
      },
    );
  });
}

Deno.test("what doctor says of a ledger that was dropped brings it back", async () => {
  await using cluster = await emptyCluster({ version: NEWEST });
  await using project = await newProject();
  const { url } = cluster;
  await project.cli("init", "--yes");
  await project.push(url);
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const supabase = async (...args: string[]) => {
    const result = await runSupabase([...args, `--remote=${url}`], {
      workdir: project.path,
    });
    assertEquals(result.code, 0, printed(result));
    return printed(result);
  };
  const doctor = (options = "") =>
    cli([
      ...["doctor", "--project", project.path],
      ...["--database-url", `${durable(url)}${options}`],
    ]);
  try {
    await sql`revoke usage on schema idempotency from service_role`;
    const { text } = await doctor("&role=service_role");
    assertStringIncludes(text, "WRONG access: permission denied for schema");
    assertStringIncludes(text, "service_role has lost what");
    await sql`drop table public.idempotency_keys cascade`;
    assertStringIncludes(
      (await doctor()).text,
      'not the whole of it: relation "public.idempotency_keys" does not exist',
    );

    await sql`drop schema public cascade`;
    await sql`create schema public`;
    const found = await doctor();
    assertEquals(found.code, 1, found.text);
    const [, repair] = /run supabase (migration repair [\w -]+),/
      .exec(found.text)!;
    assertMatch(await supabase("db", "push"), /up to date/);
    await sql`drop schema idempotency cascade`;
    await supabase(...repair!.split(" "));
    await project.push(url);
    const { text: grants } = await doctor();
    for (
      const [grant] of grants.matchAll(/grant usage on schema \w+ to \w+/g)
    ) {
      await sql.unsafe(grant);
    }
    const mended = await doctor();
    assertEquals(mended.code, 0, mended.text);
  } finally {
    await sql.end();
  }
});

/** Begins a request that holds its key; answers what ends it. */
async function runningRequest(
  path: string,
  url: string,
): Promise<() => Promise<number>> {
  const { withIdempotency, postgresLedger } = await moduleOf(path);
  const sql = postgres(url, { max: 2 });
  const [begun, ending] = [0, 1].map(() => Promise.withResolvers<void>());
  const running = withIdempotency({
    userId: null,
    route: "slow",
    key: "slow-1",
    store: postgresLedger(sql),
  }, async () => {
    begun!.resolve();
    await ending!.promise;
    return { status: 200, body: "done" };
  });
  await begun!.promise;
  return async () => {
    ending!.resolve();
    const { status } = await running;
    await sql.end();
    return status;
  };
}

/** How often it ran, and what each call was answered. */
async function callTwice(
  path: string,
  url: string,
): Promise<[number, unknown[]]> {
  const { withIdempotency, postgresLedger } = await moduleOf(path);
  const sql = postgres(url, { max: 1 });
  let runs = 0;
  try {
    const context = {
      userId: null,
      route: "hello",
      key: "hello-1",
      store: postgresLedger(sql),
    };
    const call = () =>
      withIdempotency(context, () => {
        runs += 1;
        return Promise.resolve({ status: 201, body: runs });
      });
    const bodies = [(await call()).body, (await call()).body];
    return [runs, bodies];
  } finally {
    await sql.end();
  }
}

async function notPushed(url: string, names: string[]): Promise<string[]> {
  const sql = postgres(url, { max: 1 });
  try {
    const rows = await sql`
      select version from supabase_migrations.schema_migrations`;
    const pushed = rows.map(({ version }) => version);
    return names.filter((name) => !pushed.includes(name.split("_")[0]));
  } finally {
    await sql.end();
  }
}

async function doctorFinds(
  { url }: SupabaseCluster,
  path: string,
  run: (...args: string[]) => Promise<string>,
): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const module = `${path}/supabase/functions/_shared/idempotency/key.ts`;
  const text = await Deno.readTextFile(module);
  const ledger = [...Deno.readDirSync(`${path}/supabase/migrations`)]
    .find(({ name }) => name.endsWith("_idempotency.sql"))!.name;
  const findings = async () => {
    const failed = await run("doctor", "--json", "--database-url", url)
      .then(() => "[]", (error: Error) => error.message);
    return failed;
  };
  try {
    const [cron] = await sql`select to_regclass('cron.job') as job`;
    await sql`grant execute on function public.idempotency_fail to anon`;
    await sql`grant update (status) on public.idempotency_keys to anon`;
    await sql`grant select on public.idempotency_keys to authenticated`;
    await sql`create policy everybody on public.idempotency_keys for select using (true)`;
    await sql`alter function public.idempotency_complete security invoker`;
    await sql`drop index public.idempotency_keys_fence`;
    await sql`alter table public.idempotency_keys disable trigger account_has_ended`;
    if (cron!["job"]) {
      await sql`update cron.job set active = false where jobid = 1`;
      await sql`insert into cron.job_run_details (jobid, runid, status, start_time)
        values (1, 1000000, 'succeeded', now() - interval '4 hours')`;
      await sql`update cron.job set jobname = 'gone' where jobid = 2`;
    }
    await Deno.writeTextFile(module, `${text}// mine\n`);
    await sql`alter function public.idempotency_renew rename to gone`;
    const found = await findings();
    for (
      const finding of [
        "service_role may not execute idempotency_renew",
        "anon may execute idempotency_fail",
        "anon may update idempotency_keys",
        "authenticated may select fence, owner_token",
        "lets users see keys of others",
        "idempotency_complete is not the ledger's",
        "index idempotency_keys_fence is missing",
        "trigger account_has_ended of idempotency_keys",
        "key.ts is edited",
        "synchronous_commit is off",
        ...cron!["job"]
          ? [
            "it is not active",
            "it is not scheduled",
            "the last run of a job began",
          ]
          : [],
      ]
    ) assertStringIncludes(found, finding);
    if (cron!["job"]) {
      await sql`update cron.job set jobname = 'gone too' where jobid = 1`;
      const without = await findings();
      assertEquals(without.split("it is not scheduled").length, 3);
      assert(!without.includes("no pg_cron"));
      assertStringIncludes(without, "begins with do $jobs$ in the SQL editor");
      const [jobs] = /^do \$jobs\$[^]*?^\$jobs\$;/m.exec(
        await Deno.readTextFile(`${path}/supabase/migrations/${ledger}`),
      )!;
      await sql.unsafe(jobs!);
      const mended = await findings();
      assert(!/it is not (active|scheduled)/.test(mended), mended);
      await sql`delete from cron.job where jobname like 'gone%'`;
    }
  } finally {
    await Deno.writeTextFile(module, text);
    await sql`revoke execute on function public.idempotency_fail from anon`;
    await sql`revoke update (status) on public.idempotency_keys from anon`;
    await sql`revoke select on public.idempotency_keys from authenticated`;
    await sql`drop policy if exists everybody on public.idempotency_keys`;
    await sql`alter function public.idempotency_complete security definer`;
    await sql`alter table public.idempotency_keys enable trigger account_has_ended`;
    await sql`alter function public.gone rename to idempotency_renew`;
    await sql.end();
  }
}
