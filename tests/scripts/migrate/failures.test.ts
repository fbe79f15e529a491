import { join } from "node:path";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  BackupError,
  exitCodeOf,
  RunFailedError,
} from "../../../scripts/migrate/errors.ts";
import { openSession } from "../../../scripts/migrate/session.ts";
import { migrateProject } from "../../../scripts/migrate/run_migrations.ts";
import type { MigrateOptions } from "../../../scripts/migrate/options.ts";
import { newProject, type Project } from "./project.ts";

/** A project with one migration applied and a row in its table. */
async function running(): Promise<Project> {
  const project = await newProject();
  await project.write(
    "migrations/1_orders.sql",
    "create table public.orders (id integer primary key, total integer);\ninsert into public.orders values (1, 10), (2, 20);",
  );
  await migrateProject(project.options);
  return project;
}

/** Runs, expects a failure, and that it leaves the database as it was. */
async function failsCleanly(
  project: Project,
  options: Partial<MigrateOptions> = {},
  meanwhile: () => Promise<void> = async () => {},
): Promise<RunFailedError> {
  const before = await project.contents();
  const [error] = await Promise.all([
    assertRejects(
      () => migrateProject({ ...project.options, ...options }),
      RunFailedError,
    ),
    meanwhile(),
  ]);
  assertEquals(await project.contents(), before);
  assertEquals(error.notUndone, []);
  assertEquals(exitCodeOf(error), 1);
  return error;
}

Deno.test("an error in the second statement leaves nothing of the file, and is told with file, statement, line and SQLSTATE", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_bad.sql",
    "create table public.lines (id integer);\n\n-- wrong\nalter table public.lines\n  add column x nonsense;\n",
  );
  const { message, undone } = await failsCleanly(project);
  assertStringIncludes(
    message,
    '2_bad.sql, statement 2, line 5: type "nonsense" does not exist (SQLSTATE 42704)',
  );
  assertStringIncludes(undone.join(), "2_bad.sql: nothing of it stays");
});

Deno.test("a failure takes back what the same run applied before it", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_a.sql",
    "create table public.a (id integer);",
  );
  await project.write(
    "migrations/3_b.sql",
    "alter table public.a add b integer;",
  );
  await project.write("migrations/4_bad.sql", "select 1/0;");
  await project.write("rollback/2_a.sql", "drop table public.a;");
  await project.write("rollback/3_b.sql", "alter table public.a drop b;");
  const { message, undone } = await failsCleanly(project);
  assertStringIncludes(message, "division by zero (SQLSTATE 22012)");
  assertEquals(undone.slice(1), [
    "3: taken back with rollback/3_b.sql",
    "2: taken back with rollback/2_a.sql",
  ]);
});

Deno.test("what has no rollback file stays, with exit code 5 and a sentence that says so; what is older stays with it", async () => {
  await using project = await running();
  await project.write("migrations/2_a.sql", "create table public.a ();");
  await project.write("migrations/3_b.sql", "create table public.b ();");
  await project.write("migrations/4_bad.sql", "select 1/0;");
  await project.write("rollback/2_a.sql", "drop table public.a;");
  const { code, text } = await project.command();
  assertEquals(code, 5, text);
  assertStringIncludes(text, "NOT undone, needs you:");
  assertStringIncludes(
    text,
    "3: stays applied, supabase/rollback has no file for it",
  );
  assertStringIncludes(text, "2: stays applied, because a newer one does");
  assertEquals(await project.recorded(), ["1", "2", "3"]);
});

Deno.test("--on-failure keep leaves what the same run applied", async () => {
  await using project = await running();
  await project.write("migrations/2_a.sql", "create table public.a ();");
  await project.write("migrations/3_bad.sql", "select 1/0;");
  await project.write("rollback/2_a.sql", "drop table public.a;");
  const error = await assertRejects(
    () => migrateProject({ ...project.options, onFailure: "keep" }),
    RunFailedError,
  );
  assertEquals(error.notUndone, ["2: kept, as asked"]);
  assertEquals(await project.recorded(), ["1", "2"]);
});

