import { assertEquals, assertMatch } from "@std/assert";
import { dirname, join } from "node:path";
import postgres from "postgres";
import { bundle } from "../../scripts/bundle.ts";
import { emptyCluster } from "../../scripts/cluster/supabase_cluster.ts";
import { npmProgram } from "../../scripts/npm_package.ts";
import { BUN_VERSION, NODE_VERSIONS } from "./runtimes.ts";

const FILES: Record<string, string> = {
  "migrations/20260101000000_notes.sql":
    "create table public.notes (id integer primary key, body text);\ninsert into public.notes values (1, 'a\tb'), (2, null);",
  "migrations/20260102000000_done.sql":
    "alter table public.notes add column done boolean not null default false;",
  "rollback/20260102000000_done.sql":
    "alter table public.notes drop column done;",
  "verify/20260102000000.sql": "select id from public.notes where done;",
};
const BROKEN = "migrations/20260103000000_broken.sql";

/** Runs the command line; answers what it printed and its exit code. */
type Migrate = (...args: string[]) => Promise<string>;

/** Everything that reads or writes a file or runs another program. */
async function everything(
  migrate: Migrate,
  project: string,
  sql: postgres.Sql,
): Promise<string[]> {
  const write = async (name: string, text: string) => {
    const file = join(project, "supabase", name);
    await Deno.mkdir(dirname(file), { recursive: true });
    await Deno.writeTextFile(file, text);
  };
  for (const [name, text] of Object.entries(FILES)) await write(name, text);
  const said = [
    await migrate("--help"),
    await migrate("--nonsense"),
    await migrate("status"),
    await migrate("--dry-run"),
    await migrate("--to=20260101000000"),
    await migrate("--json"),
  ];
  await sql`delete from public.notes where id = 1`;
  const { name } = Deno.readDirSync(join(project, ".backups"))
    .find(({ isDirectory }) => isDirectory)!;
  const folder = join(project, ".backups", name);
  said.push(await migrate("restore", folder));
  await sql`alter table public.notes drop column done`;
  await sql`alter table public.notes add column done boolean not null default false`;
  said.push(await migrate("restore", folder, "--table=public.notes"));
  await write(BROKEN, "insert into public.notes values (1, 'twice');");
  said.push(await migrate("--skip-backup"));
  await Deno.remove(join(project, "supabase", BROKEN));
  said.push(
    await migrate("--verify"),
    await migrate("--rollback", "--dry-run"),
    await migrate("--rollback"),
    await migrate("status"),
  );
  assertEquals(
    [...await sql`select * from public.notes order by id`],
    [{ id: 1, body: "a\tb" }, { id: 2, body: null }],
  );
  return said;
}

Deno.test("migrate does and says the same on Deno, Node and Bun", async (t) => {
  await using cluster = await emptyCluster();
  const home = await Deno.makeTempDir({ prefix: "migrate-" });
  const server = postgres(cluster.url, { max: 1, onnotice: () => {} });
  try {
    const { code } = await bundle("scripts/migrate/command.ts", {
      // With "import", `require` would get a module and not what it exports.
      conditions: ["node"],
      node: true,
    });
    await Deno.writeTextFile(join(home, "migrate.mjs"), code);
    const main = join(home, "main.mjs");
    await Deno.writeTextFile(
      main,
      `import { migrate } from "./migrate.mjs";
process.exitCode = await migrate(process.argv.slice(2));
`,
    );
    let expected: string[] | undefined;
    const on = (name: string, command: string, ...first: string[]) =>
      t.step(name, async () => {
        const database = `on_${name.toLowerCase().replaceAll(/\W/g, "_")}`;
        await server.unsafe(`create database ${database}`);
        const url =
          Object.assign(new URL(cluster.url), { pathname: database }).href;
        const project = join(home, database);
        const sql = postgres(url, { max: 1 });
        const migrate: Migrate = async (...args) => {
          const { code, stdout, stderr } = await new Deno.Command(command, {
            args: [...first, ...args, `--project=${project}`],
            env: { DATABASE_URL: url, NO_COLOR: "1" },
          }).output();
          const text = new TextDecoder();
          return withoutTimes(
            `${text.decode(stdout)}${text.decode(stderr)}exit code ${code}`
              .replaceAll(database, "…"),
          );
        };
        try {
          const said = await everything(migrate, project, sql);
          expected ??= said;
          assertEquals(said, expected);
        } finally {
          await sql.end();
        }
      });
    await on("Deno", Deno.execPath(), "run", "-A", "--no-config", main);
    assertEquals(
      expected!.map((text) => /\d+$/.exec(text)![0]).join(" "),
      "0 2 0 0 0 0 0 0 1 0 0 0 0",
    );
    assertMatch(expected![4]!, /applied {4}20260101000000_notes\.sql/);
    assertMatch(expected![6]!, /restored {3}public\.notes \(2 rows\)/);
    const [oldest] = NODE_VERSIONS;
    await on(`Node ${oldest}`, npmProgram("node", oldest), main);
    await on("Bun", npmProgram("bun", BUN_VERSION), "run", main);
  } finally {
    await server.end();
    await Deno.remove(home, { recursive: true });
  }
});

function withoutTimes(text: string): string {
  return text.replaceAll(/\d+\.\d\d s/g, "… s")
    .replaceAll(/\d{8}T\d{6}Z-\w+|\d{4}-\d\d-\d\dT[\d:]+Z/g, "…");
}
