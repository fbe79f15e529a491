import { createHash } from "node:crypto";
import { MigrationRefusedError } from "./errors.ts";
import { fileOf, type Migration } from "./migration.ts";
import { splitStatements } from "./statements.ts";

/** Runs one parameterised statement and gives its rows. */
export type RunQuery = <T>(text: string, params?: unknown[]) => Promise<T[]>;

/**
 * Key of the advisory lock that keeps runners apart. A starting local stack
 * takes the same, because it migrates too.
 */
export const MIGRATION_LOCK = 7_145_239_061;

/** Undoes what a file of SQL may have set for its session. */
export const RESET_SESSION =
  "reset session authorization; reset role; reset all";

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

/** Creates the Supabase CLI's table where it, or a column of it, is missing. */
export async function ensureHistory(query: RunQuery): Promise<void> {
  const [row] = await query<{ columns: number }>(
    `select count(*)::int as columns from pg_catalog.pg_attribute
     where attrelid = to_regclass('supabase_migrations.schema_migrations')
       and attname in ('version', 'statements', 'name') and not attisdropped`,
  );
  if (row?.columns === 3) return;
  // One by one, as the embedded database takes them.
  for (const statement of HISTORY) await query(statement);
}

async function isMissing(query: RunQuery, table: string): Promise<boolean> {
  const [row] = await query<{ missing: boolean }>(
    "select to_regclass($1) is null as missing",
    [table],
  );
  return row!.missing;
}

/** Reads the records, oldest version first; none where there is no table. */
export async function readHistory(query: RunQuery): Promise<Recorded[]> {
  if (await isMissing(query, "supabase_migrations.schema_migrations")) {
    return [];
  }
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

// What the CLI's table has no place for: functions, and what failed.
const RUNS = `
create table supabase_migrations.runs (
  id bigint generated always as identity primary key,
  name text not null,
  outcome text not null constraint outcome_is_known check (outcome in ('applied', 'failed')),
  error text constraint failed_run_has_error check ((error is not null) = (outcome = 'failed')),
  ended_at timestamptz not null default clock_timestamp()
);
create unique index runs_applied_once on supabase_migrations.runs (name) where outcome = 'applied'`;

/** What became of a function or file, apart from the files that were applied. */
export interface RecordedRun {
  name: string;
  /** Why it failed; null where it was applied. */
  error: string | null;
  /** ISO 8601, UTC. */
  endedAt: string;
}

/** Reads what was recorded of functions and failures, oldest first. */
export async function readRuns(query: RunQuery): Promise<RecordedRun[]> {
  if (await isMissing(query, "supabase_migrations.runs")) return [];
  return await query<RecordedRun>(
    `select name, error, to_char(ended_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as "endedAt"
     from supabase_migrations.runs order by id`,
  );
}

/** Records that a function was applied, or why it or a file failed. */
export async function recordRun(
  query: RunQuery,
  name: string,
  error: string | null,
): Promise<void> {
  await ensureHistory(query);
  if (await isMissing(query, "supabase_migrations.runs")) await query(RUNS);
  await query(
    "insert into supabase_migrations.runs (name, outcome, error) values ($1, $2, $3)",
    [name, error === null ? "applied" : "failed", error],
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

/** Where a version stands: in the files, in the database, or in both. */
export interface VersionState {
  version: string;
  /** The file's name; null where only the database knows the version. */
  file: string | null;
  state:
    | "applied"
    /** Edited after it was applied. */
    | "drifted"
    | "pending"
    /** Older than one that is applied. */
    | "skipped"
    /** Applied, and there is no file. */
    | "no file";
}

/** Compares the files with the records. */
export function compare(
  migrations: readonly Migration[],
  recorded: readonly Recorded[],
): VersionState[] {
  const records = new Map(recorded.map((each) => [each.version, each]));
  const newest = recorded.at(-1)?.version ?? "";
  const states: VersionState[] = migrations.map((migration) => {
    const record = records.get(migration.version);
    records.delete(migration.version);
    const file = fileOf(migration);
    const { version, sql } = migration;
    if (record === undefined) {
      const state = version < newest ? "skipped" : "pending";
      return { version, file, state };
    }
    // What was run is not known where somebody recorded the version by hand.
    const { statements: run } = record;
    const state = run !== null && checksumOf([sql]) !== checksumOf(run)
      ? "drifted"
      : "applied";
    return { version, file, state };
  });
  for (const version of records.keys()) {
    states.push({ version, file: null, state: "no file" });
  }
  return states.sort((a, b) => a.version < b.version ? -1 : 1);
}

/**
 * Chooses the migrations to apply, with the same refusals as `supabase db push`.
 *
 * @throws {MigrationRefusedError}
 */
export function pendingMigrations<T extends Migration>(
  migrations: readonly T[],
  recorded: readonly Recorded[],
  { to, includeAll = false }: { to?: string; includeAll?: boolean },
): T[] {
  const states = compare(migrations, recorded);
  const orphans = states.filter(({ state }) => state === "no file")
    .map(({ version }) => version);
  if (orphans.length > 0) {
    throw new MigrationRefusedError(
      `The database has versions that supabase/migrations lacks: ${
        orphans.join(", ")
      }. Get the files, or, where they were taken back by hand: supabase migration repair --status reverted ${
        orphans.join(" ")
      } (the linked project's with --remote)`,
    );
  }
  const skipped = states.filter(({ state }) => state === "skipped");
  if (skipped.length > 0 && !includeAll) {
    throw new MigrationRefusedError(
      `Older than the last one applied, and not applied: ${
        skipped.map(({ file }) => file).join(", ")
      }. Rename them, or apply them all the same with --include-all`,
    );
  }
  if (to !== undefined && !migrations.some(({ version }) => version === to)) {
    throw new MigrationRefusedError(
      `Cannot migrate to ${to}: supabase/migrations has no such version`,
    );
  }
  const pending = new Set(
    states.filter(({ state }) => state === "pending" || state === "skipped")
      .map(({ version }) => version),
  );
  return migrations.filter(({ version }) =>
    pending.has(version) && (to === undefined || version <= to)
  );
}
