import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { restoreCollection } from "../../../scripts/migrate/backup.ts";
import {
  MigrationRefusedError,
  type RunFailedError,
} from "../../../scripts/migrate/errors.ts";
import {
  executeMigration,
  migrateProject,
  type MigrationEntry,
  runMigrations,
  sqlFile,
} from "../../../scripts/migrate/run_migrations.ts";
import { newProject, type Project, supabase } from "./project.ts";

/** A project whose recognitions lack points. */
async function recognitions(): Promise<Project> {
  const project = await newProject();
  await project.write(
    "migrations/1_recognitions.sql",
    `create table public.recognitions (id integer primary key, points integer);
     insert into public.recognitions values (1, null), (2, null);
     create table public.others (id integer);`,
  );
  await migrateProject(project.options);
  return project;
}

const points = (project: Project) =>
  project.sql("select points from public.recognitions order by id");

const backfill: MigrationEntry["fn"] = async ({ query }) => {
  await query("update public.recognitions set points = $1", [5]);
};

Deno.test("a function is executed with a backup of its tables and a verification, and once", async () => {
  await using project = await recognitions();
  let calls = 0;
  const run = () =>
    executeMigration("backfill-points", async ({ query, dryRun }) => {
      calls++;
      assertEquals(dryRun, false);
      await query("update public.recognitions set points = $1", [5]);
    }, {
      ...project.options,
      backupCollections: ["recognitions"],
      verifyFn: async ({ query }) => {
        const rows = await query(
          "select from public.recognitions where points is null",
        );
        return rows.length === 0;
      },
    });

  const { duration, backups, ...result } = await run();
  assertEquals(result, {
    success: true,
    migrationName: "backfill-points",
    dryRun: false,
    skipped: false,
  });
  assert(duration >= 0 && duration < 60_000);
  assertEquals(await points(project), [{ points: 5 }, { points: 5 }]);

  const again = await run();
  assertEquals([again.success, again.skipped, calls], [true, true, 1]);

  assertEquals(backups.length, 1);
  await restoreCollection(backups[0]!, project.options);
  assertEquals(await points(project), [{ points: null }, { points: null }]);
});

Deno.test("two runners at once execute a function once", async () => {
  await using project = await recognitions();
  const results = await Promise.all(
    [1, 2, 3].map(() =>
      executeMigration("add", async ({ query }) => {
        await query("insert into public.others values (1)");
      }, { ...project.options, skipBackup: true })
    ),
  );
  assertEquals(results.filter(({ skipped }) => !skipped).length, 1);
  assertEquals(await project.sql("select id from public.others"), [{ id: 1 }]);
});

for (
  const [what, fn, more, told] of [
    [
      "fails",
      async ({ query }) => {
        await query("update public.recognitions set points = 1");
        throw new Error("no more points");
      },
      {},
      "no more points",
    ],
    ["does not pass verifyFn", backfill, {
      verifyFn: () => false,
    }, "verifyFn answered false"],
    ["has a verifyFn that throws", backfill, {
      verifyFn: () => {
        throw new Error("not five");
      },
    }, "verifyFn failed: not five"],
    [
      "loses rows",
      async ({ query }) => {
        await query("delete from public.recognitions where id = 1");
      },
      {},
      'say so: removesRowsFrom: ["public.recognitions"]',
    ],
  ] as [string, MigrationEntry["fn"], object, string][]
) {
  Deno.test(`a function that ${what} leaves nothing, is recorded as failed, and may run again`, async () => {
    await using project = await recognitions();
    const before = await project.contents();
    const options = { ...project.options, skipBackup: true };
    const result = await executeMigration("points", fn, {
      ...options,
      ...more,
    });
    assertEquals(result.success, false);
    assertStringIncludes(result.error!.message, told);
    assertEquals((result.error as RunFailedError).notUndone, []);
    const { text } = await project.command("status");
    assertStringIncludes(text, "failed   points at ");
    assertStringIncludes(text, told.slice(0, 8));
    assertEquals(await project.contents(), before);
    const again = await executeMigration("points", backfill, options);
    assertEquals([again.success, again.skipped], [true, false]);
    assertEquals(
      (await project.command("status")).text.match(/^\w+ +points/gm),
      ["applied  points"],
    );
  });
}

Deno.test("a function may remove rows where it says so", async () => {
  await using project = await recognitions();
  const { success } = await executeMigration("tidy", async ({ query }) => {
    await query("delete from public.recognitions where id = 1");
  }, { ...project.options, removesRowsFrom: ["recognitions"] });
  assertEquals(success, true);
});

Deno.test("a dry run of functions sees what those before it did, and leaves nothing", async () => {
  await using project = await recognitions();
  const before = await project.contents();
  const seen: unknown[] = [];
  const results = await runMigrations([
    { name: "points", fn: backfill },
    {
      name: "look",
      fn: async ({ query, dryRun }) => {
        seen.push(
          dryRun,
          await query("select distinct points from public.recognitions"),
        );
      },
    },
  ], { ...project.options, dryRun: true });
  assertEquals(
    results.map(({ success, dryRun, backups }) => ({
      success,
      dryRun,
      backups,
    })),
    [1, 2].map(() => ({ success: true, dryRun: true, backups: [] })),
  );
  assertEquals(seen, [true, [{ points: 5 }]]);
  assertEquals(await project.contents(), before);
});

