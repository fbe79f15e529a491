import { createReadStream } from "node:fs";
import { join } from "node:path";
import type { Backup } from "./backup.ts";
import {
  copyTarget,
  keptColumns,
  sumTable,
  type TableBackup,
} from "./backup_collection.ts";
import { copyIn } from "./copy.ts";
import {
  createRowSum,
  EXACT_TEXT,
  linesOf,
  type RowSum,
  writeCopyLine,
} from "./copy_text.ts";
import { BackupError, sqlStateOf } from "./errors.ts";
import { brokenReferences } from "./references.ts";
import { dumpedRows, findPgDump } from "./pg_dump.ts";
import { inTransaction, type Session } from "./session.ts";
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
