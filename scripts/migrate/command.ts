import { join } from "node:path";
import { parseArgs } from "node:util";
import { commandLine, COMMON_OPTIONS } from "../cli/command.ts";
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

const CALLED = commandLine("migrate");

/** What `--help` prints. */
export const USAGE =
  `Usage: ${CALLED} [status | backup | restore PATH] [options]

Backs up, applies what is pending and verifies. It works on the database itself,
not through the API.

  --rollback           take the last one back; with --to, all that are newer
  --verify             is the database what the applied files say?
  status               files and database, side by side, and what failed
  backup               only the backup
  restore PATH         put tables back to what a backup, or one file of it, holds

  --to VERSION         last version to apply, or to keep; --rollback --to 0 keeps none
  --include-all        also those older than the last one applied
  --on-failure keep    leave what the same run applied before a failure; undo is the default
  --on-failure go-on   leave it, and go on with the next file
  --table SCHEMA.TABLE back up, or restore, only this one; may be repeated
  --skip-backup        back nothing up
  --backup-dir DIR     .backups of the project by default
  --wait SECONDS       for another runner; 60 by default
  --supabase-dir DIR   of migrations/, rollback/ and verify/; supabase of the project by default
  --json               one JSON document on standard output, progress on standard error
${COMMON_OPTIONS}

Exit codes: 0 done; 1 failed, and the database is as it was; 2 refused, nothing was begun;
3 another runner is at it; 4 a verification does not hold; 5 failed, and not all of it
could be undone`;

// By how they are called.
const VERBS = {
  "": "run",
  "--verify": "verify",
  "--rollback": "roll back",
  "status": "status",
  "backup": "backup",
  "restore": "restore",
} as const;

/** A command line, read. */
export interface Arguments {
  verb: (typeof VERBS)[keyof typeof VERBS] | "help";
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
  const said = [
    ...(command === undefined ? [] : [command]),
    ...(values.verify ? ["--verify"] : []),
    ...(values.rollback ? ["--rollback"] : []),
  ];
  if (said.length > 1) refuse(`choose one of ${said.join(", ")}`);
  const [called = ""] = said;
  if (!(called in VERBS) || (path !== undefined && called !== "restore")) {
    refuse(`unknown command ${positionals.join(" ")}`);
  }
  const verb = values.help ? "help" : VERBS[called as keyof typeof VERBS];
  if (values["dry-run"] && ["verify", "status", "backup"].includes(verb)) {
    refuse(`--dry-run does not go with ${called}, which changes nothing`);
  }
  if (values.table.length > 0 && ["verify", "status"].includes(verb)) {
    refuse(`--table does not go with ${called}`);
  }
  if (verb === "restore" && (path === undefined || more.length > 0)) {
    refuse("name one folder of a backup, or one file in it, to restore from");
  }
  return {
    verb,
    json: values.json,
    path: path ?? "",
    options: optionsOf(values),
  };
}

function parse(args: readonly string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        "database-url": text,
        "project": { ...text, default: "." },
        "supabase-dir": text,
        "skip-backup": flag,
        "backup-dir": text,
        "on-failure": { ...text, default: "undo" },
        "include-all": flag,
        "dry-run": flag,
        "verify": flag,
        "rollback": flag,
        "json": flag,
        "help": { ...flag, short: "h" },
        "table": { ...text, multiple: true, default: [] },
        "to": text,
        "wait": { ...text, default: "60" },
      },
    });
  } catch (error) {
    refuse((error as Error).message);
  }
}

const ON_FAILURE = {
  "undo": "undo",
  "keep": "keep",
  "go-on": "go on",
} as const;

function optionsOf(
  values: ReturnType<typeof parse>["values"],
): MigrateOptions {
  const { to, table, project, "database-url": databaseUrl } = values;
  const seconds = Number(values.wait);
  if (!(seconds >= 0 && seconds <= 86_400)) {
    refuse(`--wait takes 0 to 86400 seconds, found ${values.wait}`);
  }
  const onFailure = ON_FAILURE[values["on-failure"] as keyof typeof ON_FAILURE];
  if (onFailure === undefined) {
    refuse(
      `--on-failure takes undo, keep or go-on, found ${values["on-failure"]}`,
    );
  }
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
    print: (line) => console.log(line),
    printError: (line) => console.error(line),
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
    const { name, message } = error as Error;
    const left = error instanceof RunFailedError
      ? { undone: error.undone, notUndone: error.notUndone }
      : undefined;
    if (json) {
      const report = { error: { name, message, ...left }, exitCode };
      print(JSON.stringify(report, null, 2));
    }
    const list = (title: string, lines: readonly string[]) =>
      printError([title, ...lines].join("\n  "));
    printError(message);
    if (left) list("undone:", left.undone);
    if (left?.notUndone.length) list("NOT undone, needs you:", left.notUndone);
    return exitCode;
  }
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
      const { dryRun = false } = options;
      const done = await restoreBackup(path, tables, options);
      const report = { dryRun, ...done };
      const restored = `${done.tables.join(", ")} (${done.rows} rows)`;
      const said = dryRun
        ? `dry run    ${restored} restored; everything was rolled back`
        : `restored   ${restored}`;
      return { report, lines: [said] };
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
  await using session = await openSession(databaseUrl);
  const backup = await backUp(session, backupDir, backupCollections);
  const files = filesOf(backup);
  return {
    report: { backup: backup?.folder ?? null, files },
    lines:
      backup?.tables.map(({ rows }, i) =>
        `backup     ${files[i]} (${rows} rows)`
      ) ?? ["backup     none: the project has no tables yet"],
  };
}

/** Compares files and database; changes nothing, waits for nobody. */
async function status(given: MigrateOptions): Promise<Result> {
  const { databaseUrl, supabaseDir } = resolveOptions(given);
  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  const rollbacks = await readRollbacks(
    join(supabaseDir, "rollback"),
    migrations,
  );
  await using session = await openSession(databaseUrl);
  const runs = await readRuns(session.query);
  const versions = compare(migrations, await readHistory(session.query))
    .map((each) => ({
      ...each,
      rollback:
        rollbacks.find(({ versions }) => versions.includes(each.version))
          ?.file ?? null,
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
          : `failed   ${name} at ${endedAt}: ${error.replaceAll(/\n\s*/g, " ")}`
      ),
      `${versions.length} versions, ${pending} pending`,
      ...(runner === null ? [] : [`migrating now: ${runner}`]),
    ],
  };
}
