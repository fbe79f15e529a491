import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { assertRejects } from "@std/assert";
import { printed, runCommand } from "../../../scripts/check/command.ts";
import { runSupabase } from "../../../scripts/check/supabase_cli.ts";
import { MigrationRefusedError } from "../../../scripts/migrate/errors.ts";
import { openSession } from "../../../scripts/migrate/session.ts";
import { readMigrations } from "../../../scripts/migrate/migration.ts";
import { migrateProject } from "../../../scripts/migrate/run_migrations.ts";
import { SUPABASE_DIR } from "../../../scripts/stack/settings.ts";
import { verifyDatabase } from "../../../scripts/migrate/verify.ts";
import { codeBlocks } from "../../support/documented.ts";
import { newProject, type Project, supabase } from "./project.ts";

const FIRST = `-- A table; with a semicolon in a comment.

create table public.notes (id integer primary key, body text default 'a;b');
create function public.f() returns text language sql as $$ select ';'; $$;
insert into public.notes values (1, E'it\\'s; here');

-- the end
`;
const SECOND =
  "\ufeffalter table public.notes\r\n  add column done boolean;\r\n";

async function twoMigrations(project: Project): Promise<void> {
  await project.write("migrations/20260101000000_notes.sql", FIRST);
  await project.write("migrations/20260102000000_done.sql", SECOND);
}

async function records(project: Project): Promise<unknown> {
  return await project.sql(
    "select * from supabase_migrations.schema_migrations order by version",
  );
}

Deno.test("the recipe applies the project's own migrations to a new database, and the Supabase CLI has nothing to push", async () => {
  const databaseUrl = Deno.env.get("DATABASE_URL")!;
  const { query, close } = await openSession(databaseUrl);
  // So that there is something to keep.
  await query("create schema shop");
  await query("create table shop.orders as select 1 as id");
  await close();
  const [script] = await codeBlocks("recipes/migrations.md", "bash");
  const result = await runCommand("/bin/sh", [
    "-ec",
    script!.replace(/'postgresql:.*'/, databaseUrl)
      .replaceAll("deno task", `${Deno.execPath()} task`),
  ]);
  const text = printed(result);
  assertEquals(result.code, 0, text);
  const [, folder] = /^backup +(\S+\.backups\S+)/m.exec(text)!;
  await Deno.remove(folder!, { recursive: true });

  const files = await readMigrations(`${SUPABASE_DIR}/migrations`);
  for (const { version, name } of files) {
    assertStringIncludes(text, `pending  ${version}_${name}.sql`);
    assertStringIncludes(text, `would apply ${version}_${name}.sql`);
    assertStringIncludes(text, `applied    ${version}_${name}.sql`);
  }
  assertEquals(await verifyDatabase({ databaseUrl }), []);
  const pushed = await runSupabase([
    "db",
    "push",
    "--dry-run",
    `--remote=${databaseUrl}`,
  ]);
  assertStringIncludes(printed(pushed), "Remote database is up to date");
});

Deno.test("what was applied here is recorded as the Supabase CLI records it, and neither runs what the other has", async () => {
  await using ours = await newProject();
  await using theirs = await newProject();
  await twoMigrations(ours);
  await twoMigrations(theirs);
  await migrateProject(ours.options);
  await supabase(theirs, "db", "push");
  assertEquals(await records(ours), await records(theirs));

  assertStringIncludes(await supabase(ours, "db", "push"), "up to date");
  assertStringIncludes(
    await supabase(ours, "migration", "list"),
    "`20260102000000` | `20260102000000`",
  );
  assertEquals((await migrateProject(theirs.options)).applied, []);
  assertEquals(await verifyDatabase(theirs.options), []);
});

