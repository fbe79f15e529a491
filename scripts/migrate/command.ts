import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { backUp, filesOf, restoreBackup } from "./backup.ts";
import {
  EXIT,
  exitCodeOf,
  MigrationRefusedError,
  RunFailedError,
} from "./errors.ts";
import { compare, readHistory, readRuns } from "./history.ts";
import { readMigrations, readRollbacks } from "./migration.ts";
import { type MigrateOptions, resolveOptions } from "./options.ts";
import { migrateProject, rollBack } from "./run_migrations.ts";
import { lockHolder, openSession } from "./session.ts";
import { verifyDatabase } from "./verify.ts";

/** How the command is called where it runs. */
const CALLED = process.argv[1]?.endsWith(".ts")
  ? "deno task migrate"
  : "supabase-idempotency migrate";

/** What `--help` prints. */
export const USAGE = `${CALLED} [status | backup | restore PATH] [options]

  migrate                back up, apply what is pending, verify
  migrate --dry-run      the same in a transaction that is rolled back
  migrate --verify       is the database what the applied files say?
  migrate --rollback     take the last one back; with --to, all that are newer
  migrate status         files and database, side by side, and what failed
  migrate backup         only the backup
  migrate restore PATH   put tables back to what a backup, or one file of it, holds

  --database-url URL     the database; better kept out of the list of processes, in DATABASE_URL
  --to VERSION           last version to apply, or to keep; --rollback --to 0 keeps none
  --include-all          also those older than the last one applied
  --on-failure keep      leave what the same run applied before a failure; undo is the default
  --on-failure go-on     leave it, and go on with the next file
  --table SCHEMA.TABLE   back up, or restore, only this one; may be repeated
  --skip-backup          back nothing up
  --backup-dir FOLDER    .backups of the project by default
  --wait SECONDS         for another runner; 60 by default
  --project DIR          the folder that holds supabase/; the working folder by default
  --supabase-dir FOLDER  of migrations/, rollback/ and verify/; supabase of the project by default
  --json                 one JSON document on standard output, progress on standard error

Exit codes: 0 done; 1 failed, and the database is as it was; 2 refused, nothing was begun;
3 another runner is at it; 4 a verification does not hold; 5 failed, and not all of it
could be undone`;

type Verb = "run" | "verify" | "roll back" | "status" | "backup" | "restore";

/** A command line, read. */
export interface Arguments {
  verb: Verb | "help";
  json: boolean;
  /** What to restore from. */
  path: string;
  options: MigrateOptions;
}

/**
 * Reads the command line.
 *
 * @throws {MigrationRefusedError} saying what is wrong with it
 */
export function readArguments(args: readonly string[]): Arguments {
  const { values, positionals } = parse(args);
  const [command, path, ...more] = positionals;
  const verbs = [
    command,
    values.verify ? "--verify" : undefined,
    values.rollback ? "--rollback" : undefined,
  ].filter((verb) => verb !== undefined);
  const verb = values.help ? "help" : verbOf(verbs);
  if (values["dry-run"] && !["run", "roll back"].includes(verb)) {
    refuse(`--dry-run does not go with ${verbs[0]}`);
  }
  if (verb === "restore" ? path === undefined || more.length > 0 : path) {
    refuse(
      verb === "restore"
        ? "name one folder of a backup, or one file in it, to restore from"
        : `unknown command ${positionals.join(" ")}`,
    );
  }
  if (values.table.length > 0 && ["verify", "status"].includes(verb)) {
    refuse(`--table does not go with ${verbs[0]}`);
  }
  return {
    verb,
    json: values.json,
    path: path ?? "",
    options: options(values),
  };
}

