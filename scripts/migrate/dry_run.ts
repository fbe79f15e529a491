import { join } from "node:path";
import { countAll } from "./row_losses.ts";
import { StatementError } from "./errors.ts";
import {
  applyHere,
  boundTransaction,
  prepareSession,
} from "./execute_migration.ts";
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
import { pendingMigrations } from "./plan.ts";
import { readRollbacks } from "./rollbacks.ts";
import { inTransaction, type Session } from "./session.ts";
import { takeBackHere } from "./take_back.ts";
import { chooseRollbacks } from "./roll_back.ts";
import { timed } from "./timed.ts";
import { readVerifyFile } from "./verify.ts";

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
  const { supabaseDir, log } = options;
  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  const all = await readRollbacks(join(supabaseDir, "rollback"), migrations);
  return await withLockedSession(options, async (session) => {
    const recorded = await readHistory(session.query);
    const rollbacks = chooseRollbacks(all, recorded, options.to);
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
