import { join } from "node:path";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import {
  type Backup,
  backUp,
  backupCollection,
  readBackup,
  restoreCollection,
  restoreTables,
} from "../../../scripts/migrate/backup.ts";
import {
  BackupError,
  MigrationRefusedError,
} from "../../../scripts/migrate/errors.ts";
import { openSession, type Session } from "../../../scripts/migrate/session.ts";
import { newProject, type Project } from "./project.ts";

const EVERYTHING = `
create type public.mood as enum ('glad', 'it''s, "so"');
create type public.pair as (a text, b integer);
create table public.everything (
  id bigint generated always as identity,
  doc jsonb, raw bytea, words text[], grid integer[], at timestamptz, amount numeric,
  price numeric(12, 4), ratio double precision, small real, span interval, mood public.mood,
  pair public.pair, days daterange, text text, fixed char(5), flag boolean, network inet,
  doubled numeric generated always as (amount * 2) stored,
  "odd ""name" text
);`;

const COLUMNS = [
  "doc",
  "raw",
  "words",
  "grid",
  "at",
  "amount",
  "price",
  "ratio",
  "small",
  "span",
  "mood",
  "pair",
  "days",
  "text",
  "fixed",
  "flag",
  "network",
  '"odd ""name"',
] as const;

// No lone surrogates and no NUL: Postgres takes neither.
const text = fc.string({ unit: "grapheme", maxLength: 12 }).map((value) =>
  value.replaceAll("\0", "").toWellFormed()
);
const nasty = fc.oneof(
  text,
  fc.constantFrom(
    "",
    "\\N",
    "\\.",
    "\t",
    "\r\n",
    "a\\tb",
    "\u2028",
    "null",
    "\v\f\b",
    "\ufeff",
    "{}",
  ),
);
const literal = fc.constantFrom;
const row = fc.tuple(
  fc.oneof(
    fc.jsonValue({ noUnicodeString: false } as never).map((v) =>
      JSON.stringify(v).replaceAll("\\u0000", "")
    ),
    literal(
      "null",
      "12345678901234567890.12345678901234567890",
      '{"b":1,"a":[null]}',
    ),
  ),
  fc.uint8Array({ maxLength: 20 }).map((b) =>
    `\\x${[...b].map((x) => x.toString(16).padStart(2, "0")).join("")}`
  ),
  fc.array(fc.option(nasty), { maxLength: 4 }).map(arrayLiteral),
  literal("{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={7,8}"),
  literal(
    "infinity",
    "-infinity",
    "2026-11-22 10:00:00.123456+05:30",
    "0044-03-15 12:00:00+00 BC",
    "294276-12-31 23:59:59.999999+00",
  ),
  fc.oneof(
    literal(
      "NaN",
      "0.000",
      "-0.00000000000000000000001",
      "1e100",
      "123456789012345678901234567890.5",
    ),
    fc.maxSafeInteger().map(String),
  ),
  fc.integer({ min: -99999, max: 99999 }).map((n) => `${n}.5001`),
  fc.oneof(
    literal("NaN", "Infinity", "-Infinity", "-0", "5e-324"),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  ),
  literal("NaN", "0.1", "3.4028235e38", "-0"),
  literal("1 year -2 mons 3 days -04:05:06.789", "0", "-178000000 years"),
  literal("glad", 'it\'s, "so"'),
  literal("(,)", '("a, ""b""",1)', '("",)'),
  literal("empty", "[2026-01-01,)", "(,2026-02-01)"),
  nasty,
  literal("a", "     ", "ab   "),
  fc.boolean().map(String),
  literal("10.0.0.1", "10.0.0.0/8", "::1"),
  nasty,
);

