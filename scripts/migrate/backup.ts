import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { from, to } from "pg-copy-streams";
import { BackupError, MigrationRefusedError, sqlStateOf } from "./errors.ts";
import { readHistory, type RunQuery } from "./history.ts";
import {
  type MigrateOptions,
  type Options,
  resolveOptions,
} from "./options.ts";
import {
  inTransaction,
  lockedSession,
  openSession,
  type Session,
  timed,
} from "./session.ts";
import { type Column, projectTables, quoted, type Table } from "./tables.ts";

/** Rows and their checksum, which does not depend on their order. */
interface RowSum {
  rows: number;
  checksum: string;
}

/** What a backup holds of one table. */
export interface TableBackup extends Table, RowSum {
  /** Name of the file in the backup's folder. */
  file: string;
}

/** What `manifest.json` says; it is written last, so that one means a whole backup. */
interface Manifest {
  format: 1;
  createdAt: string;
  /** Versions of the migrations that were recorded. */
  recorded: string[];
  tables: TableBackup[];
}

/** A backup on disk. */
export interface Backup extends Manifest {
  folder: string;
}

const MANIFEST = "manifest.json";

// Reading waits only for those who are changing a table's shape: better told
// soon than waited for until they go home. Whoever restores has no traffic to
// spare.
const LOCK_TIMEOUT = { backup: "10s", restore: "30s" };

// Under these the text of every value is exact and the same everywhere.
const EXACT_TEXT = `
set local datestyle = 'ISO, YMD';
set local intervalstyle = 'postgres';
set local timezone = 'UTC';
set local extra_float_digits = 3;
set local bytea_output = 'hex';
set local xmloption = 'content';
set local search_path = '';
set local row_security = off;
set local statement_timeout = 0`;

/** Finds a table by name; one without a schema is in `public`. */
function named<T extends { name: string }>(
  tables: readonly T[],
  name: string,
  verb: "back up" | "restore",
): T {
  const table = tables.find((each) =>
    each.name === name || each.name === `public.${name}`
  );
  if (table !== undefined) return table;
  throw new MigrationRefusedError(
    `Cannot ${verb} ${name}: there is no such table; there are ${
      tables.map((each) => each.name).join(", ")
    }`,
  );
}

/**
 * Backs tables up into a new folder, all as one snapshot sees them: what `COPY`
 * writes, with the names of the columns in the first line. Nobody else may read
 * it: folders have mode 0700, files 0600.
 *
 * @param parent Folder that receives the folder.
 * @param names Tables. @default all of the project
 * @returns `null` where the project has no tables yet
 * @throws {BackupError} also where there is no room or no right to write
 */
export async function backUp(
  session: Session,
  parent: string,
  names?: readonly string[],
): Promise<Backup | null> {
  const { query } = session;
  const chosen = async () => {
    const all = await projectTables(query);
    return names?.map((name) => named(all, name, "back up")) ?? all;
  };
  const toLock = await chosen();
  return await inTransaction(session, async () => {
    await query(EXACT_TEXT);
    await query(`set local lock_timeout = '${LOCK_TIMEOUT.backup}'`);
    // Before the snapshot, which the first query takes: what others truncate or
    // rewrite after it would look empty.
    for (const { name } of toLock) {
      await query(`lock table only ${name} in access share mode`)
        .catch((error) => failedToBackUp(name, error));
    }
    const tables = await chosen();
    if (tables.length === 0) return null;
    const folder = await newFolder(parent);
    const manifest: Manifest = {
      format: 1,
      createdAt: new Date().toISOString(),
      recorded: (await readHistory(query)).map(({ version }) => version),
      tables: [],
    };
    for (const table of tables) {
      manifest.tables.push(await writeTable(session, table, folder));
    }
    await writeFile(
      join(folder, MANIFEST),
      `${JSON.stringify(manifest, null, 2)}\n`,
      { mode: 0o600, flag: "wx" },
    );
    return { ...manifest, folder };
  }, { begin: "begin isolation level repeatable read read only" });
}

/** Backs up as asked, and says so. */
export async function backUpFirst(
  session: Session,
  { skipBackup, backupDir, backupCollections, log }: Options,
): Promise<Backup | null> {
  if (skipBackup) {
    log("backup     none, as asked");
    return null;
  }
  const time = timed();
  const backup = await backUp(session, backupDir, backupCollections);
  const rows = backup?.tables.reduce((sum, table) => sum + table.rows, 0);
  log(
    backup === null
      ? "backup     none: the project has no tables yet"
      : `backup     ${backup.folder} (${backup.tables.length} tables, ${rows} rows) ${time()}`,
  );
  return backup;
}