Deno.test("--to stops at a version, the next run goes on, and status tells both", async () => {
  await using project = await newProject();
  await twoMigrations(project);
  const first = await project.command("--to", "20260101000000");
  assertEquals(first.code, 0, first.text);
  assertStringIncludes(first.text, "applied    20260101000000_notes.sql");
  assertEquals(await project.recorded(), ["20260101000000"]);

  const status = await project.command("status");
  assertEquals(status.code, 0);
  assertStringIncludes(status.text, "applied  20260101000000_notes.sql");
  assertStringIncludes(status.text, "pending  20260102000000_done.sql");
  assertStringIncludes(status.text, "2 versions, 1 pending");

  const second = await project.command("--json");
  const report = JSON.parse(second.stdout);
  assertEquals(report.applied, ["20260102000000"]);
  assertEquals(await project.recorded(), ["20260101000000", "20260102000000"]);
});

Deno.test("a file that was edited after it was applied is reported, and --verify fails", async () => {
  await using project = await newProject();
  await twoMigrations(project);
  await migrateProject(project.options);
  assertEquals((await project.command("--verify")).code, 0);
  await project.write(
    "migrations/20260101000000_notes.sql",
    FIRST.replace("'a;b'", "'c'"),
  );
  await migrateProject(project.options);
  assert(
    project.log.includes(
      "warning    20260101000000_notes.sql was edited after it was applied",
    ),
  );
  const verify = await project.command("--verify");
  assertEquals(verify.code, 4);
  assertStringIncludes(verify.text, "20260101000000_notes.sql was edited");
  assertStringIncludes((await project.command("status")).text, "drifted  2026");
});

Deno.test("a file with other line ends is no other file", async () => {
  await using project = await newProject();
  await twoMigrations(project);
  await migrateProject(project.options);
  await project.write(
    "migrations/20260101000000_notes.sql",
    FIRST.replaceAll("\n", "\r\n"),
  );
  assertEquals(await verifyDatabase(project.options), []);
});

Deno.test("a version older than the last one applied is refused, and applied with --include-all", async () => {
  await using project = await newProject();
  await twoMigrations(project);
  await migrateProject(project.options);
  await project.write("migrations/20260101120000_late.sql", "select 1");
  const refused = await project.command();
  assertEquals(refused.code, 2);
  assertStringIncludes(refused.text, "20260101120000_late.sql");
  const { applied } = await migrateProject({
    ...project.options,
    includeAll: true,
  });
  assertEquals(applied, ["20260101120000"]);
});

Deno.test("a version without a file, two files of one version, and an unknown --to are refused", async () => {
  await using project = await newProject();
  await twoMigrations(project);
  const refused = (options = project.options) =>
    assertRejects(() => migrateProject(options), MigrationRefusedError);
  assertStringIncludes(
    (await refused({ ...project.options, to: "7" })).message,
    "no such version",
  );
  await migrateProject(project.options);
  await Deno.remove(
    `${project.supabaseDir}/migrations/20260102000000_done.sql`,
  );
  assertStringIncludes(
    (await refused()).message,
    "migration repair --status reverted 20260102000000",
  );
  await project.write("migrations/20260101000000_twin.sql", "select 1");
  assertStringIncludes((await refused()).message, "20260101000000_twin.sql");
});

Deno.test("what one file sets for its session does not reach the next", async () => {
  await using project = await newProject();
  await project.write(
    "migrations/1_set.sql",
    "create schema app; set search_path = app; set role pg_monitor;",
  );
  await project.write("migrations/2_use.sql", "create table here (id integer)");
  await migrateProject(project.options);
  assertEquals(
    await project.sql("select to_regclass('public.here')::text as here"),
    [{ here: "here" }],
  );
});

Deno.test("begin and commit around a whole file are left out, in between they are refused", async () => {
  await using project = await newProject();
  await project.write(
    "migrations/1_whole.sql",
    "-- all of it\nbegin;\ncreate table public.a ();\ncommit;\n",
  );
  await migrateProject(project.options);
  assertEquals(await project.recorded(), ["1"]);
  await project.write(
    "migrations/2_half.sql",
    "create table public.b ();\ncommit;\ncreate table public.c ();",
  );
  const error = await assertRejects(
    () => migrateProject(project.options),
    MigrationRefusedError,
  );
  assertStringIncludes(
    error.message,
    "2_half.sql: line 2 controls the transaction",
  );
  assertEquals(
    await project.sql("select to_regclass('public.b') as b"),
    [{ b: null }],
  );
});
