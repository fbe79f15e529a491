import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { removingSql } from "../../scripts/cli/release.ts";
import { readDirectives } from "../../scripts/migrate/migration.ts";
import { MigrationRefusedError } from "../../scripts/migrate/errors.ts";
import { checksumOf } from "../../scripts/migrate/history.ts";
import {
  planExecution,
  splitStatements,
} from "../../scripts/migrate/statements.ts";

const texts = (sql: string) => splitStatements(sql).map(({ text }) => text);

// Each holds a semicolon that ends nothing.
const PIECES = [
  "select 1",
  "select 'a;''b;'",
  "select E'it\\'s; \\\\'",
  'select "odd;""name"',
  "select $$ ; $a$ ; $$",
  "select $a$ ; $$ ; $a$",
  "-- a; comment\nselect 2",
  "/* a; /* nested; */ b; */ select 3",
  "create function f() returns int language sql begin atomic select 1; select case when true then 2 end; end",
  "select a$b$c, $1 from t -- c;",
  "select 1e5, 'e', type''",
];

Deno.test("a file is split at the semicolons that end statements, and at no other", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...PIECES), { maxLength: 8 }),
      fc.constantFrom(";", ";\n", "\n;\n\n", ";;  "),
      (pieces, separator) => {
        // A comment at the end of a piece would swallow the separator.
        const file = pieces.map((piece) => `${piece}\n`).join(separator);
        assertEquals(texts(file), pieces);
      },
    ),
  );
});

Deno.test("a statement knows the line on which it begins", () => {
  assertEquals(
    splitStatements("\ufeffselect 1;\n\n-- two\nselect\n 2; select 3\n;\n"),
    [
      { text: "select 1", line: 1 },
      { text: "-- two\nselect\n 2", line: 3 },
      { text: "select 3", line: 5 },
    ],
  );
});

Deno.test("what is never closed ends with the file", () => {
  for (
    const sql of [
      "select 'a;",
      'select "a;',
      "select $$ a;",
      "/* a;",
      "-- a;",
      "select E'\\",
    ]
  ) {
    assertEquals(texts(sql), [sql]);
  }
  assertEquals(texts(""), []);
  assertEquals(texts(" ;\n; "), []);
});

Deno.test("a checksum does not depend on how statements were recorded, but on each character of them", () => {
  const file = "select 1;\r\n-- c\r\nselect ';';\r\n";
  assertEquals(checksumOf([file]), checksumOf(texts(file)));
  assertEquals(checksumOf([file]), checksumOf([file.replaceAll("\r", "")]));
  for (
    const other of [
      "select 1;\n-- d\nselect ';'",
      "select 1",
      "select 1; select ';'",
    ]
  ) {
    assertEquals(checksumOf([file]) === checksumOf([other]), false, other);
  }
});

Deno.test("statements that refuse a transaction are recognised, and only they", () => {
  const transactional = (sql: string) =>
    planExecution(
      "1_a.sql",
      splitStatements(sql),
      readDirectives("1_a.sql", sql),
    )
      .transactional;
  for (
    const sql of [
      "create index concurrently i on t (a)",
      "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)",
      "-- why\ndrop index concurrently i",
      "reindex index concurrently i",
      "reindex (verbose) table concurrently t",
      "vacuum full t",
      "set maintenance_work_mem = '1GB'; create index concurrently i on t (a)",
      "alter table t detach partition p concurrently",
      "alter system set work_mem = 1",
      "-- migrate: no transaction\ncall p()",
    ]
  ) assertEquals(transactional(sql), false, sql);
  for (
    const sql of [
      "create index i on t (a)",
      "select 'create index concurrently'",
      "-- create index concurrently\nselect 1",
      'create table "vacuum" (a int)',
      "refresh materialized view concurrently v",
      "begin; select 1; commit",
      "start transaction; select 1; end;",
      "savepoint a; rollback to a",
      "create function f() returns int language plpgsql as $$ begin return 1; end $$",
    ]
  ) assertEquals(transactional(sql), true, sql);
  for (
    const sql of [
      "select 1; commit; select 2",
      "begin; select 1",
      "begin; select 1; commit; select 2; commit",
      "rollback",
      "create table t (); vacuum t",
    ]
  ) assertThrows(() => transactional(sql), MigrationRefusedError);
});

Deno.test("directives are read, and an unknown one is refused", () => {
  const read = (text: string) =>
    readDirectives("1_a.sql", `select 1;\n  ${text}\n`);
  assertEquals(read("-- migrate: removes rows").removesRows, "all");
  // As an editor on Windows writes it, on the first line.
  assertEquals(
    readDirectives("1_a.sql", "\ufeff-- migrate: no transaction\r\ncall p();")
      .noTransaction,
    true,
  );
  assertEquals(
    read("--migrate:  removes rows from a.b, c.d").removesRows,
    new Set(["a.b", "c.d"]),
  );
  assertEquals(read("-- migrate: undoes 1 to 3").undoes, {
    from: "1",
    to: "3",
  });
  assertEquals(read("-- migrate: undoes 2").undoes, { from: "2", to: "2" });
  assertEquals(read("-- we migrate: nothing").undoes, null);
  assertThrows(
    () => read("-- migrate: remove rows"),
    MigrationRefusedError,
    "remove rows",
  );
});

Deno.test("migrate takes what remove writes, although tables go with their rows", async () => {
  const sql = await removingSql(["archive", "sequences"]);
  const directives = readDirectives("1_remove_idempotency.sql", sql);
  assertEquals(directives.removesRows, "all");
  const { transactional } = planExecution(
    "1_remove_idempotency.sql",
    splitStatements(sql),
    directives,
  );
  assertEquals(transactional, true);
});
