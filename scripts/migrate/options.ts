import { resolve } from "node:path";
import process from "node:process";
import { MigrationRefusedError } from "./errors.ts";

/** Where to migrate, and how. */
export interface MigrateOptions {
  /** The database, as the role that owns the project's objects. @default `DATABASE_URL` */
  databaseUrl?: string;
  /** The folder of `migrations/`, `rollback/` and `verify/`. @default `supabase` in the working folder */
  supabaseDir?: string;
  /** Rolls everything back in the end; takes no backup. @default false */
  dryRun?: boolean;
  /** Last version to apply; to roll back to, the last one to keep. @default all of them; the one before the last */
  to?: string;
  /** Also applies migrations that are older than the last one applied. @default false */
  includeAll?: boolean;
  /** Tables to back up beforehand. @default all of the project */
  backupCollections?: readonly string[];
  /** Backs nothing up. @default false */
  skipBackup?: boolean;
  /** Folder that receives a folder for each backup. @default `.backups` in the working folder */
  backupDir?: string;
  /**
   * What a failure does: takes back what the same run applied before it, keeps
   * it, or goes on with the next migration. @default "undo"
   */
  onFailure?: "undo" | "keep" | "go on";
  /** How long to wait for another runner, in milliseconds. @default 60000 */
  waitMs?: number;
  /**
   * How long a statement may wait for a lock, in milliseconds. While it waits,
   * everybody else waits behind it, and Supabase ends the statements of `anon`
   * after 3 seconds: by then we have given up. @default 2000
   */
  lockTimeoutMs?: number;
  /** How often to try again when a lock was not to be had. @default 5 */
  lockRetries?: number;
  /** Receives progress, a line at a time. @default nobody */
  log?: (line: string) => void;
}

/** Options with their defaults. */
export type Options =
  & Required<Omit<MigrateOptions, "to" | "backupCollections">>
  & Pick<MigrateOptions, "to" | "backupCollections">;

/**
 * Fills the defaults in.
 *
 * @throws {MigrationRefusedError} where no database is named
 */
export function resolveOptions(given: MigrateOptions): Options {
  const databaseUrl = given.databaseUrl ?? process.env["DATABASE_URL"];
  if (!databaseUrl) {
    throw new MigrationRefusedError(
      "Cannot migrate: no database; set DATABASE_URL or --database-url",
    );
  }
  return {
    dryRun: false,
    includeAll: false,
    skipBackup: false,
    onFailure: "undo",
    waitMs: 60_000,
    lockTimeoutMs: 2_000,
    lockRetries: 5,
    log: () => {},
    ...given,
    databaseUrl,
    supabaseDir: resolve(given.supabaseDir ?? "supabase"),
    backupDir: resolve(given.backupDir ?? ".backups"),
  };
}
