import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { readMigrations } from "../../../scripts/migrate/migration.ts";
import { applyMigrations } from "../../../scripts/stack/migrations.ts";
import { openPglite } from "../../../scripts/stack/pglite.ts";
import { openPostgres } from "../../../scripts/stack/postgres.ts";
import type { Database } from "../../../scripts/stack/database.ts";
import {
  findPostgres,
  startCluster,
} from "../../../scripts/cluster/postgres.ts";

const first = {
  version: "20260101000000",
  name: "first",
  sql: "create table public.a (id integer); insert into public.a values (1);",
};
const second = {
  version: "20260102000000",
  name: "second",
  sql: "insert into public.a values (2);",
};

Deno.test("Migrations are read in the order of their versions, and only they", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (
      const file of ["2_b.sql", "10_a.sql", "1_c.sql", "README.md", "x.sql"]
    ) {
      await Deno.writeTextFile(`${folder}/${file}`, `-- ${file}`);
    }
    const migrations = await readMigrations(folder);
    assertEquals(migrations.map(({ version }) => version), ["1", "10", "2"]);
    assertEquals(migrations[0], { version: "1", name: "c", sql: "-- 1_c.sql" });
    assertEquals(await readMigrations(`${folder}/absent`), []);

    // A link is as good as a file, and one that leads nowhere is said.
    await Deno.symlink("README.md", `${folder}/3_d.sql`);
    const linked = await readMigrations(folder);
    assertEquals(linked.at(-1), {
      version: "3",
      name: "d",
      sql: "-- README.md",
    });
    await Deno.symlink("absent", `${folder}/4_e.sql`);
    await assertRejects(() => readMigrations(folder), Error, "4_e.sql");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("Only pending migrations are applied, whole, and recorded as the Supabase CLI records them", async () => {
  const database = await openPglite();
  try {
    assertEquals(await applyMigrations(database, [first]), [first.version]);
    assertEquals(await applyMigrations(database, [first, second]), [
      second.version,
    ]);
    assertEquals(await applyMigrations(database, [first, second]), []);
    assertEquals(
      await database.query(
        "select version, name, statements from supabase_migrations.schema_migrations order by version",
      ),
      [
        {
          version: first.version,
          name: first.name,
          statements: [
            "create table public.a (id integer)",
            "insert into public.a values (1)",
          ],
        },
        {
          version: second.version,
          name: second.name,
          statements: ["insert into public.a values (2)"],
        },
      ],
    );

    // One that fails leaves nothing behind and is named.
    const broken = {
      version: "3",
      name: "broken",
      sql: "create table public.b (); select nonsense;",
    };
    const error = await assertRejects(
      () => applyMigrations(database, [first, second, broken]),
      Error,
    );
    assertMatch(error.message, /^Migration 3_broken\.sql failed: .*nonsense/);
    assertEquals(
      await database.query(
        "select to_regclass('public.b') as b, max(version) as version from supabase_migrations.schema_migrations",
      ),
      [{ b: null, version: second.version }],
    );
  } finally {
    await database.close();
  }
});

/** As `supabase db pull` writes the first one, and what comes after it. */
const pulled = [
  {
    version: "20260101000000",
    name: "remote_schema",
    sql: `select pg_catalog.set_config('search_path', '', false);
set row_security = off;`,
  },
  {
    version: "20260102000000",
    name: "by_hand",
    sql: "create table later (id integer); set role guest;",
  },
];

async function assertNothingIsLeftSet(database: Database): Promise<void> {
  const settings = () =>
    database.query(
      "select name, setting from pg_settings where name in ('search_path', 'row_security', 'role') order by name",
    );
  const before = await settings();
  await database.query("create role guest");
  await applyMigrations(database, pulled);
  assertEquals(await settings(), before);
  assertEquals(
    await database.query("select to_regclass('public.later') as later"),
    [{ later: "later" }],
  );
}

Deno.test("What a migration sets, as one that was pulled does, is set for it alone", async () => {
  const database = await openPglite(undefined, undefined, ["citext"]);
  try {
    await assertNothingIsLeftSet(database);
  } finally {
    await database.close();
  }
});

Deno.test({
  name: "What a migration sets is set for it alone on Postgres",
  ignore: findPostgres() === null,
  fn: async () => {
    const cluster = await startCluster();
    const database = await openPostgres(cluster.url);
    try {
      await assertNothingIsLeftSet(database);
    } finally {
      await database.close();
      await cluster.close();
    }
  },
});

Deno.test({
  name:
    "Two stacks that start at once on one Postgres apply each migration once",
  ignore: findPostgres() === null,
  fn: async () => {
    const cluster = await startCluster();
    const databases: Database[] = [];
    try {
      for (let opened = 0; opened < 4; opened++) {
        databases.push(await openPostgres(cluster.url));
      }
      const applied = await Promise.all(
        databases.map((database) =>
          database.exclusively(() => applyMigrations(database, [first, second]))
        ),
      );
      assertEquals(applied.flat().sort(), [first.version, second.version]);
      assertEquals(
        await databases[0]!.query("select id from public.a order by id"),
        [{ id: 1 }, { id: 2 }],
      );
    } finally {
      for (const database of databases) await database.close();
      await cluster.close();
    }
  },
});
