import { join } from "node:path";
import {
  executeOptions,
  type MigrateOptions,
  type ResolvedOptions,
  resolveOptions,
} from "./arguments.ts";
import { type Backup, backUpFirst } from "./backup.ts";
import { MigrationRefusedError, RunFailedError } from "./errors.ts";
import {
  boundTransaction,
  type ExecuteOptions,
  prepareSession,
  withLockRetries,
} from "./execute_migration.ts";
import { readHistory, type Recorded, unrecordMigrations } from "./history.ts";
import {
  readDirectives,
  readMigrations,
  readRollbacks,
  type Rollback,
  withoutRollback,
} from "./migration.ts";
import { restoreCollections } from "./restore.ts";
import {
  assertLocked,
  inTransaction,
  runStatement,
  type Session,
  timed,
  withLockedSession,
} from "./session.ts";
import { planExecution, splitStatements } from "./statements.ts";
import { projectTables } from "./tables.ts";
import { catalogProblems, insist } from "./verify.ts";

/** Does something with the rollbacks that are asked for, while nobody migrates. */
export async function withRollbacks<T>(
  options: ResolvedOptions,
  act: (session: Session, rollbacks: Rollback[]) => Promise<T>,
): Promise<T> {
  const { supabaseDir, to } = options;
  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  const all = await readRollbacks(join(supabaseDir, "rollback"), migrations);
  return await withLockedSession(options, async (session) => {
    const recorded = await readHistory(session.query);
    return await act(session, chooseRollbacks(all, recorded, to));
  });
}

/** What taking back did. */
export interface RollBackReport {
  /** Versions that are no longer applied, newest first. */
  takenBack: string[];
  backup: string | null;
}

/**
 * Takes the last migration back, or all that are newer than `to`, newest first,
 * each with its rollback file in a transaction of its own, after a backup.
 *
 * @throws {MigrationRefusedError} before anything is begun, where there is no
 * rollback file for one of them
 * @throws {RunFailedError} saying which were taken back before one failed
 */
export async function rollBack(given: MigrateOptions): Promise<RollBackReport> {
  const options = resolveOptions(given);
  const { log } = options;
  return await withRollbacks(options, async (session, rollbacks) => {
    if (rollbacks.length === 0) {
      log("nothing to take back");
      return { takenBack: [], backup: null };
    }
    const backup = await backUpFirst(session, options);
    const takenBack: string[] = [];
    for (const rollback of rollbacks) {
      const time = timed();
      try {
        await takeBack(session, rollback, executeOptions(options));
      } catch (error) {
        log(`failed     rollback/${rollback.file} ${time()}`);
        throw new RunFailedError(
          (error as Error).message,
          [`rollback/${rollback.file}: nothing of it stays, it was rolled back`],
          takenBack.map((version) => `${version}: was taken back before that`),
          error,
        );
      }
      takenBack.push(...rollback.versions.toReversed());
      log(
        `taken back ${
          rollback.versions.toReversed().join(", ")
        } with rollback/${rollback.file} ${time()}`,
      );
    }
    if (backup !== null) {
      const { undone } = await refill(session, backup);
      undone.forEach((line) => log(`restored   ${line}`));
    }
    return { takenBack, backup: backup?.folder ?? null };
  });
}

/**
 * Chooses the rollback files to run, newest first.
 *
 * @param to Version to keep as the last one. @default all but what the newest
 * rollback file takes back
 * @throws {MigrationRefusedError} where a version has none, or shares one with
 * a version to be kept
 */
function chooseRollbacks(
  rollbacks: readonly Rollback[],
  recorded: readonly Recorded[],
  to: string | undefined,
): Rollback[] {
  const versions = recorded.map(({ version }) => version);
  if (to !== undefined && to !== "0" && !versions.includes(to)) {
    throw new MigrationRefusedError(
      `Cannot roll back to ${to}: the database has not applied it; --to 0 takes everything back`,
    );
  }
  const newest = versions.at(-1);
  if (newest === undefined) return [];
  const wanted = to === undefined
    ? [newest]
    : versions.filter((version) => version > to || to === "0");
  const chosen = new Set<Rollback>();
  for (const version of wanted.toReversed()) {
    const rollback = rollbacks.find((each) => each.versions.includes(version));
    if (rollback === undefined) {
      throw new MigrationRefusedError(
        `Cannot roll back: ${withoutRollback(version, rollbacks)}`,
      );
    }
    chosen.add(rollback);
  }
  for (const { file, versions: all } of chosen) {
    const kept = all.filter((version) =>
      to !== undefined && to !== "0" && version <= to
    );
    if (kept.length > 0) {
      throw new MigrationRefusedError(
        `Cannot roll back to ${to}: rollback/${file} takes ${all[0]} to ${
          all.at(-1)
        } back together; choose a version before ${all[0]} or ${all.at(-1)}`,
      );
    }
  }
  return [...chosen];
}

/**
 * Runs a rollback file and removes the records of what it takes back, verified,
 * in one transaction; files that may not run in one, statement by statement.
 *
 * @throws {StatementError} {@link VerificationError} and nothing was taken back
 */