Deno.test("a table that a rollback file makes anew gets its rows from the backup", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_drop.sql",
    "-- migrate: removes rows from public.orders\ndrop table public.orders;",
  );
  await project.write("migrations/3_bad.sql", "select 1/0;");
  await project.write(
    "rollback/2_drop.sql",
    "create table public.orders (id integer primary key, total integer);",
  );
  const { undone } = await failsCleanly(project);
  assertEquals(undone.at(-1), "public.orders: 2 rows restored from the backup");
});

for (
  const [what, sql, told] of [
    [
      "deleted",
      "delete from public.orders where id = 1;",
      "public.orders has 1 rows less",
    ],
    [
      "truncated",
      "truncate public.orders;",
      "public.orders had 2 rows and has 0",
    ],
    [
      "dropped",
      "drop table public.orders;",
      "public.orders is gone, with 2 rows",
    ],
    [
      "lost in a copy",
      "create table public.n as select * from public.orders limit 1; drop table public.orders; alter table public.n rename to orders;",
      "public.orders had 2 rows and has 1",
    ],
  ] as const
) {
  Deno.test(`rows that are ${what} fail the verification, unless the file says so`, async () => {
    await using project = await running();
    await project.write("migrations/2_less.sql", sql);
    const { message } = await failsCleanly(project);
    assertStringIncludes(message, told);
    assertStringIncludes(
      message,
      "-- migrate: removes rows from public.orders",
    );
    await project.write(
      "migrations/2_less.sql",
      `-- migrate: removes rows from public.orders\n${sql}`,
    );
    assertEquals((await migrateProject(project.options)).applied, ["2"]);
  });
}

Deno.test("a table that is renamed or moved to another schema has lost nothing, and is watched as before", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_rename.sql",
    "alter table public.orders rename to sales;",
  );
  await project.write(
    "migrations/3_move.sql",
    "create schema app; alter table public.sales set schema app; alter table app.sales add made timestamptz default clock_timestamp();",
  );
  await project.write("migrations/4_less.sql", "truncate app.sales;");
  const { message } = await assertRejects(
    () => migrateProject({ ...project.options, onFailure: "keep" }),
    RunFailedError,
  );
  assertStringIncludes(message, "app.sales had 2 rows and has 0");
  assertEquals(await project.recorded(), ["1", "2", "3"]);
});

Deno.test("rows that go from one partition to another are not lost, and those that go for good are", async () => {
  await using project = await running();
  await project.sql(`
    create table public.parts (id integer, year integer) partition by list (year);
    create table public.parts_1 partition of public.parts for values in (1);
    create table public.parts_2 partition of public.parts for values in (2);
    insert into public.parts values (1, 1), (2, 1), (3, 2);
  `);
  await project.write(
    "migrations/2_move.sql",
    "update public.parts set year = 2 where id = 1;",
  );
  assertEquals((await migrateProject(project.options)).applied, ["2"]);
  await project.write(
    "migrations/3_less.sql",
    "update public.parts set year = 1 where id = 1; delete from public.parts where id = 3;",
  );
  const { message } = await failsCleanly(project);
  assertStringIncludes(message, "public.parts_2 has 1 rows less");
});

Deno.test("rows that one file may remove are not held against the next", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_less.sql",
    "-- migrate: removes rows from public.orders\ndelete from public.orders where id = 1;",
  );
  await project.write("migrations/3_more.sql", "create table public.a ();");
  assertEquals((await migrateProject(project.options)).applied, ["2", "3"]);
});

