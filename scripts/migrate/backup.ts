import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import type { RunQuery } from "../stack/database.ts";
import type { ResolvedOptions } from "./arguments.ts";
import {
  copyOut,
  createRowSum,
  EXACT_TEXT,
  linesOf,
  readCopyLine,
  type RowSum,
} from "./copy.ts";
import { BackupError, codeOf, MigrationRefusedError } from "./errors.ts";
import { readHistory } from "./history.ts";
import { inTransaction, type Session, timed } from "./session.ts";
import { countRows, projectTables, quoted, type Table } from "./tables.ts";

/** How to back up: `auto` takes `pg_dump` where one fits the server. */
export type BackupMethod = "auto" | "pg_dump" | "copy" | "none";

/** What `manifest.json` says; it is written last, so that one means a whole backup. */
export interface Manifest {
  format: 1;
  createdAt: string;
  database: string;
  serverVersion: number;
  method: "pg_dump" | "copy";
  /** Versions of the migrations that were recorded. */
  recorded: string[];
  tables: TableBackup[];
}

/** A backup on disk. */
export interface Backup extends Manifest {
  folder: string;
}

// Reading waits only for those who are changing a table's shape: better told
// soon than waited for until they go home.
const LOCK_TIMEOUT = "10s";
const MANIFEST = "manifest.json";
const DUMP = "database.dump";

/**
 * Backs the project's tables up into a new folder, all as one snapshot sees
 * them. Nobody else may read it: folders have mode 0700, files 0600.
 *
 * @returns `null` where the project has no tables yet
 * @throws {BackupError} also where there is no room or no right to write
 */
export async function backUp(
  session: Session,
  databaseUrl: string,
  options: { folder: string; method: Exclude<BackupMethod, "none"> },
): Promise<Backup | null> {
  const pgDump = options.method === "copy"
    ? null
    : await findPgDump(session.serverVersion);
  if (options.method === "pg_dump" && pgDump === null) {
    throw new MigrationRefusedError(
      `Cannot back up: no pg_dump of version ${session.serverVersion} or newer in PG_BIN, on PATH or under /usr/lib/postgresql; --backup copy does without it`,
    );
  }
  return await inTransaction(session, async () => {
    await session.query(EXACT_TEXT);
    await session.query(`set local lock_timeout = '${LOCK_TIMEOUT}'`);
    const tables = await projectTables(session.query);
    if (tables.length === 0) return null;
    const folder = await newFolder(options.folder);
    const manifest = await writeTables(
      session,
      databaseUrl,
      tables,
      folder,
      pgDump,
    );
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
  { backup: method, backupDir, databaseUrl, log }: ResolvedOptions,
): Promise<Backup | null> {
  if (method === "none") {
    log("backup     none, as asked");
    return null;
  }
  const time = timed();
  const backup = await backUp(session, databaseUrl, {
    folder: backupDir,
    method,
  });
  const rows = backup?.tables.reduce((sum, table) => sum + table.rows, 0);
  log(
    backup === null
      ? "backup     none: the project has no tables yet"
      : `backup     ${backup.folder} (${backup.method}, ${backup.tables.length} tables, ${rows} rows) ${time()}`,
  );
  return backup;
}

async function writeTables(
  session: Session,
  databaseUrl: string,
  tables: Table[],
  folder: string,
  pgDump: PgDump | null,
): Promise<Manifest> {
  const backups: TableBackup[] = [];
  for (const table of tables) {
    backups.push(
      pgDump === null ? await backupCollection(session, table, folder) : {
        ...table,
        rows: await countRows(session.query, table.name),
        checksum: null,
        file: DUMP,
      },
    );
  }
  if (pgDump !== null) {
    const [row] = await session.query<{ snapshot: string }>(
      "select pg_export_snapshot() as snapshot",
    );
    await runPgDump(pgDump, databaseUrl, {
      schemas: [...new Set(tables.map(({ schema }) => schema))],
      snapshot: row!.snapshot,
      path: join(folder, DUMP),
    });
  }
  const recorded = await readHistory(session.query);
  return {
    format: 1,
    createdAt: new Date().toISOString(),
    database: await databaseName(session.query),
    serverVersion: session.serverVersion,
    method: pgDump === null ? "copy" : "pg_dump",
    recorded: recorded.map(({ version }) => version),
    tables: backups,
  };
}

async function databaseName(query: RunQuery): Promise<string> {
  const [row] = await query<{ name: string }>(
    "select current_database() as name",
  );
  return row!.name;
}

async function newFolder(parent: string): Promise<string> {
  const stamp = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "");
  try {
    await mkdir(parent, { recursive: true, mode: 0o700 });
    for (let twin = 1;; twin++) {
      const folder = join(parent, twin === 1 ? stamp : `${stamp}-${twin}`);
      try {
        await mkdir(folder, { mode: 0o700 });
        return folder;
      } catch (error) {
        if (codeOf(error) !== "EEXIST") throw error;
      }
    }
  } catch (error) {
    throw new BackupError(
      `Cannot make a folder for the backup in ${parent}: ${
        (error as Error).message
      }; name another with --backup-dir`,
      { cause: error },
    );
  }
}

/**
 * Reads what a backup holds.
 *
 * @throws {MigrationRefusedError} where there is none, or one that was interrupted
 */
export async function readBackup(folder: string): Promise<Backup> {
  let text: string;
  try {
    text = await readFile(join(folder, MANIFEST), "utf8");
  } catch (error) {
    throw new MigrationRefusedError(
      `Cannot read the backup in ${folder}: there is no ${MANIFEST}. Its last file is missing where a backup was interrupted`,
      { cause: error },
    );
  }
  return { ...JSON.parse(text) as Manifest, folder };
}

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

const LOCK_WAIT_MS = 10_000;

const execute = promisify(execFile);

/** A `pg_dump` and its `pg_restore`. */
interface PgDump {
  folder: string;
  version: number;
}

/**
 * Finds a `pg_dump` that can read a server of this version: in `PG_BIN`, on
 * `PATH`, or under `/usr/lib/postgresql`. `null` when there is none.
 *
 * @param atLeast Major version of the server.
 */
export async function findPgDump(atLeast: number): Promise<PgDump | null> {
  const named = process.env.PG_BIN;
  const folders = named ? [named] : [
    ...(process.env.PATH ?? "").split(delimiter).filter(Boolean),
    ...debianFolders(),
  ];
  for (const folder of folders) {
    const version = await versionOf(join(folder, "pg_dump"));
    const complete = await versionOf(join(folder, "pg_restore")) !== null;
    if (version !== null && version >= atLeast && complete) {
      return { folder, version };
    }
  }
  return null;
}

function debianFolders(): string[] {
  try {
    return readdirSync("/usr/lib/postgresql")
      .sort((a, b) => Number(b) - Number(a))
      .map((name) => `/usr/lib/postgresql/${name}/bin`);
  } catch {
    return [];
  }
}

async function versionOf(program: string): Promise<number | null> {
  try {
    const { stdout } = await execute(program, ["--version"]);
    const version = /\) (\d+)/.exec(stdout)?.[1];
    return version === undefined ? null : Number(version);
  } catch {
    return null;
  }
}

