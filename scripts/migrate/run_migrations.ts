import { join } from "node:path";
import { type Backup, backUp } from "./backup.ts";
import { RunFailedError } from "./errors.ts";
import { executeMigration } from "./execute_migration.ts";
import { readHistory } from "./history.ts";
import { withLockedSession } from "./locked_session.ts";
import {
  type ParsedMigration,
  parseMigration,
  readMigrations,
} from "./migration.ts";
import {
  executeOptions,
  type MigrateOptions,
  type ResolvedOptions,
  resolveOptions,
} from "./options.ts";
import { planExecution } from "./outside_transaction.ts";
import { compare, pendingMigrations } from "./plan.ts";
import { readRollbacks, type Rollback } from "./rollbacks.ts";
import { countAll } from "./row_losses.ts";
import { HalfDoneError } from "./run_apart.ts";
import { isConnectionLoss, type Session } from "./session.ts";
import { timed } from "./timed.ts";
import { undo, type Undone } from "./undo.ts";
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
