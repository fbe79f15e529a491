import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { linesOf } from "./copy_text.ts";
import { BackupError } from "./errors.ts";
import type { TableBackup } from "./backup_collection.ts";

const LOCK_WAIT_MS = 10_000;

const execute = promisify(execFile);

/** A `pg_dump` and its `pg_restore`. */
export interface PgDump {
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
export async function runPgDump(
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
