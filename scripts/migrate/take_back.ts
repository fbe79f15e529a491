import { readDirectives } from "./directives.ts";
import {
  boundTransaction,
  prepareSession,
  withLockRetries,
} from "./execute_migration.ts";
import type { ExecuteOptions } from "./execute_migration.ts";
import { readHistory, unrecordMigrations } from "./history.ts";
import { assertLocked } from "./lock.ts";
import { planExecution } from "./outside_transaction.ts";
import type { Rollback } from "./rollbacks.ts";
import { runStatement } from "./run_statement.ts";
import { inTransaction, type Session } from "./session.ts";
import { splitStatements } from "./statements.ts";
import { catalogProblems, insist } from "./verify.ts";

/**
 * Runs a rollback file and removes the records of what it takes back, verified,
 * in one transaction; files that may not run in one, statement by statement.
 *
 * @throws {StatementError} {@link VerificationError} and nothing was taken back
 */
export async function takeBack(
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