/**
 * Backs one table up; changes nothing and waits for no other runner.
 *
 * @param table Its name, with its schema where that is not `public`.
 * @returns the path of the file, for {@link restoreCollection}
 * @throws {MigrationRefusedError} where there is no such table
 * @throws {BackupError} where it cannot be read or written
 */
export async function backupCollection(
  table: string,
  options: Pick<MigrateOptions, "databaseUrl" | "backupDir"> = {},
): Promise<string> {
  const { databaseUrl, backupDir } = resolveOptions(options);
  await using session = await openSession(databaseUrl);
  return filesOf(await backUp(session, backupDir, [table]))[0]!;
}

/** Paths of a backup's files. */
export function filesOf(backup: Backup | null): string[] {
  return backup?.tables.map(({ file }) => join(backup.folder, file)) ?? [];
}

async function newFolder(parent: string): Promise<string> {
  const stamp = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "");
  try {
    const made = await mkdir(parent, { recursive: true, mode: 0o700 });
    // It holds users' data, and the project's own .gitignore may not know it.
    if (made !== undefined) await writeFile(join(parent, ".gitignore"), "*\n");
    return await mkdtemp(join(parent, `${stamp}-`));
  } catch (error) {
    throw new BackupError(
      `Cannot make a folder for the backup in ${parent}: ${
        (error as Error).message
      }; name another with --backup-dir`,
      { cause: error },
    );
  }
}

async function writeTable(
  { client, query }: Session,
  table: Table,
  folder: string,
): Promise<TableBackup> {
  const encoded = encodeURIComponent(table.name);
  // No file system takes a name of more than 255 bytes.
  const file = encoded.length > 240
    ? `${encoded.slice(0, 220)}-${table.oid}.copy`
    : `${encoded}.copy`;
  const columns = keptColumns(table);
  try {
    await pipeline(
      client.query(
        to(`copy ${copyTarget(table.name, columns)} to stdout with (header)`),
      ),
      createWriteStream(join(folder, file), {
        flags: "wx",
        mode: 0o600,
        flush: true,
      }),
    );
    return { ...table, ...await sumTable(query, table.name, columns), file };
  } catch (error) {
    failedToBackUp(table.name, error);
  }
}

function failedToBackUp(name: string, error: unknown): never {
  throw new BackupError(
    `Cannot back up ${name}: ${(error as Error).message}`,
    { cause: error },
  );
}

/** The columns that are kept: all that the database does not compute. */
function keptColumns({ columns }: Pick<Table, "columns">): string[] {
  return columns.filter(({ generated }) => !generated)
    .map(({ name }) => quoted(name));
}

function copyTarget(name: string, columns: readonly string[]): string {
  return columns.length === 0 ? name : `${name} (${columns.join(", ")})`;
}

/** Adds up 60 bits of each row's SHA-256. */
async function sumTable(
  query: RunQuery,
  name: string,
  columns: readonly string[],
): Promise<RowSum> {
  const [sum] = await query<RowSum>(
    `select count(*)::float8 as rows, coalesce(sum(
       ('x' || left(encode(sha256(convert_to(row(${
      columns.join(", ")
    })::text, 'UTF8')), 'hex'), 15))::bit(60)::bigint
     ), 0)::text as checksum from only ${name}`,
  );
  return sum!;
}

/**
 * Reads what a backup holds.
 *
 * @throws {MigrationRefusedError} where there is none, or one that was interrupted
 */
export async function readBackup(folder: string): Promise<Backup> {
  try {
    const text = await readFile(join(folder, MANIFEST), "utf8");
    return { ...JSON.parse(text) as Manifest, folder };
  } catch (error) {
    throw new MigrationRefusedError(
      `Cannot read the backup in ${folder}: there is no ${MANIFEST}. Its last file is missing where a backup was interrupted`,
      { cause: error },
    );
  }
}

/** What was restored. */
export interface RestoreReport {
  tables: string[];
  rows: number;
}

/**
 * Puts a table back to what a file of a backup holds, in one transaction. Rows
 * that came later are gone then. Count, checksum and foreign keys are verified
 * before the commit; triggers do not fire.
 *
 * @param file Path of the file, as {@link backupCollection} answers it.
 * @throws {BackupError} and the table is as it was
 */
