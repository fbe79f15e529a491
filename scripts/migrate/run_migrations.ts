import { join } from "node:path";
import {
  executeOptions,
  type MigrateOptions,
  type ResolvedOptions,
  resolveOptions,
} from "./arguments.ts";
import { type Backup, backUpFirst } from "./backup.ts";
import { RunFailedError, StatementError } from "./errors.ts";
import {
  applyHere,
  boundTransaction,
  executeMigration,
  HalfDoneError,
  prepareSession,
} from "./execute_migration.ts";
import { compare, pendingMigrations, readHistory } from "./history.ts";
import {
  type ParsedMigration,
  parseMigration,
  readMigrations,
  readRollbacks,
  type Rollback,
} from "./migration.ts";
import { takeBackHere, undo, type Undone, withRollbacks } from "./roll_back.ts";
import {
  inTransaction,
  isConnectionLoss,
  type Session,
  timed,
  withLockedSession,
} from "./session.ts";
import { planExecution } from "./statements.ts";
import { countAll } from "./tables.ts";
import { insist, readVerifyFile, recordProblems } from "./verify.ts";

/** What a run did. */
export interface RunReport {
  applied: string[];
  /** Folder of the backup; null where there was nothing to keep. */
  backup: string | null;
}

/**
 * Applies what is pending, in order: backup, then each file in a transaction of
 * its own with its record and its verification. When one fails, those which the
 * same run applied before it are taken back.
 *
 * @throws {RunFailedError} saying what was undone, and what was not
 * @throws {MigrationRefusedError} before anything is begun
 * @throws {RunnerBusyError} when another runner is at it for too long
 */
export async function runMigrations(
  given: MigrateOptions,
): Promise<RunReport> {
  const options = resolveOptions(given);
  const { supabaseDir, log } = options;
  const folder = join(supabaseDir, "migrations");
  const migrations = (await readMigrations(folder)).map(parseMigration);
  const rollbacks = await readRollbacks(
    join(supabaseDir, "rollback"),
    migrations,
  );
  return await withLockedSession(options, async (session) => {
    const recorded = await readHistory(session.query);
    for (const { file, state } of compare(migrations, recorded)) {
      if (state === "drifted") {
        log(`warning    ${file} was edited after it was applied`);
      }
    }
    const pending = pendingMigrations(migrations, recorded, options);
    if (pending.length === 0) {
      log("nothing to apply");
      return { applied: [], backup: null };
    }
    // Refused before the backup rather than half-way.
    for (const { file, statements, directives } of pending) {
      planExecution(file, statements, directives);
    }
    const backup = await backUpFirst(session, options);
    const before = new Set(recorded.map(({ version }) => version));
    await applyAll(session, options, { pending, backup, before, rollbacks });
    return {
      applied: pending.map(({ version }) => version),
      backup: backup?.folder ?? null,
    };
  });
}

interface Run {
  pending: readonly ParsedMigration[];
  backup: Backup | null;
  before: ReadonlySet<string>;
  rollbacks: readonly Rollback[];
}

async function applyAll(
  session: Session,
  options: ResolvedOptions,
  run: Run,
): Promise<void> {
  const applied: string[] = [];
  // The backup has counted already, where there is one.
  const knownRows = run.backup === null
    ? await countAll(session.query)
    : new Map(run.backup.tables.map(({ name, rows }) => [name, rows]));
  for (const migration of run.pending) {
    const time = timed();
    try {
      await executeMigration(session, migration, {
        ...executeOptions(options),
        knownRows,
        verify: await readVerifyFile(options.supabaseDir, migration),
      });
      applied.push(migration.version);
      await insist(
        `${migration.file} was applied, but`,
        () => recordProblems(session.query, migration),
      );
      options.log(`applied    ${migration.file} ${time()}`);
    } catch (error) {
      options.log(`failed     ${migration.file} ${time()}`);
      throw await undoRun(session, options, run, migration, applied, error);
    }
  }
}

