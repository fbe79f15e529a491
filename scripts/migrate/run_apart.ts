import { type ExecuteOptions, prepareSession } from "./execute_migration.ts";
import { ensureHistory, recordMigration } from "./history.ts";
import { assertLocked } from "./lock.ts";
import type { ParsedMigration } from "./migration.ts";
import type { Execution } from "./outside_transaction.ts";
import { runStatement } from "./run_statement.ts";
import { inTransaction, isConnectionLoss, type Session } from "./session.ts";
import {
  catalogProblems,
  insist,
  recordProblems,
  verifyFileProblems,
} from "./verify.ts";

const INVALID_INDEXES = `
select format('%I.%I', n.nspname, c.relname) as name
from pg_catalog.pg_index as i
join pg_catalog.pg_class as c on c.oid = i.indexrelid and c.relkind = 'i'
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where not i.indisvalid`;

/** Thrown when a file that runs apart failed half-way. */
export class HalfDoneError extends Error {
  override readonly name = "HalfDoneError";
  constructor(readonly stays: readonly string[], cause: unknown) {
    super((cause as Error).message, { cause });
  }
}

/**
 * Runs a file whose statements may not run in a transaction: one after the
 * other, each committed by itself, then the record and the verification. The
 * unusable index that a failed `create index concurrently` leaves is dropped.
 *
 * @throws {HalfDoneError} naming what stays of it
 */
export async function runApart(
  session: Session,
  migration: ParsedMigration,
  { statements }: Execution,
  options: Omit<ExecuteOptions, "databaseUrl">,
): Promise<void> {
  const { query } = session;
  await prepareSession(session);
  // Building an index concurrently blocks nobody, but waits for every older
  // transaction: a short lock time-out would never let it end.
  await query("set statement_timeout = 0; set lock_timeout = 0");
  await assertLocked(session);
  const invalid = new Set(await invalidIndexes(session));
  const problems = new Set(await catalogProblems(query));
  const done: string[] = [];
  try {
    for (const [index, statement] of statements.entries()) {
      const number = index + 1;
      await runStatement(session, { file: migration.file, statement, number });
      done.push(
        `${migration.file}, statement ${number}: committed by itself, stays`,
      );
    }
    await inTransaction(session, async () => {
      await ensureHistory(query);
      await recordMigration(query, migration);
      await insist(
        `${migration.file} did not pass its verification`,
        async () => [
          ...await recordProblems(query, migration),
          ...(await catalogProblems(query)).filter((each) =>
            !problems.has(each)
          ),
          ...options.verify
            ? await verifyFileProblems(session, options.verify)
            : [],
        ],
      );
    });
  } catch (error) {
    if (isConnectionLoss(session, error)) {
      done.push(
        `${migration.file}: the connection was lost; look for an index that is not valid: migrate --verify names it`,
      );
    } else done.push(...await dropSpoilt(session, invalid));
    throw new HalfDoneError(done, error);
  }
}

async function invalidIndexes({ query }: Session): Promise<string[]> {
  const rows = await query<{ name: string }>(INVALID_INDEXES);
  return rows.map(({ name }) => name);
}

/** Drops indexes that became unusable; answers those that could not be dropped. */
async function dropSpoilt(
  session: Session,
  before: ReadonlySet<string>,
): Promise<string[]> {
  const left: string[] = [];
  for (const name of await invalidIndexes(session)) {
    if (before.has(name)) continue;
    try {
      await session.query(`drop index concurrently ${name}`);
    } catch (error) {
      left.push(
        `index ${name} is unusable and stays (${
          (error as Error).message
        }): drop index concurrently ${name}`,
      );
    }
  }
  return left;
}