export async function restoreCollection(
  file: string,
  options: MigrateOptions = {},
): Promise<RestoreReport> {
  return await restoreBackup(file, [], options);
}

/**
 * Puts tables back to what a backup holds, together or not at all.
 *
 * @param path A backup's folder, or one of the files in it.
 * @param tables Their names. @default all that the backup, or the file, has
 */
export async function restoreBackup(
  path: string,
  tables: readonly string[] = [],
  options: MigrateOptions = {},
): Promise<RestoreReport> {
  const one = path.endsWith(".copy");
  const backup = await readBackup(one ? dirname(path) : path);
  const all = one
    ? backup.tables.filter(({ file }) => file === basename(path))
    : backup.tables;
  if (all.length === 0) {
    throw new MigrationRefusedError(
      `Cannot restore ${path}: there is no such file; there are ${
        backup.tables.map(({ file }) => file).join(", ")
      }`,
    );
  }
  const names = tables.length > 0 ? [...tables] : all.map(({ name }) => name);
  const resolved = resolveOptions(options);
  await using session = await lockedSession(resolved);
  const chosen = { ...backup, tables: all };
  const rows = await restoreTables(session, chosen, names, resolved);
  return { tables: names, rows };
}

/**
 * Puts tables back together, in one transaction: tables that refer to each
 * other fit only together.
 *
 * @param options A dry run leaves no trace but the numbers that sequences gave out.
 * @returns how many rows they have now
 * @throws {BackupError} and each table is as it was
 */
export async function restoreTables(
  session: Session,
  backup: Backup,
  names: readonly string[],
  { dryRun = false }: Pick<MigrateOptions, "dryRun"> = {},
): Promise<number> {
  const { query } = session;
  const saved = names.map((name) => named(backup.tables, name, "restore"));
  let at = "";
  try {
    return await inTransaction(session, async () => {
      await query(EXACT_TEXT);
      await query(`set local lock_timeout = '${LOCK_TIMEOUT.restore}'`);
      const now = await projectTables(query);
      for (const table of saved) {
        at = table.name;
        await fill(session, backup, table, targetFor(table, now));
      }
      for (const { name } of saved) {
        at = name;
        const broken = await brokenReferences(query, name);
        if (broken.length === 0) continue;
        throw new Error(
          `foreign keys would be broken: ${
            broken.join("; ")
          }. Restore those tables together with it`,
        );
      }
      return saved.reduce((sum, { rows }) => sum + rows, 0);
    }, { end: dryRun ? "rollback" : "commit" });
  } catch (error) {
    const advice = sqlStateOf(error) === "42501"
      ? "; restore as the owner of the table with the right to set session_replication_role, usually postgres"
      : "";
    throw new BackupError(
      `Cannot restore ${at} from ${backup.folder}: ${
        (error as Error).message
      }${advice}. Every table is as it was`,
      { cause: error },
    );
  }
}

/** The table as it is now, if it has the columns that it had. */
function targetFor(saved: TableBackup, tables: readonly Table[]): Table {
  const target = tables.find(({ name }) => name === saved.name);
  if (target === undefined) {
    throw new Error("there is no such table; a rollback file makes it again");
  }
  const now = new Map(target.columns.map((column) => [column.name, column]));
  const unlike = saved.columns.flatMap(({ name, type, generated }) => {
    const is = now.get(name);
    // A computed one is not in the backup: the database fills it, or it is gone.
    if (generated ? !is || is.generated : is?.type === type && !is.generated) {
      return [];
    }
    const words = (each: Pick<Column, "type" | "generated">) =>
      `${each.generated ? "computed " : ""}${each.type}`;
    return `${name} was ${words({ type, generated })}, is ${
      is ? words(is) : "missing"
    }`;
  });
  if (unlike.length === 0) return target;
  throw new Error(
    `it has other columns than the backup: ${unlike.join("; ")}`,
  );
}