function verbOf(said: readonly string[]): Verb {
  if (said.length > 1) refuse(`choose one of ${said.join(", ")}`);
  switch (said[0]) {
    case undefined:
      return "run";
    case "--verify":
      return "verify";
    case "--rollback":
      return "roll back";
    case "status":
    case "backup":
    case "restore":
      return said[0];
    default:
      refuse(`unknown command ${said[0]}`);
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        "database-url": { type: "string" },
        "project": { type: "string", default: "." },
        "supabase-dir": { type: "string" },
        "skip-backup": { type: "boolean", default: false },
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

function options(values: ReturnType<typeof parse>["values"]): MigrateOptions {
  const seconds = Number(values.wait);
  if (!(seconds >= 0 && seconds <= 86_400)) {
    refuse(`--wait takes 0 to 86400 seconds, found ${values.wait}`);
  }
  const onFailure = values["on-failure"].replace("-", " ");
  if (
    onFailure !== "undo" && onFailure !== "keep" && onFailure !== "go on"
  ) {
    refuse(
      `--on-failure takes undo, keep or go-on, found ${values["on-failure"]}`,
    );
  }
  const { to, table, project, "database-url": databaseUrl } = values;
  return {
    onFailure,
    dryRun: values["dry-run"],
    includeAll: values["include-all"],
    skipBackup: values["skip-backup"],
    waitMs: seconds * 1000,
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    ...(to === undefined ? {} : { to }),
    ...(table.length === 0 ? {} : { backupCollections: table }),
    backupDir: values["backup-dir"] ?? join(project, ".backups"),
    supabaseDir: values["supabase-dir"] ?? join(project, "supabase"),
  };
}

function refuse(message: string): never {
  throw new MigrationRefusedError(`${message}; see ${CALLED} --help`);
}

/** Where a command writes to. */
export interface Output {
  print(line: string): void;
  printError(line: string): void;
}

/**
 * Runs the command line, on Deno, Node 22 and newer, and Bun.
 *
 * @param args What follows the name of the command.
 * @param output @default this process's
 * @returns The exit code; it ends nothing by itself.
 */
export async function migrate(
  args: readonly string[],
  { print, printError }: Output = {
    print: console.log,
    printError: console.error,
  },
): Promise<number> {
  let json = false;
  try {
    const command = readArguments(args);
    if (command.verb === "help") {
      print(USAGE);
      return EXIT.done;
    }
    json = command.json;
    // With --json standard output is for the machine alone.
    const log = json ? printError : print;
    const { report, lines = [], code = EXIT.done } = await perform(command, {
      ...command.options,
      log,
    });
    if (json) print(JSON.stringify(report, null, 2));
    else lines.forEach((line) => print(line));
    return code;
  } catch (error) {
    const exitCode = exitCodeOf(error);
    const { name, message } = error instanceof Error
      ? error
      : new Error(String(error));
    const left = error instanceof RunFailedError
      ? { undone: error.undone, notUndone: error.notUndone }
      : undefined;
    if (json) {
      const report = { error: { name, message, ...left }, exitCode };
      print(JSON.stringify(report, null, 2));
    }
    printError(message);
    if (left) printAll(printError, "undone:", left.undone);
    if (left?.notUndone.length) {
      printAll(printError, "NOT undone, needs you:", left.notUndone);
    }
    return exitCode;
  }
}

function printAll(
  print: (line: string) => void,
  title: string,
  lines: readonly string[],
): void {
  print(title);
  lines.forEach((line) => print(`  ${line}`));
}

interface Result {
  /** What --json prints. */
  report: unknown;
  /** What a person is told beyond the progress. */
  lines?: string[];
  code?: number;
}

async function perform(
  { verb, path }: Arguments,
  options: MigrateOptions,
): Promise<Result> {
  switch (verb) {
    case "roll back":
      return { report: await rollBack(options) };
    case "restore": {
      const tables = options.backupCollections;
      const report = await restoreBackup(path, tables, options);
      const restored = `${report.tables.join(", ")} (${report.rows} rows)`;
      return { report, lines: [`restored   ${restored}`] };
    }
    case "backup":
      return await onlyBackUp(options);
    case "verify": {
      const problems = await verifyDatabase(options);
      const holds = "verified   the database is what the applied files say";
      return problems.length > 0
        ? { report: { problems }, lines: problems, code: EXIT.unverified }
        : { report: { problems }, lines: [holds] };
    }
    case "status":
      return await status(options);
    default: {
      const report = await migrateProject(options);
      const { length } = report.dryRun ? [] : report.applied;
      const said = `${length} applied and verified`;
      return { report, lines: length === 0 ? [] : [said] };
    }
  }
}

async function onlyBackUp(given: MigrateOptions): Promise<Result> {
  const { databaseUrl, backupDir, backupCollections } = resolveOptions(given);
  const session = await openSession(databaseUrl);
  try {
    const backup = await backUp(session, backupDir, backupCollections);
    const files = filesOf(backup);
    return {
      report: { backup: backup?.folder ?? null, files },
      lines: backup?.tables.map(({ rows }, i) =>
        `backup     ${files[i]} (${rows} rows)`
      ) ?? ["backup     none: the project has no tables yet"],
    };
  } finally {
    await session.close();
  }
}

/** Compares files and database; changes nothing, waits for nobody. */
async function status(given: MigrateOptions): Promise<Result> {
  const { databaseUrl, supabaseDir } = resolveOptions(given);
  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  const rollbacks = await readRollbacks(
    join(supabaseDir, "rollback"),
    migrations,
  );
  const session = await openSession(databaseUrl);
  try {
    const runs = await readRuns(session.query);
    const versions = compare(migrations, await readHistory(session.query))
      .map((each) => ({
        ...each,
        rollback: rollbacks.find(({ versions }) =>
          versions.includes(each.version)
        )?.file ?? null,
      }));
    const runner = await lockHolder(session);
    const pending = versions.filter(({ state }) => state === "pending").length;
    const applied = new Set([
      ...versions.filter(({ state }) => /^(applied|drifted)$/.test(state))
        .map(({ file }) => file),
      ...runs.filter(({ error }) => error === null).map(({ name }) => name),
    ]);
    return {
      report: { versions, runs, runner },
      lines: [
        ...versions.map(({ version, file, state, rollback }) =>
          `${state.padEnd(8)} ${file ?? version}${
            rollback === null ? " (no rollback file)" : ""
          }`
        ),
        ...runs.flatMap(({ name, error, endedAt }) =>
          error === null
            ? `applied  ${name}, a function, at ${endedAt}`
            : applied.has(name)
            ? []
            : `failed   ${name} at ${endedAt}: ${
              error.replaceAll(/\n\s*/g, " ")
            }`
        ),
        `${versions.length} versions, ${pending} pending`,
        ...(runner === null ? [] : [`migrating now: ${runner}`]),
      ],
    };
  } finally {
    await session.close();
  }
}