async function undoRun(
  session: Session,
  options: ResolvedOptions,
  run: Run,
  failed: ParsedMigration,
  applied: readonly string[],
  error: unknown,
  connectionError: unknown = error,
): Promise<RunFailedError> {
  const stays = error instanceof HalfDoneError ? error.stays : [];
  const message = (error as Error).message;
  if (isConnectionLoss(session, connectionError)) {
    return await withLockedSession(
      options,
      (next) => undoRun(next, options, run, failed, applied, error, null),
    )
      .catch((second) =>
        new RunFailedError(
          message,
          [],
          [
            `cannot reach the database to look and to undo: ${second.message}`,
            ...applied.map((version) => `${version}: applied by this run`),
          ],
          error,
        )
      );
  }
  const committed = await isRecorded(session, failed.version);
  const toUndo = committed && !applied.includes(failed.version)
    ? [...applied, failed.version]
    : [...applied];
  // Of a file that runs apart the first statements may be there without record.
  const half = stays.length > 0 && !committed;
  const whole = half &&
    run.rollbacks.some(({ versions }) =>
      versions.length === 1 && versions[0] === failed.version
    );
  if (whole) toUndo.push(failed.version);
  const result: Undone = options.onFailure === "keep"
    ? { undone: [], notUndone: toUndo.map((v) => `${v}: kept, as asked`) }
    : await undo(
      session,
      toUndo,
      run.before,
      run.rollbacks,
      run.backup,
      executeOptions(options),
    );
  const first = half || committed
    ? []
    : [`${failed.file}: nothing of it stays, its transaction was rolled back`];
  return new RunFailedError(
    message,
    [...first, ...result.undone],
    [...(whole ? [] : stays), ...result.notUndone],
    error,
  );
}

async function isRecorded(
  { query }: Session,
  version: string,
): Promise<boolean> {
  return (await readHistory(query)).some((each) => each.version === version);
}

/** What a dry run found. */
export interface DryRunReport {
  /** Versions that went through, up to their verification. */
  tried: string[];
  /** What could not be tried, one sentence each. */
  notTried: string[];
}

/**
 * Applies what is pending in one transaction and rolls it back: no trace is
 * left but the numbers that sequences gave out. Takes no backup.
 *
 * @throws {StatementError} {@link VerificationError} as the run would
 */
export async function dryRun(given: MigrateOptions): Promise<DryRunReport> {
  const options = resolveOptions(given);
  const folder = join(options.supabaseDir, "migrations");
  const migrations = (await readMigrations(folder)).map(parseMigration);
  return await withLockedSession(options, async (session) => {
    const pending = pendingMigrations(
      migrations,
      await readHistory(session.query),
      options,
    );
    const report: DryRunReport = { tried: [], notTried: [] };
    await rolledBack(session, options, async () => {
      const knownRows = await countAll(session.query);
      for (const migration of pending) {
        await tryOne(session, options, migration, knownRows, report);
      }
    });
    options.log(
      `dry run    ${report.tried.length} of ${pending.length} migrations went through; everything was rolled back`,
    );
    return report;
  });
}

/** Takes back in a transaction that is rolled back. */
export async function dryRollBack(
  given: MigrateOptions,
): Promise<DryRunReport> {
  const options = resolveOptions(given);
  const { log } = options;
  return await withRollbacks(options, async (session, rollbacks) => {
    const report: DryRunReport = { tried: [], notTried: [] };
    await rolledBack(session, options, async () => {
      for (const rollback of rollbacks) {
        const time = timed();
        await takeBackHere(session, rollback);
        report.tried.push(...rollback.versions);
        log(`would undo rollback/${rollback.file} ${time()}`);
      }
    });
    log("dry run    everything was rolled back");
    return report;
  });
}

async function rolledBack(
  session: Session,
  options: ResolvedOptions,
  work: () => Promise<void>,
): Promise<void> {
  await prepareSession(session);
  await inTransaction(session, async () => {
    await boundTransaction(session, options.lockTimeoutMs);
    await work();
  }, { end: "rollback" });
}

async function tryOne(
  session: Session,
  options: ResolvedOptions,
  migration: ParsedMigration,
  knownRows: Map<string, number>,
  report: DryRunReport,
): Promise<void> {
  const { file, statements, directives, version } = migration;
  const execution = planExecution(file, statements, directives);
  if (!execution.transactional) {
    const sentence =
      `${file} cannot be tried: its statements may not run in a transaction`;
    report.notTried.push(sentence);
    options.log(`warning    ${sentence}`);
    return;
  }
  const time = timed();
  try {
    await applyHere(session, migration, execution, {
      ...executeOptions(options),
      knownRows,
      verify: await readVerifyFile(options.supabaseDir, migration),
    });
  } catch (error) {
    throw explained(error, report);
  }
  report.tried.push(version);
  options.log(`would apply ${file} ${time()}`);
}

/** A dry run has one transaction where a run has several. */
function explained(error: unknown, report: DryRunReport): unknown {
  const because = error instanceof StatementError && error.sqlState === "55P04"
    ? "each file has a transaction of its own in a real run, where this enum value would be committed by now"
    : report.notTried.length > 0
    ? `this may be because ${report.notTried.join("; ")}`
    : null;
  if (because !== null) (error as Error).message += `\n  dry run: ${because}`;
  return error;
}
