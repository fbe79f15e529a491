import { resolve } from "node:path";
import type { BackupMethod } from "./backup.ts";
import type { ExecuteOptions } from "./execute_migration.ts";

/** How to migrate. */
export interface MigrateOptions
  extends Pick<ExecuteOptions, "lockTimeoutMs" | "lockRetries"> {
  /** The database, as the role that owns the project's objects. */
  databaseUrl: string;
  /** The folder of `migrations/`, `rollback/` and `verify/`. @default `supabase` in the working folder */
  supabaseDir?: string;
  /** Last version to apply; with `rollBack` the last one to keep. @default all of them; the one before the last */
  to?: string;
  /** Also applies migrations that are older than the last one applied. @default false */
  includeAll?: boolean;
  /** How to back up beforehand. @default "auto" */
  backup?: BackupMethod;
  /** Folder that receives a folder for each backup. @default `.backups` in the working folder */
  backupDir?: string;
  /** Whether a failure takes back what the same run applied before it. @default "undo" */
  onFailure?: "undo" | "keep";
  /** How long to wait for another runner, in milliseconds. @default 60000 */
  waitMs?: number;
  /** Receives progress, a line at a time. @default nobody */
  log?: (line: string) => void;
}

/** Options with their defaults. */
export type ResolvedOptions = MigrateOptions & {
  supabaseDir: string;
  backup: BackupMethod;
  backupDir: string;
  waitMs: number;
  log: (line: string) => void;
};

const WAIT_MS = 60_000;

/** Fills the defaults in. */
export function resolveOptions(options: MigrateOptions): ResolvedOptions {
  return {
    ...options,
    supabaseDir: resolve(options.supabaseDir ?? "supabase"),
    backup: options.backup ?? "auto",
    backupDir: resolve(options.backupDir ?? ".backups"),
    waitMs: options.waitMs ?? WAIT_MS,
    log: options.log ?? (() => {}),
  };
}

/** The part of the options that running a single file needs. */
export function executeOptions(options: ResolvedOptions): ExecuteOptions {
  const { databaseUrl, lockTimeoutMs, lockRetries, log } = options;
  return {
    databaseUrl,
    ...(lockTimeoutMs === undefined ? {} : { lockTimeoutMs }),
    ...(lockRetries === undefined ? {} : { lockRetries }),
    warn: (message) => log(`warning    ${message}`),
  };
}
