import { createReadStream } from "node:fs";
import { join } from "node:path";
import type { RunQuery } from "../stack/database.ts";
import { type MigrateOptions, resolveOptions } from "./arguments.ts";
import {
  type Backup,
  copyTarget,
  dumpedRows,
  findPgDump,
  keptColumns,
  readBackup,
  sumTable,
  type TableBackup,
} from "./backup.ts";
import {
  copyIn,
  createRowSum,
  EXACT_TEXT,
  linesOf,
  type RowSum,
  writeCopyLine,
} from "./copy.ts";
import { BackupError, sqlStateOf } from "./errors.ts";
import { inTransaction, type Session, withLockedSession } from "./session.ts";
import { countRows, projectTables, type Table } from "./tables.ts";

// Longer than a migration may wait: whoever restores has no traffic to spare.
const LOCK_TIMEOUT = "30s";

/**
 * Puts a table back to what a backup holds of it, in one transaction. Rows that
 * came later are gone then. Count, checksum and foreign keys are verified
 * before the commit; triggers do not fire.
 *
 * @param name Schema and name of the table in the backup.
 * @param into Another table to fill, which has to be empty. @default the same
 * @returns how many rows the table has now
 * @throws {BackupError} and the table is as it was
 */
export async function restoreCollection(
  session: Session,
  backup: Backup,
  name: string,
  into: string = name,
): Promise<number> {
  return await restore(session, backup, [{ name, into }]);
}

/**
 * Puts tables back together, in one transaction: tables that refer to each
 * other fit only together.
 *
 * @returns how many rows they have now
 * @throws {BackupError} and each table is as it was
 */
export async function restoreCollections(
  session: Session,
  backup: Backup,
  names: readonly string[],
): Promise<number> {
  return await restore(
    session,
    backup,
    names.map((name) => ({ name, into: name })),
  );
}