/**
 * Dumps schemas into `path`, mode 0600, as another session's snapshot sees them.
 *
 * @throws {BackupError} with what pg_dump said
 */
async function runPgDump(
  { folder }: PgDump,
  databaseUrl: string,
  options: { schemas: readonly string[]; snapshot: string; path: string },
): Promise<void> {
  // Made beforehand for its mode: pg_dump keeps that of a file that is there.
  await writeFile(options.path, "", {
    flag: "wx",
    mode: 0o600,
  }).catch((error) => {
    throw new BackupError(
      `Cannot write the backup to ${options.path}: ${error.message}`,
      { cause: error },
    );
  });
  const url = new URL(databaseUrl);
  // Other users of this machine see arguments, not the environment.
  const password = decodeURIComponent(url.password);
  url.password = "";
  await execute(join(folder, "pg_dump"), [
    "--format=custom",
    "--no-password",
    `--lock-wait-timeout=${LOCK_WAIT_MS}`,
    `--snapshot=${options.snapshot}`,
    ...options.schemas.map((name) =>
      `--schema="${name.replaceAll('"', '""')}"`
    ),
    `--file=${options.path}`,
    `--dbname=${url.href}`,
  ], {
    env: {
      ...process.env,
      PGTZ: "UTC",
      ...(password ? { PGPASSWORD: password } : {}),
    },
  }).catch((error) => {
    throw new BackupError(
      `Cannot back up with pg_dump: ${
        (error.stderr || error.message).trim()
      }; --backup copy does without it`,
      { cause: error },
    );
  });
}

/** Reads the rows of a table out of a dump, as lines of COPY's text format. */
export async function* dumpedRows(
  { folder }: PgDump,
  path: string,
  { schema, table }: TableBackup,
): AsyncGenerator<string> {
  const child = spawn(join(folder, "pg_restore"), [
    "--data-only",
    `--schema=${schema}`,
    `--table=${table}`,
    "--file=-",
    path,
  ], { stdio: ["ignore", "pipe", "pipe"] });
  const complaint = text(child.stderr);
  const exit = once(child, "close");
  exit.catch(() => {});
  let inside = false;
  for await (const line of linesOf(child.stdout)) {
    if (!inside) inside = /^COPY .* FROM stdin;$/.test(line);
    else if (line === "\\.") inside = false;
    else yield line;
  }
  const [code] = await exit;
  if (code !== 0) {
    throw new BackupError(
      `Cannot read ${path} with pg_restore: ${(await complaint).trim()}`,
    );
  }
  await complaint;
}
