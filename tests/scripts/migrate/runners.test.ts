import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { RunnerBusyError } from "../../../scripts/migrate/errors.ts";
import { migrateProject } from "../../../scripts/migrate/run_migrations.ts";
import { newProject } from "./project.ts";

Deno.test("two runners at once apply each migration once", async () => {
  await using project = await newProject();
  await project.write(
    "migrations/1_a.sql",
    "create table public.a (id integer); select pg_sleep(0.2);",
  );
  await project.write("migrations/2_b.sql", "insert into public.a values (1);");
  const reports = await Promise.all(
    [1, 2, 3].map(() => migrateProject(project.options)),
  );
  assertEquals(reports.flatMap(({ applied }) => applied).sort(), ["1", "2"]);
  assertEquals(await project.sql("select id from public.a"), [{ id: 1 }]);
  assert(project.log.some((line) => line.startsWith("waiting    for another")));
});

Deno.test("a runner that has waited long enough says who is at it, and ends with 3", async () => {
  await using project = await newProject();
  await project.write("migrations/1_a.sql", "create table public.a ();");
  const holder = await project.locked();
  const { code, text } = await project.command("--wait", "0");
  assertEquals(code, 3);
  assertStringIncludes(
    text,
    `pid ${holder.pid} (deno task migrate, role postgres`,
  );
  assertStringIncludes(
    (await project.command("status")).text,
    `migrating now: pid ${holder.pid}`,
  );
  const error = await assertRejects(
    () => migrateProject({ ...project.options, waitMs: 300 }),
    RunnerBusyError,
  );
  assertStringIncludes(error.message, "Waited 0 s");
});

Deno.test("after a runner was killed in the middle, the next one goes on where it was", async () => {
  await using project = await newProject();
  await project.write(
    "migrations/1_a.sql",
    "create table public.a (id integer);",
  );
  await project.write(
    "migrations/2_b.sql",
    "insert into public.a values (1);\nselect pg_sleep(60);",
  );
  const runner = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "scripts/cli.ts",
      "migrate",
      "--supabase-dir",
      project.supabaseDir,
      "--skip-backup",
    ],
    env: { DATABASE_URL: project.url },
    stdout: "null",
    stderr: "null",
  }).spawn();
  await project.untilRunning("%pg_sleep%");
  runner.kill("SIGKILL");
  await runner.status;
  assertEquals(await project.recorded(), ["1"]);
  await project.write("migrations/2_b.sql", "insert into public.a values (1);");
  // The server notices within seconds, not when the statement would have ended.
  const { applied } = await migrateProject({
    ...project.options,
    waitMs: 25_000,
  });
  assertEquals(applied, ["2"]);
  assertEquals(await project.sql("select id from public.a"), [{ id: 1 }]);
});

Deno.test("a version that somebody recorded meanwhile is not run a second time", async () => {
  await using project = await newProject();
  await project.write(
    "migrations/1_a.sql",
    "create table public.a (id integer);",
  );
  await migrateProject(project.options);
  await project.write("migrations/2_b.sql", "insert into public.a values (1);");
  // As the Supabase CLI does it, which does not know our lock.
  await project.sql("begin");
  await project.sql(
    "insert into supabase_migrations.schema_migrations (version) values ('2')",
  );
  const run = assertRejects(() =>
    migrateProject({ ...project.options, lockTimeoutMs: 5_000 })
  );
  await project.untilRunning("insert into supabase_migrations%");
  await project.sql("commit");
  assertStringIncludes((await run as Error).message, "duplicate key");
  assertEquals(await project.sql("select id from public.a"), []);
});