function arrayLiteral(items: (string | null)[]): string {
  return `{${
    items.map((item) =>
      item === null ? "NULL" : `"${item.replaceAll(/["\\]/g, "\\$&")}"`
    ).join(",")
  }}`;
}

async function withSession<T>(
  project: Project,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await openSession(project.url);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

function copied(project: Project, session: Session): Promise<Backup | null> {
  return backUp(session, project.backupDir);
}

const VALUES =
  "select e.*::text as row from public.everything as e order by id";

Deno.test("every value comes back from a backup exactly", async () => {
  await using project = await newProject();
  await project.sql(EVERYTHING);
  const insert = `insert into public.everything (${COLUMNS.join(", ")})
      values (${COLUMNS.map((_, i) => `$${i + 1}`).join(", ")})`;
  await withSession(project, async (session) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          row.chain((values) =>
            fc.tuple(
              ...values.map((value) =>
                fc.option(fc.constant(value), { freq: 8 })
              ),
            )
          ),
          { minLength: 1, maxLength: 8 },
        ),
        async (rows) => {
          await session.query("truncate public.everything");
          for (const values of rows) await session.query(insert, values);
          const before = await session.query(VALUES);
          const backup = await copied(project, session);
          await session.query(
            "update public.everything set amount = 1, doc = null",
          );
          await session.query(insert, rows[0]);
          assertEquals(
            await restoreTables(session, backup!, ["public.everything"]),
            rows.length,
          );
          assertEquals(await session.query(VALUES), before);
        },
      ),
      { numRuns: 25 },
    );
  });
});

Deno.test("a restored table goes on counting where it was", async () => {
  await using project = await newProject();
  await project.sql(
    "create table public.a (id integer generated always as identity, s serial)",
  );
  await project.sql("insert into public.a select from generate_series(1, 5)");
  await withSession(project, async (session) => {
    const backup = await copied(project, session);
    await project.sql("drop table public.a");
    await project.sql(
      "create table public.a (id integer generated always as identity, s serial)",
    );
    await restoreTables(session, backup!, ["public.a"]);
    assertEquals(
      await session.query(
        "insert into public.a default values returning id, s",
      ),
      [{ id: 6, s: 6 }],
    );
  });
});

Deno.test("so does one whose numbers come from a sequence of another schema", async () => {
  await using project = await newProject();
  const made = `
    create schema app;
    create sequence app.numbers;
    create table public.a (note text, id integer default nextval('app.numbers'), s serial);`;
  await project.sql(made);
  await project.sql("insert into public.a select from generate_series(1, 5)");
  await withSession(project, async (session) => {
    const backup = await copied(project, session);
    await project.sql("drop table public.a; drop schema app cascade");
    await project.sql(made);
    await restoreTables(session, backup!, ["public.a"]);
    assertEquals(
      await session.query(
        "insert into public.a default values returning id, s",
      ),
      [{ id: 6, s: 6 }],
    );
  });
});

Deno.test("a number that was given while a restored table was waited for is not given again", async () => {
  await using project = await newProject();
  await project.sql(
    "create table public.a (id integer generated always as identity)",
  );
  await project.sql("insert into public.a default values");
  await withSession(project, async (session) => {
    const backup = await copied(project, session);
    await project.sql("begin");
    await project.sql("insert into public.a default values");
    const restoring = restoreTables(session, backup!, ["public.a"]);
    await project.untilRunning("lock table public.a%");
    await project.sql("insert into public.a select from generate_series(1, 5)");
    await project.sql("commit");
    assertEquals(await restoring, 1);
    assertEquals(
      await session.query("insert into public.a default values returning id"),
      [{ id: 8 }],
    );
  });
});

Deno.test("all tables of a backup are of the same moment", async () => {
  await using other = await newProject();
  await other.sql("create table public.a as select 1 as id");
  await other.sql("create table public.b as select 1 as id");
  await other.sql("create table public.c as select 1 as id");
  await withSession(other, async (session) => {
    const query: Session["query"] = async (text, params) => {
      if (text.endsWith("from only public.a")) {
        await other.sql("insert into public.b values (2)");
        await other.sql("insert into public.c values (2)");
      }
      return await session.query(text, params);
    };
    const backup = await copied(other, { ...session, query });
    assertEquals(backup!.tables.map(({ rows }) => rows), [1, 1, 1]);
  });
});

Deno.test(
  "nobody else can read a backup, and the platform's tables are not in it",
  async () => {
    await using project = await newProject();
    await project.sql(
      "create schema auth; create table auth.users (id integer); create schema app; create table app.a (id integer); create table public.b (id integer)",
    );
    await withSession(project, async (session) => {
      const backup = await copied(project, session);
      assertEquals(backup!.tables.map(({ name }) => name), [
        "app.a",
        "public.b",
      ]);
      assertEquals(await readBackup(backup!.folder), backup!);
      assertEquals((await Deno.stat(backup!.folder)).mode! & 0o777, 0o700);
      for await (const { name } of Deno.readDir(backup!.folder)) {
        const { mode } = await Deno.stat(join(backup!.folder, name));
        assertEquals(mode! & 0o777, 0o600, name);
      }
    });
  },
);

Deno.test("a backup that was damaged is not restored, and the table stays as it is", async () => {
  await using project = await newProject();
  await project.sql("create table public.a as select 1 as id, 'x' as t");
  await withSession(project, async (session) => {
    const backup = await copied(project, session);
    const file = join(backup!.folder, backup!.tables[0]!.file);
    const good = await Deno.readTextFile(file);
    await project.sql("insert into public.a values (2, 'y')");
    const before = await project.contents();
    for (
      const bad of [
        good.replace("x", "z"),
        good + good,
        good.slice(0, 5),
        good.replace("\tt", "\tu"),
        "",
        good.replace("1\t", "one\t"),
      ]
    ) {
      await Deno.writeTextFile(file, bad);
      const error = await assertRejects(
        () => restoreTables(session, backup!, ["public.a"]),
        BackupError,
      );
      assertStringIncludes(error.message, "Every table is as it was");
      assertEquals(await project.contents(), before);
    }
    await Deno.writeTextFile(file, good);
    assertEquals(await restoreTables(session, backup!, ["public.a"]), 1);
  });
});

Deno.test("a backup that lost a file is not restored", async () => {
  await using project = await newProject();
  await project.sql("create table public.a as select 1 as id");
  const file = await backupCollection("a", project.options);
  await Deno.remove(file);
  const error = await assertRejects(
    () => restoreCollection(file, project.options),
    BackupError,
  );
  assertStringIncludes(error.message, "Every table is as it was");
  assertEquals(await project.sql("select id from public.a"), [{ id: 1 }]);
});

Deno.test("one table is backed up and restored by its name, from code and from the command line", async () => {
  await using project = await newProject();
  await project.sql(
    "create table public.recognitions as select 1 as id; create table public.other as select 1 as id",
  );
  const file = await backupCollection("recognitions", project.options);
  assertEquals(
    await Deno.readTextFile(join(project.backupDir, ".gitignore")),
    "*\n",
  );
  await project.sql("delete from public.recognitions");
  assertEquals(await restoreCollection(file, project.options), {
    tables: ["public.recognitions"],
    rows: 1,
  });

  const backup = await project.command(
    "backup",
    "--table",
    "recognitions",
    "--json",
  );
  assertEquals(backup.code, 0, backup.text);
  const { files } = JSON.parse(backup.stdout);
  assertEquals(files.length, 1);
  await project.sql("delete from public.recognitions");
  const tried = await project.command("restore", files[0], "--dry-run");
  assertEquals(tried.code, 0, tried.text);
  assertStringIncludes(
    tried.text,
    "dry run    public.recognitions (1 rows) restored; everything was rolled back",
  );
  await restoreCollection(files[0], { ...project.options, dryRun: true });
  assertEquals(await project.sql("select id from public.recognitions"), []);
  const restored = await project.command("restore", files[0]);
  assertEquals(restored.code, 0, restored.text);
  assertStringIncludes(restored.text, "public.recognitions (1 rows)");
  assertEquals(await project.sql("select id from public.recognitions"), [
    { id: 1 },
  ]);

  const unknown = await project.command("backup", "--table", "nothing");
  assertEquals(unknown.code, 2);
  assertStringIncludes(
    unknown.text,
    "Cannot back up nothing: there is no such table; there are public.other, public.recognitions",
  );
});

Deno.test("from a file that its backup does not have, or has for another table, nothing is restored, and that is said", async () => {
  await using project = await newProject();
  await project.sql(
    "create table public.a as select 1 as id; create table public.b as select 1 as id",
  );
  const both = await project.command("backup", "--json");
  const [file] = JSON.parse(both.stdout).files;
  const mistyped = file.replace("public.a", "public.aa");
  const before = await project.contents();
  for (
    const [args, said] of [
      [[mistyped], "there is no such file; there are public.a.copy, public.b"],
      [[file, "--table", "b"], "there is no such table; there are public.a"],
    ] as const
  ) {
    const { code, text } = await project.command("restore", ...args);
    assertEquals(code, 2, text);
    assertStringIncludes(text, said);
  }
  assertEquals(await project.contents(), before);
});

Deno.test("a backup that was interrupted is none", async () => {
  await using project = await newProject();
  await project.sql("create table public.a ()");
  await withSession(project, async (session) => {
    const backup = await copied(project, session);
    await Deno.remove(join(backup!.folder, "manifest.json"));
    await assertRejects(
      () => readBackup(backup!.folder),
      MigrationRefusedError,
    );
  });
});

Deno.test("tables that refer to each other are restored together, and alone only where that fits", async () => {
  await using project = await newProject();
  await project.sql(`
    create table public.parents (id integer primary key);
    create table public.children (id integer primary key, parent integer references public.parents on delete cascade);
    insert into public.parents values (1), (2);
    insert into public.children values (10, 1), (11, null);
  `);
  await withSession(project, async (session) => {
    const backup = (await copied(project, session))!;
    const before = await project.contents();
    await project.sql(
      "delete from public.parents where id = 1; insert into public.children values (12, 2)",
    );
    const error = await assertRejects(
      () => restoreTables(session, backup, ["public.children"]),
      BackupError,
    );
    assertStringIncludes(
      error.message,
      "children_parent_fkey by 1 rows of public.children",
    );
    await restoreTables(session, backup, [
      "public.children",
      "public.parents",
    ]);
    assertEquals(await project.contents(), before);
    // Restoring a parent does not reach its children through the cascade.
    await restoreTables(session, backup, ["public.parents"]);
    assertEquals(await project.contents(), before);
  });
});

Deno.test("rows that refer to any part of a table, or in a type's own way, are found to fit", async () => {
  await using project = await newProject();
  await project.sql(`
    create schema if not exists extensions;
    create extension citext with schema extensions;
    create table public.orders (id integer, year integer, primary key (id, year)) partition by list (year);
    create table public.orders_2025 partition of public.orders for values in (2025);
    create table public.orders_2026 partition of public.orders for values in (2026);
    create table public.lines (order_id integer, year integer, foreign key (order_id, year) references public.orders);
    create table public.words (word extensions.citext primary key);
    create table public.uses (word extensions.citext references public.words);
    insert into public.orders values (1, 2025), (1, 2026);
    insert into public.lines select * from public.orders;
    insert into public.words values ('Tea');
    insert into public.uses values ('tea');
  `);
  await withSession(project, async (session) => {
    const backup = (await copied(project, session))!;
    const before = await project.contents();
    await project.sql("delete from public.lines; delete from public.uses");
    await restoreTables(session, backup, ["public.lines"]);
    await restoreTables(session, backup, ["public.orders_2025"]);
    await restoreTables(session, backup, ["public.uses"]);
    await restoreTables(session, backup, ["public.words"]);
    assertEquals(await project.contents(), before);
    await project.sql("delete from public.lines");
    const late = (await copied(project, session))!;
    await project.sql("insert into public.orders values (2, 2026)");
    await project.sql("insert into public.lines values (2, 2026)");
    const error = await assertRejects(
      () => restoreTables(session, late, ["public.orders_2026"]),
      BackupError,
    );
    assertStringIncludes(error.message, "by 1 rows of public.lines");
  });
});

Deno.test("a table that is gone, or has other columns by now, is not restored", async () => {
  await using project = await newProject();
  await project.sql("create table public.a as select 1 as id");
  await withSession(project, async (session) => {
    const backup = (await copied(project, session))!;
    for (
      const [change, why] of [
        ["alter table public.a alter id type text", "id was integer, is text"],
        ["drop table public.a", "there is no such table"],
      ] as const
    ) {
      await project.sql(change);
      const error = await assertRejects(
        () => restoreTables(session, backup, ["a"]),
        BackupError,
      );
      assertStringIncludes(error.message, why);
    }
  });
});

Deno.test("triggers do not fire for rows that come back, and rules of the table still hold", async () => {
  await using project = await newProject();
  await project.sql(`
    create table public.a (id integer);
    insert into public.a values (1), (-1);
    create function public.refuse() returns trigger language plpgsql as $$ begin raise 'fired'; end $$;
  `);
  await withSession(project, async (session) => {
    const backup = (await copied(project, session))!;
    await project.sql(
      "create trigger refuse before insert or delete on public.a for each row execute function public.refuse()",
    );
    assertEquals(await restoreTables(session, backup, ["public.a"]), 2);
    await project.sql(
      "alter table public.a add constraint positive check (id > 0) not valid",
    );
    const error = await assertRejects(
      () => restoreTables(session, backup, ["public.a"]),
      BackupError,
    );
    assertStringIncludes(error.message, "positive");
  });
});

Deno.test("each column goes on counting where it was, whatever their order is by now", async () => {
  await using project = await newProject();
  await project.sql("create table public.a (few serial, many serial)");
  await project.sql("insert into public.a select from generate_series(1, 2)");
  await project.sql("select setval('public.a_many_seq', 50)");
  await withSession(project, async (session) => {
    const backup = await copied(project, session);
    await project.sql("drop table public.a");
    await project.sql("create table public.a (many serial, few serial)");
    await restoreTables(session, backup!, ["public.a"]);
    assertEquals(
      await session.query(
        "insert into public.a default values returning few, many",
      ),
      [{ few: 3, many: 51 }],
    );
  });
});

Deno.test("a sequence that counts down goes on down", async () => {
  await using project = await newProject();
  const made =
    "create table public.a (id integer generated always as identity (increment -1))";
  await project.sql(made);
  await project.sql("insert into public.a select from generate_series(1, 5)");
  await withSession(project, async (session) => {
    const backup = await copied(project, session);
    await project.sql(`drop table public.a; ${made}`);
    await project.sql("insert into public.a default values");
    await restoreTables(session, backup!, ["public.a"]);
    assertEquals(
      await session.query("insert into public.a default values returning id"),
      [{ id: -6 }],
    );
  });
});

Deno.test("functions in indexes and checks find what they name when rows come back", async () => {
  await using project = await newProject();
  await project.sql(`
    create function public.inner_one(t text) returns text immutable language sql as 'select lower(t)';
    create function public.outer_one(t text) returns text immutable language plpgsql as 'begin return inner_one(t); end';
    create table public.a (t text check (public.outer_one(t) <> ''), r regclass);
    create index on public.a (public.outer_one(t));
    insert into public.a values ('X', 'public.a');
  `);
  await withSession(project, async (session) => {
    const backup = await copied(project, session);
    await project.sql("delete from public.a");
    assertEquals(await restoreTables(session, backup!, ["public.a"]), 1);
  });
});

Deno.test("triggers that are always enabled do not fire for rows that come back, and are enabled as before", async () => {
  await using project = await newProject();
  await project.sql(`
    create table public.a (id integer);
    create table public.log (id integer);
    insert into public.a values (1);
    create function public.note() returns trigger language plpgsql as $$ begin insert into public.log values (1); return null; end $$;
    create trigger always after insert or delete on public.a for each row execute function public.note();
    create trigger "Replica" after insert or delete on public.a for each row execute function public.note();
    alter table public.a enable always trigger always;
    alter table public.a enable replica trigger "Replica";
  `);
  const enabled = () =>
    project.sql(
      "select tgname, tgenabled from pg_trigger where tgrelid = 'public.a'::regclass order by 1",
    );
  const before = await enabled();
  await withSession(project, async (session) => {
    const backup = await copied(project, session);
    await project.sql("truncate public.log");
    await restoreTables(session, backup!, ["public.a"]);
    assertEquals(await project.sql("select from public.log"), []);
    assertEquals(await enabled(), before);
  });
});

Deno.test("a column that was computed and is not any more is not restored as nothing", async () => {
  await using project = await newProject();
  await project.sql(`
    create table public.a (n integer, twice integer generated always as (n * 2) stored);
    insert into public.a values (1);
  `);
  await withSession(project, async (session) => {
    const backup = await copied(project, session);
    await project.sql("alter table public.a alter twice drop expression");
    const error = await assertRejects(
      () => restoreTables(session, backup!, ["public.a"]),
      BackupError,
    );
    assertStringIncludes(error.message, "twice was computed");
    assertEquals(await project.sql("select twice from public.a"), [
      { twice: 2 },
    ]);
  });
});

Deno.test("rows that do not fit a unique constraint that may be deferred are not restored", async () => {
  await using project = await newProject();
  await project.sql(
    "create table public.a (id integer); insert into public.a values (1), (1)",
  );
  await withSession(project, async (session) => {
    const backup = await copied(project, session);
    await project.sql(
      "delete from public.a; alter table public.a add constraint once unique (id) deferrable initially deferred",
    );
    const error = await assertRejects(
      () => restoreTables(session, backup!, ["public.a"]),
      BackupError,
    );
    assertStringIncludes(error.message, "once");
  });
});

Deno.test("a table that is emptied and filled again during a backup is not empty in it", async () => {
  await using other = await newProject();
  await other.sql(
    "create table public.b as select 1 as id; create table public.c as select 1 as id",
  );
  await withSession(other, async (holder) => {
    await withSession(other, async (session) => {
      await holder.query("begin; lock table public.b in access exclusive mode");
      const backing = copied(other, session);
      await other.untilRunning("lock table only public.b%");
      await holder.query("truncate public.c; insert into public.c values (2)");
      await holder.query("commit");
      assertEquals((await backing)!.tables.map(({ rows }) => rows), [1, 1]);
    });
  });
});

Deno.test("tables with the longest names are backed up and restored", async () => {
  await using project = await newProject();
  const long = "ü".repeat(30);
  await project.sql(`
    create schema "${long}";
    create table "${long}"."${long}a" as select 1 as id;
    create table "${long}"."${long}b" as select 2 as id;
  `);
  await withSession(project, async (session) => {
    const backup = (await copied(project, session))!;
    const before = await project.contents();
    for (const { name } of backup.tables) {
      await project.sql(`delete from ${name}`);
    }
    await restoreTables(session, backup, backup.tables.map(({ name }) => name));
    assertEquals(await project.contents(), before);
  });
});
