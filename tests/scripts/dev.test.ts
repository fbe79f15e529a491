import { assertEquals, assertMatch } from "@std/assert";
import { DEV_SCRIPT, startDev } from "../support/dev.ts";
import { call } from "../support/call.ts";
import { signUp } from "../support/stack.ts";
import { join } from "node:path";
import postgres from "postgres";
import { readMigrations } from "../../scripts/migrate/migration.ts";
import { SUPABASE_DIR } from "../../scripts/stack/settings.ts";
import { migratedCluster } from "../../scripts/cluster/supabase_cluster.ts";
import { findPostgres, startCluster } from "../../scripts/cluster/postgres.ts";

Deno.test("deno task dev prints where it is, then ready, and ends cleanly on Ctrl-C", async () => {
  const dev = await startDev(["--port", "0", "--memory", "--probe"]);
  const settings = dev.settings();
  assertEquals([...settings.keys()], [
    "API_URL",
    "PUBLISHABLE_KEY",
    "SECRET_KEY",
  ]);
  const apiUrl = settings.get("API_URL");
  const health = await fetch(`${apiUrl}/functions/v1/_health`);
  assertEquals(await health.json(), { status: "ok", database: "pglite" });
  const counted = await fetch(`${apiUrl}/functions/v1/probe?effect=none`);
  assertEquals(await counted.json(), { count: 0 });
  // An error that a client made is no news for the terminal.
  const refused = await fetch(`${apiUrl}/rest/v1/idempotency_keys`, {
    headers: { apikey: settings.get("PUBLISHABLE_KEY")! },
  });
  assertEquals(refused.status, 401);
  await refused.body?.cancel();
  assertEquals(await dev.stop("SIGINT"), { code: 0, stderr: "" });
});

Deno.test("deno task dev starts with what the examples need", async () => {
  const dev = await startDev(["--port", "0", "--memory"]);
  const settings = dev.settings();
  const apiUrl = settings.get("API_URL")!;
  const ada = await signUp({
    apiUrl,
    publishableKey: settings.get("PUBLISHABLE_KEY")!,
  });
  const { data: pools } = await ada.client.from("gpu_pools").select()
    .throwOnError();
  assertEquals(pools.map(({ name }) => name), ["Shared pool"]);
  const { status } = await call({ apiUrl }, ada, "reserve-gpu", {
    body: { poolId: pools[0]!.id, hours: 8 },
    key: "reserve-1",
  });
  assertEquals(status, 201);
  await dev.stop("SIGINT");
});

Deno.test({
  name:
    "deno task dev on Postgres keeps its keys over a restart and applies migrations once",
  ignore: findPostgres() === null,
  fn: async () => {
    const cluster = await startCluster();
    try {
      const args = ["--port", "0", "--database-url", cluster.url];
      const one = await startDev(args);
      assertEquals(one.settings().get("DB_URL"), cluster.url);
      assertEquals(await one.stop("SIGTERM"), { code: 0, stderr: "" });
      const two = await startDev(args);
      for (const name of ["PUBLISHABLE_KEY", "SECRET_KEY"]) {
        assertEquals(two.settings().get(name), one.settings().get(name));
      }
      assertEquals(await two.stop("SIGINT"), { code: 0, stderr: "" });
    } finally {
      await cluster.close();
    }
  },
});

/** Every relation, function, schema and role, and the rows of the tables given. */
const CONTENTS = `
select jsonb_build_object(
  'relations', (select jsonb_agg(concat(oid::regclass, relkind) order by oid) from pg_class where oid >= 16384),
  'functions', (select jsonb_agg(concat(oid::regprocedure, prosrc) order by oid) from pg_proc where oid >= 16384),
  'schemas', (select jsonb_agg(nspname order by nspname) from pg_namespace where nspname !~ '^pg_(temp|toast_temp)'),
  'roles', (select jsonb_agg(rolname order by rolname) from pg_roles)
)::text as contents`;