Deno.test("a rollback file that would also take back what was there before is not run", async () => {
  await using project = await running();
  await project.write("migrations/2_a.sql", "create table public.a ();");
  await project.write("migrations/3_bad.sql", "select 1/0;");
  await project.write(
    "rollback/1_both.sql",
    "-- migrate: undoes 1 to 2\ndrop table public.a; drop table public.orders;",
  );
  const error = await assertRejects(
    () => migrateProject(project.options),
    RunFailedError,
  );
  assertEquals(error.notUndone, [
    "2: stays applied, rollback/1_both.sql also takes back 1, not of this run",
  ]);
  assertEquals(await project.recorded(), ["1", "2"]);
});

Deno.test("rows are counted also where no backup counts them", async () => {
  await using project = await running();
  await project.write("migrations/2_less.sql", "truncate public.orders;");
  const { message } = await failsCleanly(project, { skipBackup: true });
  assertStringIncludes(message, "public.orders had 2 rows and has 0");
});

Deno.test("of a file outside a transaction the first half is taken back by its own rollback file, or told", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_apart.sql",
    "-- migrate: no transaction\ncreate table public.a ();\nselect 1/0;",
  );
  const error = await assertRejects(
    () => migrateProject(project.options),
    RunFailedError,
  );
  assertEquals(error.notUndone, [
    "2_apart.sql, statement 1: committed by itself, stays",
  ]);
  await project.sql("drop table public.a");
  await project.write("rollback/2_apart.sql", "drop table if exists public.a;");
  const { undone } = await failsCleanly(project);
  assertEquals(undone, ["2: taken back with rollback/2_apart.sql"]);
});

Deno.test("a constraint that was never checked fails --verify, and the run that makes it warns", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_check.sql",
    "alter table public.orders add constraint big check (total > 15) not valid;",
  );
  await migrateProject(project.options);
  const told = "constraint big of public.orders was never checked";
  assertStringIncludes(project.log.join("\n"), `warning    ${told}`);
  const { code, text } = await project.command("--verify");
  assertEquals(code, 4);
  assertStringIncludes(text, told);
});

Deno.test("a verify file is asked again by --verify", async () => {
  await using project = await running();
  await project.write(
    "verify/1_orders.sql",
    "select id from public.orders where total > 15;\nselect nonsense;",
  );
  const { code, text } = await project.command("--verify");
  assertEquals(code, 4);
  assertStringIncludes(
    text,
    'verify/1_orders.sql, statement 2, line 2: column "nonsense"',
  );
});

Deno.test("rows that users delete during a migration are not held against it", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_slow.sql",
    "create table public.a (); select pg_sleep(0.5);",
  );
  const [{ applied }] = await Promise.all([
    migrateProject(project.options),
    project.untilRunning("%pg_sleep%").then(() =>
      project.sql("delete from public.orders")
    ),
  ]);
  assertEquals(applied, ["2"]);
});

for (
  const [when, files] of [
    ["while an earlier file runs", {
      "2_slow.sql": "create table public.a (); select pg_sleep(0.5);",
      "3_wide.sql": "alter table public.orders alter column total type bigint;",
    }],
    ["before the statement that rewrites their table", {
      "2_wide.sql":
        "select pg_sleep(0.5); alter table public.orders alter column total type bigint;",
    }],
    ["before the statement that drops their table", {
      "2_drop.sql": "select pg_sleep(0.5); drop table public.orders;",
    }],
  ] as const
) {
  Deno.test(`rows that users delete ${when} are no loss of the migration`, async () => {
    await using project = await running();
    for (const [file, sql] of Object.entries(files)) {
      await project.write(`migrations/${file}`, sql);
    }
    const [{ applied }] = await Promise.all([
      migrateProject(project.options),
      project.untilRunning("%pg_sleep%").then(() =>
        project.sql("delete from public.orders")
      ),
    ]);
    assertEquals(applied.length, Object.keys(files).length);
  });
}