for (const dryRun of [true, false]) {
  Deno.test(`stopOnError decides whether ${dryRun ? "a dry run" : "a run"} goes on after a failure`, async () => {
    await using project = await recognitions();
    const entries: MigrationEntry[] = [
      { name: "first", fn: backfill },
      {
        name: "second",
        fn: ({ query }) => query("select 1/0"),
      },
      {
        name: "third",
        fn: ({ query }) => query("insert into public.others values (3)"),
      },
    ];
    const run = (stopOnError: boolean) =>
      runMigrations(entries, { ...project.options, dryRun, stopOnError });
    const outcomes = (results: Awaited<ReturnType<typeof run>>) =>
      results.map(({ migrationName, success, skipped }) =>
        `${migrationName}: ${success ? skipped ? "skipped" : "done" : "failed"}`
      );
    assertEquals(outcomes(await run(true)), ["first: done", "second: failed"]);
    assertEquals(outcomes(await run(false)), [
      dryRun ? "first: done" : "first: skipped",
      "second: failed",
      "third: done",
    ]);
    assertEquals(
      await project.sql("select id from public.others"),
      dryRun ? [] : [{ id: 3 }],
    );
  });
}

Deno.test("a dry run that one of several migrations asks for is refused, and nothing is done for real", async () => {
  await using project = await recognitions();
  const options = { dryRun: true, skipBackup: true };
  const entry: MigrationEntry = { name: "backfill", fn: backfill, options };
  await assertRejects(
    () => runMigrations([entry], project.options),
    MigrationRefusedError,
    "backfill has the option dryRun, which is for a whole run",
  );
  assertEquals(await points(project), [{ points: null }, { points: null }]);
  const [tried] = await runMigrations([entry], {
    ...project.options,
    dryRun: true,
  });
  assertEquals([tried?.success, tried?.dryRun], [true, true]);
  assertEquals(await points(project), [{ points: null }, { points: null }]);
});

Deno.test("files and functions go in one list; the files are the Supabase CLI's, the functions none of its business", async () => {
  await using project = await recognitions();
  const path = "migrations/20260101000000_fee.sql";
  await project.write(
    path,
    "alter table public.recognitions add fee integer;",
  );
  await project.write(
    "verify/20260101000000.sql",
    "select id from public.recognitions where fee is not null;",
  );
  const file = await sqlFile(`${project.supabaseDir}/${path}`);
  const results = await runMigrations([
    { name: "fee", fn: file, options: { verifyFn: () => true } },
    {
      name: "fees",
      fn: ({ query }) => query("update public.recognitions set fee = 1"),
      options: { backupCollections: ["recognitions"] },
    },
  ], project.options);
  assertEquals(results.map(({ success }) => success), [true, true]);
  // The second one's own backup, which knows the new column.
  assertStringIncludes(
    await Deno.readTextFile(results[1]!.backups[0]!),
    "id\tpoints\tfee\n",
  );
  assertEquals(await project.recorded(), ["1", "20260101000000"]);
  assertEquals((await migrateProject(project.options)).applied, []);
  assertStringIncludes(await supabase(project, "db", "push"), "up to date");
  assertStringIncludes(
    (await project.command("status")).text,
    "applied  fees, a function, at ",
  );
  await project.write("migrations/fee.sql", "select 1");
  await assertRejects(
    () => sqlFile(`${project.supabaseDir}/migrations/fee.sql`),
    MigrationRefusedError,
    "expected a name like",
  );
});

Deno.test("--on-failure go-on applies what comes after a file that fails, and says what is there", async () => {
  await using project = await newProject();
  await project.write("migrations/1_a.sql", "create table public.a ();");
  await project.write("migrations/2_bad.sql", "select 1/0;");
  await project.write("migrations/3_c.sql", "create table public.c ();");
  const { code, text } = await project.command("--on-failure", "go-on");
  assertEquals(code, 5, text);
  assertStringIncludes(text, "division by zero");
  assertStringIncludes(text, "3: applied, as asked");
  assertEquals(await project.recorded(), ["1", "3"]);
  const status = await project.command("status");
  assertStringIncludes(status.text, "skipped  2_bad.sql");
  assertStringIncludes(status.text, "failed   2_bad.sql at ");
  assertStringIncludes(status.text, "division by zero");
});

Deno.test("a verifyFn that catches an error of the server has not passed", async () => {
  await using project = await recognitions();
  for (const dryRun of [true, false]) {
    const { success, error } = await executeMigration("backfill", backfill, {
      ...project.options,
      dryRun,
      verifyFn: async ({ query }) => {
        await query("select 1 / 0").catch(() => {});
        return true;
      },
    });
    assertEquals(success, false);
    assertStringIncludes(error!.message, "transaction is aborted");
    assertEquals(await points(project), [{ points: null }, { points: null }]);
  }
});

Deno.test("a function cannot end its transaction half-way and be recorded as applied", async () => {
  await using project = await recognitions();
  let fail = true;
  const run = () =>
    executeMigration("backfill", async ({ query }) => {
      await query("update public.recognitions set points = 5 where id = 1");
      if (fail) await query("commit; begin");
      await query("update public.recognitions set points = 5 where id = 2");
    }, project.options);
  const { success, error } = await run();
  assertEquals(success, false);
  assertStringIncludes(error!.message, "controls the transaction");
  assertEquals(await points(project), [{ points: null }, { points: null }]);
  fail = false;
  const { skipped } = await run();
  assertEquals(skipped, false);
  assertEquals(await points(project), [{ points: 5 }, { points: 5 }]);
});

Deno.test("tables that cannot be backed up stop a run with a result, where something was applied before", async () => {
  await using project = await recognitions();
  const nothing = { name: "nothing", fn: () => {} };
  const bad = {
    name: "bad",
    fn: backfill,
    options: { backupCollections: ["recognition"] },
  };
  const results = await runMigrations([nothing, bad], project.options);
  assertEquals(results.map(({ success }) => success), [true, false]);
  assertStringIncludes(results[1]!.error!.message, "there is no such table");
  assertEquals(await points(project), [{ points: null }, { points: null }]);
});
