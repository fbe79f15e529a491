import { open } from "node:fs/promises";
import { join } from "node:path";
import { copyOut } from "./copy.ts";
import { createRowSum, readCopyLine, type RowSum } from "./copy_text.ts";
import { BackupError } from "./errors.ts";
import type { Session } from "./session.ts";
import { quoted, type Table } from "./tables.ts";

/** What a backup holds of one table. */
export interface TableBackup extends Table {
  rows: number;
  /** See {@link RowSum}; null where `pg_dump` read the table, not we. */
  checksum: string | null;
  /** Name of the file in the backup's folder. */
  file: string;
}

const FLUSH_CHARACTERS = 1 << 16;

/** The columns that are kept: all that the database does not compute. */
export function keptColumns(table: Pick<Table, "columns">): string[] {
  return table.columns.filter(({ generated }) => !generated)
    .map(({ name }) => name);
}

/** What `copy` is told of a table. */
export function copyTarget(name: string, columns: readonly string[]): string {
  return columns.length === 0
    ? name
    : `${name} (${columns.map(quoted).join(", ")})`;
}

/**
 * Writes a table as JSON Lines, mode 0600: an object a row, each value as the
 * text that Postgres itself reads back exactly, or null.
 *
 * Belongs into a transaction with the settings of `EXACT_TEXT`, repeatable read
 * where other tables are to fit.
 *
 * @throws {BackupError} naming the table
 */
export async function backupCollection(
  session: Session,
  table: Table,
  folder: string,
): Promise<TableBackup> {
  const name = `${encodeURIComponent(table.name)}.jsonl`;
  try {
    const sum = await writeRows(session, table, join(folder, name));
    return { ...table, ...sum, file: name };
  } catch (error) {
    throw new BackupError(
      `Cannot back up ${table.name}: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

async function writeRows(
  session: Session,
  table: Table,
  path: string,
): Promise<RowSum> {
  const columns = keptColumns(table);
  const sum = createRowSum();
  const file = await open(path, "wx", 0o600);
  try {
    let text = "";
    const flush = async () => {
      await file.appendFile(text);
      text = "";
    };
    const copy = `copy ${copyTarget(table.name, columns)} to stdout`;
    for await (const line of copyOut(session.client, copy)) {
      sum.add(line);
      const values = readCopyLine(line, columns.length);
      const row = columns.map((column, i) => [column, values[i]]);
      text += `${JSON.stringify(Object.fromEntries(row))}\n`;
      if (text.length > FLUSH_CHARACTERS) await flush();
    }
    await flush();
    await file.datasync();
  } finally {
    await file.close();
  }
  return sum.sum();
}

/** Adds up the rows that a table holds now, as `backupCollection` does. */
export async function sumTable(
  session: Session,
  name: string,
  columns: readonly string[],
): Promise<RowSum> {
  const sum = createRowSum();
  const copy = `copy ${copyTarget(name, columns)} to stdout`;
  for await (const line of copyOut(session.client, copy)) sum.add(line);
  return sum.sum();
}