Deno.test("what a migration loses is told apart from what users delete meanwhile", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_copy.sql",
    `select pg_sleep(0.5);
create table public.n as select * from public.orders order by id limit 1;
drop table public.orders;
alter table public.n rename to orders;`,
  );
  await project.sql("insert into public.orders values (3, 30)");
  const [error] = await Promise.all([
    assertRejects(() => migrateProject(project.options), RunFailedError),
    project.untilRunning("%pg_sleep%").then(() =>
      project.sql("delete from public.orders where id = 1")
    ),
  ]);
  assertStringIncludes(error.message, "public.orders had 2 rows and has 1");
  assertEquals(await project.sql("select id from public.orders"), [
    { id: 2 },
    { id: 3 },
  ]);
});

Deno.test("a verify file whose query gives rows, or not true, takes the migration back before its commit", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_fee.sql",
    "alter table public.orders add fee integer not null default 0;",
  );
  await project.write(
    "verify/2.sql",
    "-- every order pays\nselect id from public.orders where fee <= 0;\nselect count(*) = 3 from public.orders;",
  );
  const { message } = await failsCleanly(project);
  assertStringIncludes(
    message,
    "verify/2.sql, line 1: expected no row or true, found 2 rows",
  );
  assertStringIncludes(
    message,
    'verify/2.sql, line 3: expected no row or true, found {"?column?":false}',
  );
  await project.write("verify/2.sql", "delete from public.orders;");
  assertStringIncludes(
    (await failsCleanly(project)).message,
    "read-only transaction",
  );
  await project.write(
    "verify/2.sql",
    "select count(*) = 2 from public.orders;",
  );
  assertEquals((await migrateProject(project.options)).applied, ["2"]);
});

Deno.test("a deferred constraint that does not hold is found before the commit", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_lines.sql",
    "create table public.lines (o integer references public.orders deferrable initially deferred);\ninsert into public.lines values (9);",
  );
  const { message } = await failsCleanly(project);
  assertStringIncludes(message, "SQLSTATE 23503");
});

Deno.test("a backup that cannot be written stops the run before it begins", async () => {
  await using project = await running();
  await project.write("migrations/2_a.sql", "create table public.a ();");
  await Deno.writeTextFile(`${project.folder}/file`, "");
  const before = await project.contents();
  const error = await assertRejects(
    () =>
      migrateProject({
        ...project.options,
        backupDir: `${project.folder}/file/backups`,
      }),
    BackupError,
  );
  assertStringIncludes(error.message, "name another with --backup-dir");
  assertEquals(await project.contents(), before);
});

Deno.test("a lock that is not to be had ends in a message that names who holds it", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_a.sql",
    "create table public.a ();\nalter table public.orders add x integer;",
  );
  const before = await project.contents();
  await project.sql("begin");
  await project.sql("select from public.orders");
  const [{ pid }] = await project.sql<{ pid: number }>(
    "select pg_backend_pid() as pid",
  ) as [{ pid: number }];
  const error = await assertRejects(
    () =>
      migrateProject({
        ...project.options,
        lockTimeoutMs: 800,
        lockRetries: 2,
      }),
    RunFailedError,
  );
  await project.sql("rollback");
  assertStringIncludes(error.message, "2_a.sql, statement 2, line 2");
  assertStringIncludes(error.message, "SQLSTATE 55P03");
  assertStringIncludes(error.message, `blocked by: pid ${pid}`);
  assertStringIncludes(error.message, "tried: 3 times");
  assertEquals(await project.contents(), before);
});

Deno.test("a lock that is to be had later is waited for", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_a.sql",
    "alter table public.orders add x integer;",
  );
  await project.sql("begin");
  await project.sql("select from public.orders");
  const run = migrateProject({
    ...project.options,
    lockTimeoutMs: 100,
    lockRetries: 5,
  });
  await project.untilRunning("alter table%");
  await new Promise((wake) => setTimeout(wake, 200));
  await project.sql("rollback");
  assertEquals((await run).applied, ["2"]);
});

