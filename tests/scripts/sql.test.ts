import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import {
  staleGeneratedSql,
  writeGeneratedSql,
} from "../../scripts/check/generated_sql.ts";

const MIGRATIONS = new URL("../../supabase/migrations/", import.meta.url);

/** Statements that change all rows of a table, in words. */
function withoutWhere(sql: string): string[] {
  const code = sql.replaceAll(/--.*$|'(?:[^']|'')*'/gm, "''");
  const starts = code.matchAll(
    /\b(?:delete\s+from|update)\s+(?:only\s+)?[\w.]+(?=\s+(?:as\s+\w+\s+)?(?:set|using|where|returning)\b|\s*[;)])/g,
  );
  return Array.from(starts).flatMap(({ 0: start, index }) => {
    let depth = 0;
    let own = "";
    for (const letter of code.slice(index)) {
      if (letter === "(") depth += 1;
      if (letter === ")") depth -= 1;
      if (depth < 0 || letter === ";") break;
      if (depth === 0) own += letter;
    }
    return /\bwhere\b/.test(own) ? [] : [start];
  });
}

Deno.test("no function changes all rows of a table, which a project's Data API refuses", async () => {
  assertEquals(
    withoutWhere(`
      with gone as (delete from a.b), kept as (delete from a.b as c where c.id)
      update only d as e set f = (select 1 where true);
      update g set h = 'where';
      insert into i values (1) on conflict (j) do update set k = 1;
      select from l for update;
      delete from m using n where true;`),
    ["delete from a.b", "update only d", "update g"],
  );
  for await (const { name } of Deno.readDir(MIGRATIONS)) {
    const sql = await Deno.readTextFile(new URL(name, MIGRATIONS));
    assertEquals(withoutWhere(sql), [], name);
  }
});

const NOW = new Date("2026-11-29T12:00:59.500Z");

const CONFIG = `[db.migrations]
schema_paths = [
  "./schemas/ledger/*.sql",
  "./schemas/archive/*.sql",
  "./migrations/*_orders.sql",
]
`;

async function withProject(
  test: (project: {
    dir: string;
    write: (path: string, text: string) => Promise<void>;
    read: (path: string) => Promise<string>;
  }) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "sql-" });
  const write = (path: string, text: string) =>
    Deno.writeTextFile(join(dir, path), text);
  try {
    for (const part of ["ledger", "archive", "sequences"]) {
      await Deno.mkdir(join(dir, "schemas", part), { recursive: true });
    }
    await Deno.mkdir(join(dir, "migrations"));
    await write("config.toml", CONFIG);
    await write("schemas/ledger/02_claim.sql", "select 'claim';\n");
    await write("schemas/ledger/01_keys.sql", "select 'keys';\n");
    await write("schemas/archive/archive.sql", "select 'archive';\n");
    await write("migrations/20260101000000_ledger.sql", "select 'old';\n");
    await write("migrations/20260102000000_archive.sql", "select 'old';\n");
    await write("migrations/20260103000000_orders.sql", "select 'orders';\n");
    await test({
      dir,
      write,
      read: (path) => Deno.readTextFile(join(dir, path)),
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("a part's migration is its files in the order of their names, under the version it has", () =>
  withProject(async ({ dir, read }) => {
    assertEquals(await writeGeneratedSql(dir, NOW), [
      "20260102000000_archive.sql",
      "20260101000000_ledger.sql",
    ]);
    assertEquals(
      await read("migrations/20260101000000_ledger.sql"),
      "-- Generated from supabase/schemas/ledger/ by `deno task sql`: change it there.\n" +
        "\nselect 'keys';\n\nselect 'claim';\n",
    );
    assertEquals(
      await read("migrations/20260103000000_orders.sql"),
      "select 'orders';\n",
    );
    assertEquals(await staleGeneratedSql(dir), []);
    assertEquals(await writeGeneratedSql(dir, NOW), []);
  }));

Deno.test("a part without a migration is given one stamped now, no two alike", () =>
  withProject(async ({ dir, write }) => {
    await Deno.remove(join(dir, "migrations/20260102000000_archive.sql"));
    await write("schemas/sequences/sequences.sql", "select 'sequences';\n");
    assertEquals(await writeGeneratedSql(dir, NOW), [
      "20261129120059_archive.sql",
      "20260101000000_ledger.sql",
      "20261129120100_sequences.sql",
    ]);
  }));

Deno.test("a migration that was edited is not what its source says", () =>
  withProject(async ({ dir, write }) => {
    await writeGeneratedSql(dir, NOW);
    await write("migrations/20260101000000_ledger.sql", "select 'edited';\n");
    const [problem = "", ...others] = await staleGeneratedSql(dir);
    assertStringIncludes(problem, "20260101000000_ledger.sql");
    assertStringIncludes(problem, "run: deno task sql");
    assertEquals(others, []);
  }));

Deno.test("schema_paths is the whole schema, in the order of the migrations", () =>
  withProject(async ({ dir, write }) => {
    await writeGeneratedSql(dir, NOW);
    await write("migrations/20260104000000_lines.sql", "select 'lines';\n");
    assertEquals(await staleGeneratedSql(dir), [
      "schema_paths of supabase/config.toml: nothing is where migrations/20260104000000_lines.sql belongs",
    ]);
    await Deno.remove(join(dir, "migrations/20260104000000_lines.sql"));
    await Deno.remove(join(dir, "migrations/20260103000000_orders.sql"));
    assertEquals(await staleGeneratedSql(dir), [
      "schema_paths: ./migrations/*_orders.sql is no file",
    ]);
  }));

Deno.test("two migrations with a part's name are refused", () =>
  withProject(async ({ dir, write }) => {
    await write("migrations/20260105000000_ledger.sql", "select 'again';\n");
    await assertRejects(
      () => writeGeneratedSql(dir, NOW),
      Error,
      "keep one of them",
    );
  }));
