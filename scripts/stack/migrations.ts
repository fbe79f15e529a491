import { join } from "node:path";
import type { Database } from "./database.ts";

/** One file of `supabase/migrations`. */
export interface Migration {
  version: string;
  name: string;
  sql: string;
}

// The Supabase CLI's own record, so that `db push` and the stack agree.
const HISTORY = `
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
  version text not null primary key
);
alter table supabase_migrations.schema_migrations
  add column if not exists statements text[],
  add column if not exists name text;
`;

/** Reads the migrations of a folder in the order of their versions. */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const migrations: Migration[] = [];
  try {
    for await (const { name: file, isFile } of Deno.readDir(folder)) {
      const match = /^(\d+)_(.*)\.sql$/.exec(file);
      if (!isFile || !match) continue;
      const [, version = "", name = ""] = match;
      const sql = await Deno.readTextFile(join(folder, file));
      migrations.push({ version, name, sql });
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return migrations.sort((a, b) => a.version < b.version ? -1 : 1);
}

/**
 * Applies those migrations which the database has not recorded yet, each in a
 * transaction together with its record. Answers the versions applied.
 */
export async function applyMigrations(
  database: Database,
  migrations: Migration[],
): Promise<string[]> {
  await database.transaction((transaction) => transaction.script(HISTORY));
  const recorded = new Set(
    (await database.query<{ version: string }>(
      "select version from supabase_migrations.schema_migrations",
    )).map(({ version }) => version),
  );
  const pending = migrations.filter(({ version }) => !recorded.has(version));
  for (const { version, name, sql } of pending) {
    try {
      await database.transaction(async (transaction) => {
        await transaction.script(sql);
        await transaction.query(
          "insert into supabase_migrations.schema_migrations (version, name, statements) values ($1, $2, $3)",
          [version, name, [sql]],
        );
      });
    } catch (error) {
      throw new Error(
        `Migration ${version}_${name}.sql failed: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }
  return pending.map(({ version }) => version);
}