Deno.test("a connection cut in the middle of a run leaves the database as it was", async () => {
  await using project = await running();
  await project.write("migrations/2_a.sql", "create table public.a ();");
  await project.write("rollback/2_a.sql", "drop table public.a;");
  await project.write(
    "migrations/3_slow.sql",
    "create table public.b ();\nselect pg_sleep(30);",
  );
  const { message, undone } = await failsCleanly(project, {}, async () => {
    const pid = await project.untilRunning("%pg_sleep%");
    await project.sql(`select pg_terminate_backend(${pid})`);
  });
  assertStringIncludes(message, "3_slow.sql, statement 2, line 2");
  assertStringIncludes(message, "the connection was lost");
  assertEquals(undone, [
    "3_slow.sql: nothing of it stays, its transaction was rolled back",
    "2: taken back with rollback/2_a.sql",
  ]);
});

Deno.test("an index that is built concurrently runs apart; when it fails, its unusable remains are dropped", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_index.sql",
    "create unique index concurrently orders_parity on public.orders ((total % 5));",
  );
  const { message } = await failsCleanly(project);
  assertStringIncludes(message, "SQLSTATE 23505");
  await project.write(
    "migrations/2_index.sql",
    "create index concurrently orders_parity on public.orders ((total % 5));",
  );
  assertEquals((await migrateProject(project.options)).applied, ["2"]);
});

Deno.test("a file that mixes statements inside and outside of transactions is refused", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_mixed.sql",
    "create table public.a (id integer);\ncreate index concurrently on public.a (id);",
  );
  const { code, text } = await project.command();
  assertEquals(code, 2);
  assertStringIncludes(
    text,
    "line 2 (create index concurrently on …) may not run in a transaction, and line 1 should",
  );
});

Deno.test("a rollback that fails is told, and its migration stays whole", async () => {
  await using project = await running();
  await project.write("migrations/2_a.sql", "create table public.a ();");
  await project.write(
    "rollback/2_a.sql",
    "drop table public.a; select nonsense;",
  );
  await project.write("migrations/3_bad.sql", "select 1/0;");
  const error = await assertRejects(
    () => migrateProject(project.options),
    RunFailedError,
  );
  assertStringIncludes(
    error.notUndone.join(),
    "2: stays applied, its rollback failed: rollback/2_a.sql, statement 2",
  );
  assertEquals(exitCodeOf(error), 5);
  assertEquals(
    await project.sql("select to_regclass('public.a')::text as a"),
    [{ a: "a" }],
  );
});

Deno.test("values of a column that its rollback file can only make anew are told, and where they are", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_drop.sql",
    "alter table public.orders drop total;",
  );
  await project.write(
    "rollback/2_drop.sql",
    "alter table public.orders add total integer;",
  );
  await project.write("migrations/3_bad.sql", "select 1/0;");
  const { code, text } = await project.command();
  assertEquals(code, 5, text);
  assertStringIncludes(text, "public.orders: total was made anew; its values");
});

Deno.test("rows that a migration was to remove are told where it is taken back without them", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_prune.sql",
    "-- migrate: removes rows from public.orders\ndelete from public.orders where id = 1;",
  );
  await project.write("rollback/2_prune.sql", "select 1;");
  await project.write("migrations/3_bad.sql", "select 1/0;");
  const { code, text } = await project.command();
  assertEquals(code, 5, text);
  assertStringIncludes(text, "public.orders: 1 of 2 rows");
});

Deno.test("what a file that failed had removed does not hide what the next one removes", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_bad.sql",
    "-- migrate: removes rows from public.orders\ntruncate public.orders;",
  );
  await project.write("verify/2.sql", "select false;");
  await project.write("migrations/3_bad.sql", "drop table public.orders;");
  const { text } = await project.command("--on-failure", "go-on");
  assertStringIncludes(text, "public.orders is gone, with 2 rows");
  assertEquals((await project.sql("select from public.orders")).length, 2);
});

