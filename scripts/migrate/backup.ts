import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunQuery } from "../stack/database.ts";
import { backupCollection, type TableBackup } from "./backup_collection.ts";
import { EXACT_TEXT } from "./copy_text.ts";
import { BackupError, codeOf, MigrationRefusedError } from "./errors.ts";
import { readHistory } from "./history.ts";
import { findPgDump, type PgDump, runPgDump } from "./pg_dump.ts";
import { inTransaction, type Session } from "./session.ts";
import { countRows, projectTables, type Table } from "./tables.ts";

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
