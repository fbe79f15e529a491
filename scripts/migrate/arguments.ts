import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import type { BackupMethod } from "./backup.ts";
import { MigrationRefusedError } from "./errors.ts";
import type { ExecuteOptions } from "./execute_migration.ts";

/** How the command is called where it runs. */
const CALLED = process.argv[1]?.endsWith(".ts")
  ? "deno task migrate"
  : "supabase-idempotency migrate";

/** What `--help` prints. */
export const USAGE = `${CALLED} [status | restore FOLDER] [options]

  migrate                back up, apply what is pending, verify
  migrate --dry-run      the same in a transaction that is rolled back
  migrate --verify       is the database what the applied files say?
  migrate --rollback     take the last one back; with --to, all that are newer
  migrate status         files and database, side by side
  migrate restore FOLDER put tables back to what a backup holds

  --database-url URL     the database; better kept out of the list of processes, in DATABASE_URL
  --to VERSION           last version to apply, or to keep; --rollback --to 0 keeps none
  --include-all          also those older than the last one applied
  --on-failure keep      leave what the same run applied before a failure; undo is the default
  --backup METHOD        auto (pg_dump where it fits the server, else copy), pg_dump, copy, none
  --backup-dir FOLDER    .backups of the project by default
  --table SCHEMA.TABLE   with restore: only this one; may be repeated
  --wait SECONDS         for another runner; 60 by default
  --project DIR          the folder that holds supabase/; the working folder by default
  --supabase-dir FOLDER  of migrations/, rollback/ and verify/; supabase of the project by default
  --json                 one JSON document on standard output, progress on standard error

Exit codes: 0 done; 1 failed, and the database is as it was; 2 refused, nothing was begun;
3 another runner is at it; 4 a verification does not hold; 5 failed, and not all of it
could be undone`;

const METHODS: readonly string[] = ["auto", "pg_dump", "copy", "none"];

/** A command line, read. */
export type Arguments =
  | { kind: "help" }
  | (
    & { options: MigrateOptions; json: boolean }
    & (
      | {
        kind:
          | "run"
          | "dry run"
          | "verify"
          | "roll back"
          | "dry roll back"
          | "status";
      }
      | { kind: "restore"; backup: string; tables: string[] }
    )
  );

/**
 * Reads the command line.
 *
 * @throws {MigrationRefusedError} saying what is wrong with it
 */
export function readArguments(args: string[]): Arguments {
  const { values, positionals } = parse(args);
  if (values.help) return { kind: "help" };
  const [command, folder, ...more] = positionals;
  const verbs = [
    command,
    values.verify ? "--verify" : undefined,
    values.rollback ? "--rollback" : undefined,
  ].filter((verb) => verb !== undefined);
  if (verbs.length > 1) refuse(`choose one of ${verbs.join(", ")}`);
  if (values["dry-run"] && (command !== undefined || values.verify)) {
    refuse(`--dry-run does not go with ${verbs[0]}`);
  }
  const common = { options: options(values), json: values.json };
  if (command === "restore") {
    if (folder === undefined || more.length > 0) {
      refuse("name one folder of a backup to restore from");
    }
    return {
      kind: "restore",
      backup: folder,
      tables: values.table,
      ...common,
    };
  }
  if (folder !== undefined || (command ?? "status") !== "status") {
    refuse(`unknown command ${positionals.join(" ")}`);
  }
  if (values.table.length > 0) refuse("--table goes with restore only");
  if (command === "status") return { kind: "status", ...common };
  if (values.verify) return { kind: "verify", ...common };
  const kind = values.rollback
    ? values["dry-run"] ? "dry roll back" as const : "roll back" as const
    : values["dry-run"]
    ? "dry run" as const
    : "run" as const;
  return { kind, ...common };
}

type Values = ReturnType<typeof parse>["values"];

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        "database-url": { type: "string" },
        "project": { type: "string", default: "." },
        "supabase-dir": { type: "string" },
        "backup": { type: "string", default: "auto" },
        "backup-dir": { type: "string" },
        "on-failure": { type: "string", default: "undo" },
        "include-all": { type: "boolean", default: false },
        "dry-run": { type: "boolean", default: false },
        "verify": { type: "boolean", default: false },
        "rollback": { type: "boolean", default: false },
        "json": { type: "boolean", default: false },
        "help": { type: "boolean", short: "h", default: false },
        "table": { type: "string", multiple: true, default: [] },
        "to": { type: "string" },
        "wait": { type: "string", default: "60" },
      },
    });
  } catch (error) {
    refuse((error as Error).message);
  }
}

function options(values: Values): MigrateOptions {
  const databaseUrl = values["database-url"] ?? process.env.DATABASE_URL;
  if (!databaseUrl) refuse("no database: set DATABASE_URL or --database-url");
  const seconds = Number(values.wait);
  if (!(seconds >= 0 && seconds <= 86_400)) {
    refuse(`--wait takes 0 to 86400 seconds, found ${values.wait}`);
  }
  if (!METHODS.includes(values.backup)) {
    refuse(`--backup takes ${METHODS.join(", ")}, found ${values.backup}`);
  }
  const onFailure = values["on-failure"];
  if (onFailure !== "undo" && onFailure !== "keep") {
    refuse(`--on-failure takes undo or keep, found ${onFailure}`);
  }
  return {
    databaseUrl,
    backup: values.backup as BackupMethod,
    onFailure,
    includeAll: values["include-all"],
    waitMs: seconds * 1000,
    ...(values.to === undefined ? {} : { to: values.to }),
    backupDir: values["backup-dir"] ?? join(values.project, ".backups"),
    supabaseDir: values["supabase-dir"] ?? join(values.project, "supabase"),
  };
}

function refuse(message: string): never {
  throw new MigrationRefusedError(`${message}; see ${CALLED} --help`);
}

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