async function restore(
  session: Session,
  backup: Backup,
  tables: readonly { name: string; into: string }[],
): Promise<number> {
  let at = "";
  try {
    return await inTransaction(session, async () => {
      await session.query(EXACT_TEXT);
      await session.query(`set local lock_timeout = '${LOCK_TIMEOUT}'`);
      let rows = 0;
      for (const { name, into } of tables) {
        at = into;
        const saved = savedTable(backup, name);
        const target = await findTarget(session, saved, into);
        await fill(session, backup, saved, target);
        rows += saved.rows;
      }
      for (const { into } of tables) {
        at = into;
        await refuseBrokenReferences(session, into);
      }
      return rows;
    });
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

function savedTable(backup: Backup, name: string): TableBackup {
  const saved = backup.tables.find((table) => table.name === name);
  if (saved !== undefined) return saved;
  const names = backup.tables.map((table) => table.name).join(", ");
  throw new Error(`the backup does not have it; it has ${names}`);
}

async function refuseBrokenReferences(
  session: Session,
  table: string,
): Promise<void> {
  const broken = await brokenReferences(session.query, table);
  if (broken.length === 0) return;
  throw new Error(
    `foreign keys would be broken: ${
      broken.join("; ")
    }. Restore those tables together with it`,
  );
}

async function findTarget(
  session: Session,
  saved: TableBackup,
  into: string,
): Promise<Table> {
  const target = (await projectTables(session.query))
    .find((table) => table.name === into);
  if (target === undefined) {
    throw new Error("there is no such table; a rollback file makes it again");
  }
  const now = new Map(target.columns.map((column) => [column.name, column]));
  const unlike = saved.columns.filter(({ name, type, generated }) =>
    !generated && (now.get(name)?.type !== type || now.get(name)?.generated)
  );
  if (unlike.length > 0) {
    throw new Error(
      `it has other columns than the backup: ${
        unlike.map(({ name, type }) =>
          `${name} was ${type}, is ${now.get(name)?.type ?? "missing"}`
        ).join("; ")
      }`,
    );
  }
  if (into !== saved.name) {
    const rows = await countRows(session.query, into);
    if (rows > 0) throw new Error(`it is not empty, it has ${rows} rows`);
  }
  return target;
}

async function fill(
  session: Session,
  backup: Backup,
  saved: TableBackup,
  target: Table,
): Promise<void> {
  const columns = keptColumns(saved);
  const before = createRowSum();
  const rows = backup.method === "copy"
    ? writtenRows(backup, saved)
    : dumped(backup, saved);
  // Off for this transaction: a delete must not reach other tables through
  // foreign keys, and no trigger may act on rows that are not news.
  await session.query("set local session_replication_role = replica");
  await session.query(`lock table ${target.name} in access exclusive mode`);
  await session.query(`delete from only ${target.name}`);
  await copyIn(
    session.client,
    `copy ${copyTarget(target.name, columns)} from stdin`,
    summed(rows, before.add),
  );
  await session.query("set local session_replication_role = origin");
  const read = before.sum();
  const now = await sumTable(session, target.name, columns);
  if (
    read.rows !== saved.rows ||
    (saved.checksum ?? read.checksum) !== read.checksum
  ) {
    throw new Error(
      `the backup is damaged: it should hold ${described(saved)}, and holds ${
        described(read)
      }`,
    );
  }
  if (now.rows !== read.rows || now.checksum !== read.checksum) {
    throw new Error(
      `the table came back with ${described(now)} instead of ${
        described(read)
      }`,
    );
  }
  await moveSequences(session, saved, target);
}

function described({ rows, checksum }: RowSum | TableBackup): string {
  return `${rows} rows${checksum ? ` (${checksum.slice(0, 12)}…)` : ""}`;
}

async function* summed(
  rows: AsyncIterable<string>,
  add: (line: string) => void,
): AsyncGenerator<string> {
  for await (const line of rows) {
    add(line);
    yield line;
  }
}

async function* writtenRows(
  backup: Backup,
  saved: TableBackup,
): AsyncGenerator<string> {
  const columns = keptColumns(saved);
  const file = createReadStream(join(backup.folder, saved.file));
  for await (const line of linesOf(file)) {
    const row = JSON.parse(line) as Record<string, string | null>;
    yield writeCopyLine(columns.map((column) => {
      const value = row[column];
      if (value === undefined) {
        throw new Error(`the backup is damaged: a row lacks ${column}`);
      }
      return value;
    }));
  }
}

async function* dumped(
  backup: Backup,
  saved: TableBackup,
): AsyncGenerator<string> {
  const pgDump = await findPgDump(backup.serverVersion);
  if (pgDump === null) {
    throw new Error(
      `reading it takes a pg_restore of version ${backup.serverVersion} or newer`,
    );
  }
  yield* dumpedRows(pgDump, join(backup.folder, saved.file), saved);
}

/** A number that was given once is not given again. */
async function moveSequences(
  session: Session,
  saved: TableBackup,
  target: Table,
): Promise<void> {
  for (const [index, { last }] of saved.sequences.entries()) {
    const sequence = target.sequences[index];
    if (last === null || sequence === undefined) continue;
    if (sequence.last !== null && BigInt(sequence.last) >= BigInt(last)) {
      continue;
    }
    await session.query("select setval($1::regclass, $2::bigint)", [
      sequence.name,
      last,
    ]);
  }
}

// `match simple`, the default: a row with a null among the columns refers to nothing.
const FOREIGN_KEYS = `
select f.conname as name, f.conrelid::regclass::text as child,
  format(
    'select count(*)::float8 as rows from %s as c where %s and not exists (select from %s as p where %s)',
    f.conrelid::regclass,
    string_agg(format('c.%I is not null', ca.attname), ' and '),
    f.confrelid::regclass,
    string_agg(format('p.%I = c.%I', pa.attname, ca.attname), ' and ')
  ) as orphans
from pg_catalog.pg_constraint as f
cross join lateral unnest(f.conkey, f.confkey) as k(child, parent)
join pg_catalog.pg_attribute as ca on ca.attrelid = f.conrelid and ca.attnum = k.child
join pg_catalog.pg_attribute as pa on pa.attrelid = f.confrelid and pa.attnum = k.parent
where f.contype = 'f' and f.convalidated and $1::regclass in (f.conrelid, f.confrelid)
group by f.oid, f.conname, f.conrelid, f.confrelid`;

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

/** What was restored. */
export interface RestoreReport {
  tables: string[];
  rows: number;
}

/**
 * Puts tables back to what a backup holds, together or not at all.
 *
 * @param tables Their names with schema. @default all that the backup has
 */
export async function restoreBackup(
  given: MigrateOptions,
  folder: string,
  tables: readonly string[] = [],
): Promise<RestoreReport> {
  const options = resolveOptions(given);
  const backup = await readBackup(folder);
  const names = tables.length > 0
    ? [...tables]
    : backup.tables.map(({ name }) => name);
  return await withLockedSession(options, async (session) => ({
    tables: names,
    rows: await restoreCollections(session, backup, names),
  }));
}