async function fill(
  { client, query }: Session,
  { folder }: Backup,
  saved: TableBackup,
  target: Table,
): Promise<void> {
  const columns = keptColumns(saved);
  // Off for this transaction: a delete must not reach other tables through
  // foreign keys, and no trigger may act on rows that are not news.
  await query("set local session_replication_role = replica");
  await query(`lock table ${target.name} in access exclusive mode`);
  // These fire all the same.
  const stubborn = await query<{ name: string; mode: string }>(
    `select tgname as name, case tgenabled when 'A' then 'always' else 'replica' end as mode
     from pg_catalog.pg_trigger
     where tgrelid = $1::regclass and not tgisinternal and tgenabled in ('A', 'R')`,
    [target.name],
  );
  for (const { name } of stubborn) {
    await query(
      `alter table only ${target.name} disable trigger ${quoted(name)}`,
    );
  }
  // Checks, indexes and computed columns may call what finds its way by it.
  await query("set local search_path to default");
  await query(`delete from only ${target.name}`);
  const copy = copyTarget(target.name, columns);
  await pipeline(
    createReadStream(join(folder, saved.file)),
    client.query(from(`copy ${copy} from stdin with (header match)`)),
  );
  // A trigger looks whether they hold, and none fires.
  const unchecked = await query<{ name: string }>(
    "select indexrelid::regclass::text as name from pg_catalog.pg_index where indrelid = $1::regclass and not indimmediate",
    [target.name],
  );
  for (const { name } of unchecked) await query(`reindex index ${name}`);
  await query("set local search_path = ''");
  await query("set local session_replication_role = origin");
  for (const { name, mode } of stubborn) {
    await query(
      `alter table only ${target.name} enable ${mode} trigger ${quoted(name)}`,
    );
  }
  const now = await sumTable(query, target.name, columns);
  if (now.rows !== saved.rows || now.checksum !== saved.checksum) {
    throw new Error(
      `the backup is damaged: it should hold ${saved.rows} rows with the checksum ${saved.checksum}, and holds ${now.rows} with ${now.checksum}`,
    );
  }
  // A number that was given once is not given again: one may have been while the
  // lock was waited for.
  for (const { column, name, last } of saved.sequences) {
    const ofColumn = target.sequences.filter((each) => each.column === column);
    const sequence = ofColumn.find((each) => each.name === name) ?? ofColumn[0];
    if (last === null || sequence === undefined) continue;
    await query(
      `select setval(seqrelid, case when seqincrement > 0
         then greatest($2::bigint, pg_sequence_last_value(seqrelid))
         else least($2::bigint, pg_sequence_last_value(seqrelid)) end)
       from pg_catalog.pg_sequence where seqrelid = $1::regclass`,
      [sequence.name, last],
    );
  }
}

// `match simple`, the default: a row with a null among the columns refers to nothing.
//
// What a foreign key to or of a partitioned table has for each partition is not looked at: a row refers to
// one of them. Compared by the key's own operators, which the empty search path does not find.
const FOREIGN_KEYS = `
select f.conname as name, f.conrelid::regclass::text as child,
  format(
    'select count(*)::float8 as rows from %s%s as c where %s and not exists (select from %s%s as p where %s)',
    case child.relkind when 'r' then 'only ' end, f.conrelid::regclass,
    string_agg(format('c.%I is not null', ca.attname), ' and '),
    case parent.relkind when 'r' then 'only ' end, f.confrelid::regclass,
    string_agg(format('p.%I operator(%I.%s) c.%I', pa.attname, n.nspname, o.oprname, ca.attname), ' and ')
  ) as orphans
from pg_catalog.pg_constraint as f
join pg_catalog.pg_class as child on child.oid = f.conrelid
join pg_catalog.pg_class as parent on parent.oid = f.confrelid
cross join lateral unnest(f.conkey, f.confkey, f.conpfeqop) as k(child, parent, equal)
join pg_catalog.pg_attribute as ca on ca.attrelid = f.conrelid and ca.attnum = k.child
join pg_catalog.pg_attribute as pa on pa.attrelid = f.confrelid and pa.attnum = k.parent
join pg_catalog.pg_operator as o on o.oid = k.equal
join pg_catalog.pg_namespace as n on n.oid = o.oprnamespace
where f.contype = 'f' and f.convalidated and f.conparentid = 0
  and exists (
    select from (select $1::regclass as oid union all select relid from pg_partition_ancestors($1::regclass)) as a
    where a.oid in (f.conrelid, f.confrelid)
  )
group by f.oid, f.conname, f.conrelid, f.confrelid, child.relkind, parent.relkind`;

/** Foreign keys to and from a table that some rows do not obey, in words. */
async function brokenReferences(
  query: RunQuery,
  table: string,
): Promise<string[]> {
  const broken: string[] = [];
  const keys = await query<{ name: string; child: string; orphans: string }>(
    FOREIGN_KEYS,
    [table],
  );
  for (const { name, child, orphans } of keys) {
    const [row] = await query<{ rows: number }>(orphans);
    if (row && row.rows > 0) {
      broken.push(`${name} by ${row.rows} rows of ${child}`);
    }
  }
  return broken;
}
