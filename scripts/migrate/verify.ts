import { readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  codeOf,
  MigrationRefusedError,
  sqlStateOf,
  StatementError,
  VerificationError,
} from "./errors.ts";
import {
  compare,
  readHistory,
  type RunQuery,
  type VersionState,
} from "./history.ts";
import {
  fileOf,
  type Migration,
  type ParsedMigration,
  readMigrations,
  readSql,
} from "./migration.ts";
import { type MigrateOptions, resolveOptions } from "./options.ts";
import {
  inTransaction,
  openSession,
  runStatements,
  type Session,
} from "./session.ts";
import { splitStatements, wordsOf } from "./statements.ts";
import { PROJECT_SCHEMA } from "./tables.ts";

// An index is not valid, too, while somebody is building it.
/** Holds for indexes `i` that an attempt which ended left unusable. */
export const SPOILT =
  "not i.indisvalid and not exists (select from pg_catalog.pg_stat_progress_create_index as p where p.index_relid = i.indexrelid)";

const SPOILT_INDEXES = `
select format('index %I.%I is not valid: it was left by an attempt that failed; drop it, and make it again', n.nspname, c.relname) as problem
from pg_catalog.pg_index as i
join pg_catalog.pg_class as c on c.oid = i.indexrelid and c.relkind = 'i'
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where ${SPOILT} and ${PROJECT_SCHEMA}`;

const UNCHECKED_CONSTRAINTS = `
select format('constraint %I of %I.%I was never checked against the rows there are: alter table %I.%I validate constraint %I',
  k.conname, n.nspname, c.relname, n.nspname, c.relname, k.conname) as problem
from pg_catalog.pg_constraint as k
join pg_catalog.pg_class as c on c.oid = k.conrelid
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where not k.convalidated and k.contype in ('c', 'f') and ${PROJECT_SCHEMA}`;

/** Indexes that are not valid and constraints that were never checked, in words. */
async function catalogProblems(query: RunQuery): Promise<string[]> {
  const rows = await query<{ problem: string }>(
    `${SPOILT_INDEXES} union all ${UNCHECKED_CONSTRAINTS} order by 1`,
  );
  return rows.map(({ problem }) => problem);
}

/** Remembers what is wrong now; what it gives tells what came since. */
export async function watchCatalog(
  query: RunQuery,
): Promise<() => Promise<string[]>> {
  const before = await catalogProblems(query);
  return async () =>
    (await catalogProblems(query)).filter((each) => !before.includes(each));
}

/** A file of queries which hold from a migration on. */
export interface VerifyFile {
  /** Path as a person would name it. */
  file: string;
  sql: string;
}

/** Reads `supabase/verify/<version>.sql` or `<version>_<name>.sql`. */
export async function readVerifyFile(
  supabaseDir: string,
  { version, file }: Pick<ParsedMigration, "version" | "file">,
): Promise<VerifyFile | null> {
  for (const name of [file, `${version}.sql`]) {
    try {
      const path = join(supabaseDir, "verify", name);
      return { file: `verify/${name}`, sql: await readSql(path) };
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error;
    }
  }
  return null;
}

/**
 * Refuses verify files that no migration has.
 *
 * @throws {MigrationRefusedError} a typing error in the name of one would
 * otherwise switch it off in silence
 */
export async function refuseStrayVerifyFiles(
  supabaseDir: string,
  migrations: readonly Migration[],
): Promise<void> {
  const asked = new Set(
    migrations.flatMap((each) => [fileOf(each), `${each.version}.sql`]),
  );
  let files: string[];
  try {
    files = await readdir(join(supabaseDir, "verify"));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw error;
  }
  const stray = files.find((file) => file.endsWith(".sql") && !asked.has(file));
  if (stray === undefined) return;
  throw new MigrationRefusedError(
    `Cannot verify: verify/${stray} belongs to no migration; give it the version of one, or delete it`,
  );
}

/**
 * Asks each query of a verify file: it holds when there is no row, or one row
 * with the single value true. Belongs into a transaction; what the queries write
 * is refused.
 */
export async function verifyFileProblems(
  session: Session,
  { file, sql }: VerifyFile,
): Promise<string[]> {
  const problems: string[] = [];
  await session.query("savepoint verify; set transaction read only");
  const statements = splitStatements(sql)
    .filter(({ text }) => wordsOf(text).length > 0);
  await runStatements(session, file, statements, (number, rows) => {
    const [first] = rows;
    if (first === undefined) return;
    const values = Object.values(first);
    if (rows.length === 1 && values.length === 1 && values[0] === true) return;
    problems.push(
      `${file}, line ${
        statements[number - 1]!.line
      }: expected no row or true, found ${
        rows.length === 1 ? "" : `${rows.length} rows, the first `
      }${JSON.stringify(first)}`,
    );
  });
  // Also ends the read-only mode.
  await session.query("rollback to savepoint verify");
  return problems;
}

/** Turns what does not hold into an error, also a query that fails. */
export async function insist(
  what: string,
  find: () => Promise<string[]>,
): Promise<void> {
  let problems: string[];
  try {
    problems = await find();
  } catch (error) {
    const state = sqlStateOf(error);
    if (error instanceof StatementError) problems = [error.message];
    // A deferred constraint, say. Not a lost connection, and not a lock that
    // is tried for again.
    else if (state !== undefined && /^2/.test(state)) {
      problems = [`${(error as Error).message} (SQLSTATE ${state})`];
    } else throw error;
  }
  if (problems.length === 0) return;
  throw new VerificationError(`${what}:\n  ${problems.join("\n  ")}`);
}

/**
 * Looks whether the database is what the applied files say; changes nothing.
 * Pending migrations are no problem.
 *
 * @returns what is wrong, one sentence each
 */
export async function verifyDatabase(
  given: MigrateOptions,
): Promise<string[]> {
  const { databaseUrl, supabaseDir } = resolveOptions(given);
  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  await refuseStrayVerifyFiles(supabaseDir, migrations);
  await using session = await openSession(databaseUrl);
  const { query } = session;
  return await inTransaction(session, async () => {
    const recorded = await readHistory(query);
    const problems = compare(migrations, recorded)
      .flatMap(({ version, file, state }) =>
        WRONG[state]?.(file ?? version) ?? []
      );
    problems.push(...await catalogProblems(query));
    const applied = new Set(recorded.map(({ version }) => version));
    for (const migration of migrations) {
      const { version } = migration;
      const verify = applied.has(version)
        ? await readVerifyFile(supabaseDir, {
          version,
          file: fileOf(migration),
        })
        : null;
      if (verify === null) continue;
      await query("savepoint one");
      try {
        problems.push(...await verifyFileProblems(session, verify));
      } catch (error) {
        if (!(error instanceof StatementError && error.sqlState)) throw error;
        problems.push(error.message);
      }
      await query("rollback to savepoint one");
    }
    return problems;
  }, { begin: "begin isolation level repeatable read", end: "rollback" });
}

// What is wrong with a version in this state.
const WRONG: Partial<Record<VersionState["state"], (what: string) => string>> =
  {
    "drifted": (file) => `${file} was edited after it was applied`,
    "skipped": (file) =>
      `${file} is older than the last one applied, and is not applied`,
    "no file": (version) =>
      `${version} is applied, and there is no file for it`,
  };
