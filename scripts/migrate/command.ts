import { join } from "node:path";
import {
  type MigrateOptions,
  readArguments,
  resolveOptions,
  USAGE,
} from "./arguments.ts";
import { EXIT, exitCodeOf, RunFailedError } from "./errors.ts";
import { compare, readHistory, type VersionState } from "./history.ts";
import { readMigrations, readRollbacks } from "./migration.ts";
import { restoreBackup } from "./restore.ts";
import { rollBack } from "./roll_back.ts";
import { dryRollBack, dryRun, runMigrations } from "./run_migrations.ts";
import { lockHolder, openSession } from "./session.ts";
import { verifyDatabase } from "./verify.ts";

/** Where a command writes to. */
export interface Output {
  print(line: string): void;
  printError(line: string): void;
}

/**
 * Runs the command line on this process's output, on Deno, Node 22 and newer,
 * and Bun.
 *
 * @param args What follows the name of the command.
 * @returns The exit code; it ends nothing by itself.
 */
export async function run(args: readonly string[]): Promise<number> {
  return await migrate([...args], {
    print: (line) => console.log(line),
    printError: (line) => console.error(line),
  });
}

/** Runs the command line and answers its exit code. */
export async function migrate(
  args: string[],
  { print, printError }: Output,
): Promise<number> {
  let json = false;
  try {
    const command = readArguments(args);
    if (command.kind === "help") {
      print(USAGE);
      return EXIT.done;
    }
    json = command.json;
    // With --json standard output is for the machine alone.
    const log = json ? printError : print;
    const result = await perform(command, { ...command.options, log });
    if (json) print(JSON.stringify(result.report, null, 2));
    else result.lines.forEach((line) => print(line));
    return result.code ?? EXIT.done;
  } catch (error) {
    const code = exitCodeOf(error);
    if (json) print(JSON.stringify(failureReport(error, code), null, 2));
    failureLines(error).forEach((line) => printError(line));
    return code;
  }
}

interface Result {
  /** What --json prints. */
  report: unknown;
  /** What a person is told beyond the progress. */
  lines: string[];
  code?: number;
}

type Command = Exclude<ReturnType<typeof readArguments>, { kind: "help" }>;

async function perform(
  command: Command,
  options: MigrateOptions,
): Promise<Result> {
  switch (command.kind) {
    case "run": {
      const report = await runMigrations(options);
      const lines = report.applied.length === 0
        ? []
        : [`${report.applied.length} applied and verified`];
      return { report, lines };
    }
    case "dry run":
      return { report: await dryRun(options), lines: [] };
    case "roll back":
      return { report: await rollBack(options), lines: [] };
    case "dry roll back":
      return { report: await dryRollBack(options), lines: [] };
    case "restore": {
      const report = await restoreBackup(
        options,
        command.backup,
        command.tables,
      );
      const lines = [
        `restored   ${report.tables.join(", ")} (${report.rows} rows)`,
      ];
      return { report, lines };
    }
    case "verify": {
      const problems = await verifyDatabase(options);
      return {
        report: { problems },
        lines: problems.length > 0
          ? problems
          : ["verified   the database is what the applied files say"],
        code: problems.length > 0 ? EXIT.unverified : EXIT.done,
      };
    }
    case "status": {
      const report = await status(options);
      return { report, lines: statusLines(report) };
    }
  }
}

function statusLines({ versions, runner }: Status): string[] {
  const lines = versions.map(({ version, file, state, rollback }) =>
    `${state.padEnd(8)} ${file ?? version}${
      rollback === null ? " (no rollback file)" : ""
    }`
  );
  const pending = versions.filter(({ state }) => state === "pending").length;
  lines.push(`${versions.length} versions, ${pending} pending`);
  if (runner !== null) lines.push(`migrating now: ${runner}`);
  return lines;
}

function failureLines(error: unknown): string[] {
  if (!(error instanceof Error)) return [String(error)];
  const lines = [error.message];
  if (error instanceof RunFailedError) {
    lines.push("undone:", ...error.undone.map((line) => `  ${line}`));
    if (error.notUndone.length > 0) {
      lines.push(
        "NOT undone, needs you:",
        ...error.notUndone.map((line) => `  ${line}`),
      );
    }
  }
  return lines;
}

function failureReport(error: unknown, exitCode: number): unknown {
  const message = error instanceof Error ? error.message : String(error);
  const name = error instanceof Error ? error.name : "Error";
  return error instanceof RunFailedError
    ? {
      error: {
        name,
        message,
        undone: error.undone,
        notUndone: error.notUndone,
      },
      exitCode,
    }
    : { error: { name, message }, exitCode };
}

/** How files and database compare. */
export interface Status {
  versions: (VersionState & { rollback: string | null })[];
  /** Who is migrating now, in words. */
  runner: string | null;
}

/** Compares files and database; changes nothing, waits for nobody. */
async function status(given: MigrateOptions): Promise<Status> {
  const { databaseUrl, supabaseDir } = resolveOptions(given);
  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  const rollbacks = await readRollbacks(
    join(supabaseDir, "rollback"),
    migrations,
  );
  const session = await openSession(databaseUrl);
  try {
    const recorded = await readHistory(session.query);
    const versions = compare(migrations, recorded).map((each) => ({
      ...each,
      rollback: rollbacks.find(({ versions }) =>
        versions.includes(each.version)
      )?.file ?? null,
    }));
    return { versions, runner: await lockHolder(session) };
  } finally {
    await session.close();
  }
}