async function takeBack(
  session: Session,
  rollback: Rollback,
  options: ExecuteOptions,
): Promise<void> {
  await withLockRetries(session, options, async () => {
    await prepareSession(session);
    const statements = splitStatements(rollback.sql);
    const directives = readDirectives(
      `rollback/${rollback.file}`,
      rollback.sql,
    );
    const plan = planExecution(
      `rollback/${rollback.file}`,
      statements,
      directives,
    );
    if (plan.transactional) {
      return await inTransaction(session, async () => {
        await boundTransaction(session, options.lockTimeoutMs);
        await takeBackHere(session, rollback);
      });
    }
    await session.query("set statement_timeout = 0");
    await runAll(session, rollback);
    await inTransaction(session, () => forget(session, rollback));
  });
}

/** Takes back within the transaction that the session is in. */
export async function takeBackHere(
  session: Session,
  rollback: Rollback,
): Promise<void> {
  await assertLocked(session);
  const before = new Set(await catalogProblems(session.query));
  await runAll(session, rollback);
  await session.query("reset role");
  await insist(
    `rollback/${rollback.file} did not pass its verification`,
    async () => {
      await session.query("set constraints all immediate");
      return (await catalogProblems(session.query))
        .filter((problem) => !before.has(problem));
    },
  );
  await forget(session, rollback);
}

async function runAll(session: Session, { file, sql }: Rollback) {
  const name = `rollback/${file}`;
  const plan = planExecution(
    name,
    splitStatements(sql),
    readDirectives(name, sql),
  );
  for (const [index, statement] of plan.statements.entries()) {
    await runStatement(session, { file: name, statement, number: index + 1 });
  }
}

async function forget(
  session: Session,
  { file, versions }: Rollback,
): Promise<void> {
  await unrecordMigrations(session.query, versions);
  await insist(
    `rollback/${file} did not pass its verification`,
    async () =>
      (await readHistory(session.query))
        .filter(({ version }) => versions.includes(version))
        .map(({ version }) => `version ${version} is still recorded`),
  );
}

/** What became of an attempt to undo. */
export interface Undone {
  undone: string[];
  notUndone: string[];
}

/**
 * Takes back what a run applied before it failed, newest first, and stops at
 * what cannot be taken back: what is older must not go before it. Tables that a
 * rollback file had to make anew get their rows from the backup.
 *
 * @param applied Versions that the run applied, oldest first.
 * @param before Versions that were recorded before the run.
 */
export async function undo(
  session: Session,
  applied: readonly string[],
  before: ReadonlySet<string>,
  rollbacks: readonly Rollback[],
  backup: Backup | null,
  options: ExecuteOptions,
): Promise<Undone> {
  let left = [...applied];
  const undone: string[] = [];
  const notUndone: string[] = [];
  while (left.length > 0) {
    const newest = left.at(-1)!;
    const rollback = rollbacks.find(({ versions }) =>
      versions.includes(newest)
    );
    const problem = await tryTakeBack(
      session,
      newest,
      rollback,
      before,
      options,
    );
    if (problem !== null) {
      notUndone.push(problem, ...left.slice(0, -1).reverse().map(stays));
      break;
    }
    undone.push(
      `${rollback!.versions.join(", ")}: taken back with rollback/${
        rollback!.file
      }`,
    );
    const gone = rollback!.versions;
    left = left.filter((version) => !gone.includes(version));
  }
  if (backup !== null && undone.length > 0) {
    const refilled = await refill(session, backup);
    undone.push(...refilled.undone);
    notUndone.push(...refilled.notUndone);
  }
  return { undone, notUndone };
}

function stays(version: string): string {
  return `${version}: stays applied, because a newer one does`;
}

async function tryTakeBack(
  session: Session,
  version: string,
  rollback: Rollback | undefined,
  before: ReadonlySet<string>,
  options: ExecuteOptions,
): Promise<string | null> {
  if (rollback === undefined) {
    return `${version}: stays applied, supabase/rollback has no file for it`;
  }
  const others = rollback.versions.filter((each) => before.has(each));
  if (others.length > 0) {
    return `${version}: stays applied, rollback/${rollback.file} also takes back ${
      others.join(", ")
    }, not of this run`;
  }
  try {
    await takeBack(session, rollback, options);
    return null;
  } catch (error) {
    return `${version}: stays applied, its rollback failed: ${
      (error as Error).message
    }`;
  }
}

/** Fills tables which were dropped and made again since the backup. */
async function refill(
  session: Session,
  backup: Backup,
): Promise<Undone> {
  const now = new Map(
    (await projectTables(session.query)).map((table) => [table.name, table]),
  );
  const lost = backup.tables.filter(({ name, rows }) =>
    rows > 0 && !now.has(name)
  );
  const remade = backup.tables.filter(({ name, oid, rows }) =>
    rows > 0 && now.has(name) && now.get(name)!.oid !== oid
  ).map(({ name }) => name);
  const notUndone = lost.map(({ name, rows }) =>
    `${name}: gone; its ${rows} rows are in ${backup.folder}`
  );
  if (remade.length === 0) return { undone: [], notUndone };
  try {
    const rows = await restoreCollections(session, backup, remade);
    return {
      undone: [`${remade.join(", ")}: ${rows} rows restored from the backup`],
      notUndone,
    };
  } catch (error) {
    return {
      undone: [],
      notUndone: [
        ...notUndone,
        `${remade.join(", ")}: empty, its rows are in ${backup.folder}: ${
          (error as Error).message
        }`,
      ],
    };
  }
}
