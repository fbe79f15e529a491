import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  exitCodeOf,
  MigrationRefusedError,
  RunFailedError,
} from "../../../scripts/migrate/errors.ts";
import {
  migrateProject,
  rollBack,
} from "../../../scripts/migrate/run_migrations.ts";
import { newProject, type Project } from "./project.ts";

/** Four migrations, the middle two of which go together. */
async function fourApplied(): Promise<Project> {
  const project = await newProject();
  for (
    const [version, table] of [["1", "a"], ["2", "b"], ["3", "c"], ["4", "d"]]
  ) {
    await project.write(
      `migrations/${version}_${table}.sql`,
      `create table public.${table} (id integer); insert into public.${table} values (1);`,
    );
  }
  await project.write("rollback/1_a.sql", "drop table public.a;");
  await project.write(
    "rollback/2_middle.sql",
    "-- migrate: undoes 2 to 3\nbegin;\ndrop table public.c;\ndrop table public.b;\ncommit;\n",
  );
  await project.write("rollback/4_d.sql", "drop table public.d;");
  await migrateProject(project.options);
  return project;
}

Deno.test("--rollback takes the last migration and its record back, and applying it again makes the same", async () => {
  await using project = await fourApplied();
  const before = await project.contents();
  const { code, text } = await project.command("--rollback");
  assertEquals(code, 0, text);
  assertStringIncludes(text, "taken back 4 with rollback/4_d.sql");
  assertEquals(await project.recorded(), ["1", "2", "3"]);
  assertEquals(
    await project.sql("select to_regclass('public.d') as d"),
    [{ d: null }],
  );
  await migrateProject(project.options);
  assertEquals(await project.contents(), before);
});

Deno.test("--rollback --to takes back all that is newer, after a backup that brings the rows back", async () => {
  await using project = await fourApplied();
  await project.sql("insert into public.c values (2)");
  const { takenBack, backup } = await rollBack({ ...project.options, to: "1" });
  assertEquals(takenBack, ["4", "3", "2"]);
  assertEquals(await project.recorded(), ["1"]);
  await migrateProject(project.options);
  const { code, text } = await project.command(
    "restore",
    backup!,
    "--table",
    "public.c",
  );
  assertEquals(code, 0, text);
  assertEquals(
    await project.sql("select id from public.c order by id"),
    [{ id: 1 }, { id: 2 }],
  );
});

Deno.test("--rollback --to 0 takes everything back", async () => {
  await using project = await fourApplied();
  assertEquals((await rollBack({ ...project.options, to: "0" })).takenBack, [
    "4",
    "3",
    "2",
    "1",
  ]);
  assertEquals(await project.recorded(), []);
  assertEquals((await rollBack(project.options)).takenBack, []);
});

Deno.test("a version between two that go together is refused", async () => {
  await using project = await fourApplied();
  const error = await assertRejects(
    () => rollBack({ ...project.options, to: "2" }),
    MigrationRefusedError,
  );
  assertStringIncludes(error.message, "takes 2 to 3 back together");
  assertEquals(await project.recorded(), ["1", "2", "3", "4"]);
});

Deno.test("a version without a rollback file is refused before anything is begun, and a file that may be meant is named", async () => {
  await using project = await fourApplied();
  await Deno.rename(
    `${project.supabaseDir}/rollback/1_a.sql`,
    `${project.supabaseDir}/rollback/1_first.sql`,
  );
  const error = await assertRejects(
    () => rollBack({ ...project.options, to: "0" }),
    MigrationRefusedError,
  );
  assertStringIncludes(
    error.message,
    "no file for 1; what 1_first.sql takes back cannot be told",
  );
  assertEquals(await project.recorded(), ["1", "2", "3", "4"]);
});

Deno.test("a rollback file that fails leaves its migration whole, and says what went before it", async () => {
  await using project = await fourApplied();
  await project.write(
    "rollback/2_middle.sql",
    "-- migrate: undoes 2 to 3\ndrop table public.c;\ndrop table public.nothing;",
  );
  const error = await assertRejects(
    () => rollBack({ ...project.options, to: "1" }),
    RunFailedError,
  );
  assertStringIncludes(
    error.message,
    "rollback/2_middle.sql, statement 2, line 3",
  );
  assertEquals(error.notUndone, ["4: was taken back before that"]);
  assertEquals(exitCodeOf(error), 5);
  assertEquals(await project.recorded(), ["1", "2", "3"]);
  assertEquals(await project.sql("select id from public.c"), [{ id: 1 }]);
});

/** The last of the rollback files makes the table of the first migration anew. */
async function remaking(made: string): Promise<Project> {
  const project = await fourApplied();
  await project.write(
    "migrations/5_note.sql",
    "alter table public.a add column note text not null default 'none';",
  );
  await project.write(
    "rollback/5_note.sql",
    `drop table public.a; create table public.a (${made});`,
  );
  await migrateProject(project.options);
  return project;
}

Deno.test("rows that do not fit a table that was made anew are told, and where they are", async () => {
  await using project = await remaking("id integer");
  const { code, text } = await project.command("--rollback");
  assertEquals(code, 5, text);
  assertStringIncludes(text, "taken back 5 with rollback/5_note.sql");
  assertStringIncludes(text, "public.a: empty, its rows are in");
  assertStringIncludes(text, "note was text, is missing");
  assertEquals(await project.recorded(), ["1", "2", "3", "4"]);
});

Deno.test("a table that was made anew has its rows also where a later rollback file fails", async () => {
  await using project = await remaking("id integer, note text");
  await project.write("rollback/4_d.sql", "drop table public.nothing;");
  const error = await assertRejects(
    () => rollBack({ ...project.options, to: "3" }),
    RunFailedError,
  );
  assertEquals(error.notUndone, ["5: was taken back before that"]);
  assertEquals(await project.sql("select id, note from public.a"), [
    { id: 1, note: "none" },
  ]);
});

Deno.test("rows that a rollback file writes into a table which it makes anew are not replaced", async () => {
  await using project = await newProject();
  await project.write(
    "migrations/1_prices.sql",
    "create table public.prices (id integer, amount numeric);",
  );
  await project.write(
    "migrations/2_cents.sql",
    "update public.prices set amount = amount * 100;",
  );
  await project.write(
    "rollback/2_cents.sql",
    `alter table public.prices rename to old_prices;
     create table public.prices as select id, amount / 100 as amount from public.old_prices;
     drop table public.old_prices;`,
  );
  await migrateProject(project.options);
  await project.sql("insert into public.prices values (1, 500)");
  await rollBack(project.options);
  assertEquals(
    await project.sql("select id, amount::integer from public.prices"),
    [{ id: 1, amount: 5 }],
  );
});
