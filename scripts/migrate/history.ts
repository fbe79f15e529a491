import { createHash } from "node:crypto";
import type { RunQuery } from "../stack/database.ts";
import type { Migration } from "./migration.ts";
import { splitStatements } from "./statements.ts";

/** What the database has recorded of one migration. */
export interface Recorded {
  version: string;
  name: string | null;
  /** Null where somebody recorded the version by hand. */
  statements: string[] | null;
}

// The Supabase CLI's own record, so that `db push` and this agree.
const HISTORY = [
  "create schema if not exists supabase_migrations",
  "create table if not exists supabase_migrations.schema_migrations (version text not null primary key)",
  "alter table supabase_migrations.schema_migrations add column if not exists statements text[], add column if not exists name text",
];

/** Whether the database has the Supabase CLI's table with its columns. */
async function hasHistory(query: RunQuery): Promise<boolean> {
  const [row] = await query<{ columns: number }>(
    `select count(*)::int as columns from pg_catalog.pg_attribute
     where attrelid = to_regclass('supabase_migrations.schema_migrations')
       and attname in ('version', 'statements', 'name') and not attisdropped`,
  );
  return row?.columns === 3;
}

/** Creates the Supabase CLI's table where it is missing. */
export async function ensureHistory(query: RunQuery): Promise<void> {
  if (await hasHistory(query)) return;
  for (const statement of HISTORY) await query(statement);
}

/** Reads the records, oldest version first; none where there is no table. */
export async function readHistory(query: RunQuery): Promise<Recorded[]> {
  const [row] = await query<{ found: boolean }>(
    "select to_regclass('supabase_migrations.schema_migrations') is not null as found",
  );
  if (!row?.found) return [];
  // Older versions of the CLI made the table without the later columns.
  return await query<Recorded>(
    `select version, r.row ->> 'name' as name,
       case when jsonb_typeof(r.row -> 'statements') = 'array'
         then array(select jsonb_array_elements_text(r.row -> 'statements')) end as statements
     from supabase_migrations.schema_migrations as m, lateral (select to_jsonb(m) as row) as r
     order by version collate "C"`,
  );
}

/** Records a migration as the Supabase CLI does. */
export async function recordMigration(
  query: RunQuery,
  { version, name, sql }: Migration,
): Promise<void> {
  const statements = splitStatements(sql).map(({ text }) => text);
  await query(
    "insert into supabase_migrations.schema_migrations (version, name, statements) values ($1, $2, $3)",
    [version, name, statements],
  );
}

/** Removes the records of versions that were taken back. */
export async function unrecordMigrations(
  query: RunQuery,
  versions: readonly string[],
): Promise<void> {
  await query(
    "delete from supabase_migrations.schema_migrations where version = any ($1)",
    [versions],
  );
}

/**
 * SHA-256 over the statements of a migration, line ends aside. A record that
 * holds a whole file as one statement has the same checksum as one that holds
 * it split.
 */
export function checksumOf(statements: readonly string[]): string {
  const hash = createHash("sha256");
  for (const statement of statements) {
    for (const { text } of splitStatements(statement)) {
      hash.update(text.replaceAll("\r\n", "\n")).update(";\0");
    }
  }
  return hash.digest("hex");
}

/** Whether the file differs from what was run; null when that is not recorded. */
export function hasDrifted(
  migration: Migration,
  recorded: Recorded,
): boolean | null {
  if (recorded.statements === null) return null;
  return checksumOf([migration.sql]) !== checksumOf(recorded.statements);
}