Deno.test("an index that a killed attempt left unusable is built by the next one", async () => {
  await using project = await running();
  await project.sql("insert into public.orders values (3, 10)");
  await project.sql(
    "create unique index concurrently orders_total on public.orders (total)",
  ).catch(() => {});
  await project.sql("update public.orders set total = 30 where id = 3");
  await project.write(
    "migrations/2_index.sql",
    "create unique index concurrently if not exists orders_total on public.orders (total);",
  );
  assertEquals((await migrateProject(project.options)).applied, ["2"]);
  assertEquals((await project.command("--verify")).code, 0);
});

Deno.test("an index that somebody is building is no problem", async () => {
  await using project = await running();
  await using session = await openSession(project.url);
  await project.sql("begin; update public.orders set total = total");
  const building = session.query(
    "create index concurrently orders_total on public.orders (total)",
  );
  await project.untilRunning("create index concurrently%");
  while (
    (await project.sql(
      "select from pg_class where relname = 'orders_total'",
    )).length === 0
  );
  const { code, text } = await project.command("--verify");
  await project.sql("commit");
  await building;
  assertEquals(code, 0, text);
});

Deno.test("rows that are in no backup are told when their table is made anew", async () => {
  for (const how of ["--skip-backup", "--table=public.other"]) {
    await using project = await running();
    await project.sql("create table public.other ()");
    await project.write(
      "migrations/2_drop.sql",
      "-- migrate: removes rows from public.orders\ndrop table public.orders;",
    );
    await project.write("migrations/3_bad.sql", "select 1/0;");
    await project.write(
      "rollback/2_drop.sql",
      "create table public.orders (id integer primary key, total integer);",
    );
    const { code, text } = await project.command(how);
    assertEquals(code, 5, text);
    assertStringIncludes(text, "public.orders: 0 of 2 rows are there");
  }
});

Deno.test("a file that is not UTF-8 is refused, not applied with other letters", async () => {
  await using project = await running();
  await Deno.writeFile(
    join(project.supabaseDir, "migrations/2_latin.sql"),
    Uint8Array.from(
      "comment on table public.orders is 'M\xfcller'",
      (c) => c.charCodeAt(0),
    ),
  );
  const { code, text } = await project.command();
  assertEquals(code, 2, text);
  assertStringIncludes(text, "2_latin.sql: it is not UTF-8");
});

Deno.test("rows that an attempt within a migration deleted and gave up are not lost", async () => {
  await using project = await running();
  await project.write(
    "migrations/2_attempt.sql",
    "do $$ begin delete from public.orders; raise 'given up'; exception when others then null; end $$;",
  );
  assertEquals((await migrateProject(project.options)).applied, ["2"]);
  await project.write(
    "migrations/3_less.sql",
    "delete from public.orders where id = 1;",
  );
  const { message } = await failsCleanly(project);
  assertStringIncludes(message, "public.orders has 1 rows less");
});

Deno.test("a rollback file that cannot be read is refused before anything is begun, not when it is needed", async () => {
  await using project = await running();
  await project.write("migrations/2_a.sql", "create table public.a ();");
  await project.write("migrations/3_bad.sql", "select nonsense;");
  await project.write(
    "rollback/2_a.sql",
    "-- migrate: undoes 2..2\ndrop table public.a;",
  );
  const before = await project.contents();
  const { code, text } = await project.command();
  assertEquals(code, 2, text);
  assertStringIncludes(text, "Cannot read rollback/2_a.sql: unknown directive");
  assertEquals(await project.contents(), before);
  assertEquals((await project.command("--on-failure=keep", "--to=2")).code, 0);
});

Deno.test("a verify file that belongs to no migration is refused, since nobody would ask it", async () => {
  await using project = await running();
  await project.write("migrations/2_a.sql", "create table public.a ();");
  await project.write("verify/20.sql", "select false;");
  const { code, text } = await project.command();
  assertEquals(code, 2, text);
  assertStringIncludes(text, "verify/20.sql belongs to no migration");
  const verified = await project.command("--verify");
  assertEquals(verified.code, 2, verified.text);
  assertEquals(await project.recorded(), ["1"]);
});