Deno.test({
  name:
    "deno task dev writes to a database that it did not make when told only",
  ignore: findPostgres() === null,
  async fn(t) {
    await using cluster = await migratedCluster();
    const server = postgres(cluster.url, { max: 1, onnotice: () => {} });
    const inDatabase = async (
      name: string,
      use: (url: string, sql: postgres.Sql) => Promise<void>,
    ) => {
      const url = Object.assign(new URL(cluster.url), { pathname: name }).href;
      const sql = postgres(url, { max: 1, onnotice: () => {} });
      try {
        await use(url, sql);
      } finally {
        await sql.end();
      }
    };
    const contents = async (sql: postgres.Sql) =>
      (await sql.unsafe(CONTENTS))[0]!["contents"] as string;
    try {
      const migrations = await readMigrations(join(SUPABASE_DIR, "migrations"));
      const newest = migrations.at(-1)!;
      await server`drop schema local_stack`;
      await server`create database shop`;
      await server`create database other`;

      await t.step(
        "somebody's database is left alone, and says so",
        () =>
          inDatabase("shop", async (url, sql) => {
            await sql`create table public.orders (id integer)`;
            const before = await contents(sql);
            const { code, stderr } = await runDev(["--database-url", url]);
            assertEquals(code, 1);
            assertMatch(
              stderr,
              /^Cannot serve the database: it lacks the table auth\.users\..*--apply-migrations.*\d+ pending migrations\.\n$/,
            );
            assertEquals(await contents(sql), before);
          }),
      );

      await t.step(
        "one that has what it takes is served as it stands",
        () =>
          inDatabase("postgres", async (url, sql) => {
            const before = await contents(sql);
            // What would write fails.
            await server`alter database postgres set default_transaction_read_only = on`;
            const dev = await startDev(["--port=0", "--database-url", url]);
            const settings = dev.settings();
            const response = await fetch(
              `${
                settings.get("API_URL")
              }/rest/v1/idempotency_keys?select=status`,
              { headers: { apikey: settings.get("SECRET_KEY")! } },
            );
            assertEquals([response.status, await response.json()], [200, []]);
            assertEquals(await dev.stop("SIGTERM"), { code: 0, stderr: "" });
            await server`begin read write`;
            await server`alter database postgres reset default_transaction_read_only`;
            await server`commit`;
            assertEquals(await contents(sql), before);
          }),
      );

      await t.step(
        "when told, it is given what a project takes",
        () =>
          inDatabase("shop", async (url, sql) => {
            const dev = await startDev([
              "--port=0",
              "--apply-migrations",
              "--database-url",
              url,
            ]);
            await dev.stop("SIGTERM");
            const [found] = await sql`
            select (select count(*)::int from supabase_migrations.schema_migrations) as migrations,
              (select count(*)::int from public.gpu_pools) as seeded,
              to_regclass('public.orders') is not null as kept`;
            assertEquals({ ...found }, {
              migrations: migrations.length,
              seeded: 0,
              kept: true,
            });

            // That was then: the next start is to be told again.
            await sql`delete from supabase_migrations.schema_migrations
            where version = ${newest.version}`;
            const before = await contents(sql);
            const again = await startDev(["--port=0", "--database-url", url]);
            for (const name of ["PUBLISHABLE_KEY", "SECRET_KEY"]) {
              assertEquals(
                again.settings().get(name),
                dev.settings().get(name),
              );
            }
            const { stderr } = await again.stop("SIGTERM");
            assertMatch(
              stderr,
              /^1 migrations of the project are not applied:/,
            );
            assertEquals(await contents(sql), before);
          }),
      );

      await t.step(
        "an empty one is made, and stays the stack's own",
        () =>
          inDatabase("other", async (url, sql) => {
            const args = ["--port=0", "--database-url", url];
            await (await startDev(args)).stop("SIGTERM");
            await sql`delete from supabase_migrations.schema_migrations
            where version = ${newest.version}`;

            const { stderr } = await runDev(args);
            assertMatch(
              stderr,
              /^Migration \d+_\w+\.sql failed: .*already exists/,
            );
          }),
      );
    } finally {
      await server.end();
    }
  },
});

Deno.test("deno task dev refuses what it cannot do in one helpful line", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const broken = await Deno.makeTempDir();
  await Deno.mkdir(`${broken}/supabase`);
  await Deno.writeTextFile(`${broken}/supabase/config.toml`, "[api");
  const cases: [code: number, args: string[], message: RegExp][] = [
    [2, ["--bogus"], /--bogus.*Usage: deno task dev/],
    [2, ["extra"], /extra.*Usage/],
    [2, ["--port", "70000"], /--port 70000: expected a number from 0 to 65535/],
    [2, ["--memory", "--database-url", "postgres://x/y"], /does not go with/],
    [
      1,
      ["--database-url", "mysql://u:secret@x/y"],
      /expected postgresql:.*found mysql:\/\/…x/,
    ],
    [1, ["--database-url", "nonsense"], /found no URL/],
    [2, ["--apply-migrations"], /goes with --database-url/],
    [
      1,
      ["--project", "/nowhere"],
      /Cannot read \/nowhere\/supabase\/config\.toml/,
    ],
    [
      1,
      ["--project", broken],
      /Cannot read .*\/supabase\/config\.toml: Invalid TOML document/,
    ],
    [
      1,
      ["--port", "0", "--database-url", "postgres://u:secret@127.0.0.1:1/x"],
      /Cannot reach the database at 127\.0\.0\.1:1/,
    ],
    [
      1,
      ["--memory", `--port=${taken.addr.port}`],
      /port is in use\. Choose another with --port/,
    ],
  ];
  await Promise.all(cases.map(async ([expected, args, message]) => {
    const { code, stdout, stderr: text } = await runDev(args);
    assertEquals(code, expected, text);
    assertEquals(stdout.length, 0);
    assertMatch(text, message);
    assertEquals(text.trimEnd().split("\n").length, 1, text);
    assertEquals(text.includes("secret"), false);
  }));
  await Deno.remove(broken, { recursive: true });
});

/** Runs it to its end, which is soon where it refuses. */
async function runDev(args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", DEV_SCRIPT, "--port", "0", ...args],
    // One that serves all the same would do so for ever.
    signal: AbortSignal.timeout(30_000),
  }).output();
  return { code, stdout, stderr: new TextDecoder().decode(stderr) };
}
