import { join } from "node:path";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { printed, runCommand } from "../../../scripts/check/command.ts";
import { findPostgres } from "../../../scripts/cluster/postgres.ts";
import {
  migrateProject,
  rollBack,
} from "../../../scripts/migrate/run_migrations.ts";
import { newProject } from "./project.ts";

/** What `pg_dump` makes of a database. */
async function dump(url: string): Promise<string> {
  const program = join(findPostgres()!.binDir, "pg_dump");
  const result = await runCommand(program, [url]);
  assertEquals(result.code, 0, printed(result));
  return result.stdout.replaceAll(/^\\(un)?restrict .*$/gm, "");
}

Deno.test(
  "a dry run of a new project leaves no trace, not even the table of records",
  {
    // The server that comes from npm has no pg_dump beside it.
    ignore: findPostgres()?.fromNpm === true,
  },
  async () => {
    await using project = await newProject();
    await project.write(
      "migrations/1_a.sql",
      "create table public.a (id integer); insert into public.a values (1);",
    );
    await project.write(
      "migrations/2_b.sql",
      "alter table public.a add b integer;",
    );
    const before = await dump(project.url);
    const report = await migrateProject({ ...project.options, dryRun: true });
    assertEquals(report, {
      dryRun: true,
      applied: ["1", "2"],
      notTried: [],
      backup: null,
    });
    assertEquals(await dump(project.url), before);
    assertEquals(
      await project.sql(
        "select to_regnamespace('supabase_migrations') as schema",
      ),
      [{ schema: null }],
    );
    assertEquals(await Deno.stat(project.backupDir).catch(() => null), null);
  },
);

Deno.test("a dry run finds what the run would: errors, lost rows and verify files that do not hold", async () => {
  await using project = await newProject();
  await project.write(
    "migrations/1_a.sql",
    "create table public.a (id integer); insert into public.a values (1);",
  );
  await migrateProject(project.options);
  const before = await project.contents();
  await project.write("migrations/2_b.sql", "truncate public.a;");
  const lost = await project.command("--dry-run");
  assertEquals(lost.code, 4, lost.text);
  assertStringIncludes(lost.text, "public.a had 1 rows and has 0");
  await project.write("migrations/2_b.sql", "select 1;\nselect nonsense;");
  const wrong = await project.command("--dry-run", "--json");
  assertEquals(wrong.code, 1);
  const { error } = JSON.parse(wrong.stdout);
  assertStringIncludes(error.message, "2_b.sql, statement 2, line 2");
  assertEquals(await project.contents(), before);
});

Deno.test("in a dry run, too, what one file sets does not reach the next", async () => {
  await using project = await newProject();
  // As `supabase db pull` begins a file.
  await project.write(
    "migrations/1_remote_schema.sql",
    "set lock_timeout = 0; select pg_catalog.set_config('search_path', '', false); set role pg_monitor;",
  );
  await project.write(
    "migrations/2_use.sql",
    `create table here (id integer);
do $$ begin assert current_setting('lock_timeout') = '500ms'; end $$;`,
  );
  const { applied } = await migrateProject({
    ...project.options,
    dryRun: true,
  });
  assertEquals(applied, ["1", "2"]);
});

Deno.test("a dry run says what it cannot try, and that a later error may come of it", async () => {
  await using project = await newProject();
  await project.write(
    "migrations/1_a.sql",
    "create table public.a (id integer not null);",
  );
  await project.write(
    "migrations/2_index.sql",
    "create unique index concurrently a_id on public.a (id);",
  );
  const report = await migrateProject({ ...project.options, dryRun: true });
  assertEquals(report.applied, ["1"]);
  assertEquals(report.notTried, [
    "2_index.sql cannot be tried: its statements may not run in a transaction",
  ]);
  await project.write(
    "migrations/3_key.sql",
    "alter table public.a add primary key using index a_id;",
  );
  const { code, text } = await project.command("--dry-run");
  assertEquals(code, 1);
  assertStringIncludes(
    text,
    "dry run: this may be because 2_index.sql cannot be tried",
  );
  assertEquals((await migrateProject(project.options)).applied, [
    "1",
    "2",
    "3",
  ]);
});

Deno.test("a dry run explains an enum value that is used before it could be committed", async () => {
  await using project = await newProject();
  await project.write(
    "migrations/1_a.sql",
    "create type public.e as enum ('a');",
  );
  await migrateProject(project.options);
  await project.write(
    "migrations/2_b.sql",
    "alter type public.e add value 'b';",
  );
  await project.write("migrations/3_c.sql", "select 'b'::public.e;");
  const { code, text } = await project.command("--dry-run");
  assertEquals(code, 1);
  assertStringIncludes(text, "where this enum value would be committed by now");
  assertEquals((await migrateProject(project.options)).applied, ["2", "3"]);
});

Deno.test("--rollback --dry-run takes back and rolls that back", async () => {
  await using project = await newProject();
  await project.write("migrations/1_a.sql", "create table public.a ();");
  await project.write("rollback/1_a.sql", "drop table public.a;");
  await migrateProject(project.options);
  const before = await project.contents();
  const { takenBack } = await rollBack({ ...project.options, dryRun: true });
  assertEquals(takenBack, ["1"]);
  assertEquals(await project.contents(), before);
  assert(before.includes("public.a"));
});
