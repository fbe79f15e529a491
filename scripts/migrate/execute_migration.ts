import { sqlStateOf, StatementError } from "./errors.ts";
import { ensureHistory, recordMigration } from "./history.ts";
import type { ParsedMigration } from "./migration.ts";
import {
  assertLocked,
  inTransaction,
  isConnectionLoss,
  openSession,
  pause,
  runStatement,
  type Session,
} from "./session.ts";
import { type Execution, planExecution } from "./statements.ts";
import {
  countRows,
  type KnownRows,
  type RowLoss,
  rowLosses,
  rowsBefore,
} from "./tables.ts";
import {
  catalogProblems,
  insist,
  recordProblems,
  type VerifyFile,
  verifyFileProblems,
} from "./verify.ts";

/** How to execute a migration. */
export interface ExecuteOptions {
  /** Where to look from, when the session has to wait for a lock. */
  databaseUrl: string;
  /** Queries that have to hold afterwards. */
  verify?: VerifyFile | null;
  /** Rows of the tables that are there; kept up to date. */
  knownRows?: KnownRows;
  /**
   * How long a statement may wait for a lock, in milliseconds. While it waits,
   * everybody else waits behind it, and Supabase ends the statements of `anon`
   * after 3 seconds: by then we have given up.
   * @default 2000
   */
  lockTimeoutMs?: number;
  /** How often to try again when a lock was not to be had. @default 5 */
  lockRetries?: number;
  /** Receives a line for a person. */
  warn?: (message: string) => void;
}

const LOCK_TIMEOUT_MS = 2_000;
const LOCK_RETRIES = 5;
const FIRST_PAUSE_MS = 500;
const LOCK_NOT_AVAILABLE = "55P03";

/**
 * Applies one migration: statements, record and verification in one
 * transaction, which is tried again where a lock was not to be had. A file whose
 * statements may not run in a transaction is run statement by statement.
 *
 * The session holds the lock of {@link takeLock}.
 *
 * @throws {StatementError} when a statement fails
 * @throws {VerificationError} when what it did does not hold
 * Both leave nothing behind, except of a file that runs apart.
 */
export async function executeMigration(
  session: Session,
  migration: ParsedMigration,
  options: ExecuteOptions,
): Promise<void> {
  const execution = planExecution(
    migration.file,
    migration.statements,
    migration.directives,
  );
  await withLockRetries(session, options, async () => {
    if (!execution.transactional) {
      return await runApart(session, migration, execution, options);
    }
    await prepareSession(session);
    await inTransaction(session, async () => {
      await boundTransaction(session, options.lockTimeoutMs);
      await applyHere(session, migration, execution, options);
    });
  });
}

/** Applies a migration within the transaction that the session is in. */
export async function applyHere(
  session: Session,
  migration: ParsedMigration,
  execution: Execution,
  options: Omit<ExecuteOptions, "databaseUrl">,
): Promise<void> {
  const { query } = session;
  await assertLocked(session);
  await ensureHistory(query);
  // First, not last: whoever applies the same file with other tools is found
  // out before anything is done twice.
  await recordMigration(query, migration);
  const known = options.knownRows ?? new Map();
  const knownProblems = new Set(await catalogProblems(query));
  const locked = new Set<string>();
  let losses: RowLoss[];
  await query("savepoint migration");
  for (;;) {
    const before = await rowsBefore(query);
    for (const [index, statement] of execution.statements.entries()) {
      await runStatement(session, {
        file: migration.file,
        statement,
        number: index + 1,
      });
    }
    await query("reset role");
    const { directives } = migration;
    losses = await rowLosses(query, before, known, locked, directives);
    const doubtful = losses.filter((each) => each.doubtful);
    if (doubtful.length === 0) break;
    // Users may have deleted those rows, after they were counted and before the
    // migration locked their table. Again, with the lock taken before the count.
    await query("rollback to savepoint migration");
    for (const { table } of doubtful) {
      await query(`lock table ${table} in access exclusive mode`);
      known.set(table, await countRows(query, table));
      locked.add(table);
    }
  }
  await insist(`${migration.file} did not pass its verification`, async () => {
    await query("set constraints all immediate");
    const found = (await catalogProblems(query))
      .filter((problem) => !knownProblems.has(problem));
    // Whoever writes `not valid` validates later, to hold no lock meanwhile.
    const announced = /\bnot\s+valid\b/i.test(migration.sql);
    if (announced) found.forEach((problem) => options.warn?.(problem));
    return [
      ...await recordProblems(query, migration),
      ...(announced ? [] : found),
      ...losses.map(({ table, text }) =>
        `${text}; where that is meant, write \`-- migrate: removes rows from ${table}\` into the file`
      ),
      ...options.verify
        ? await verifyFileProblems(session, options.verify)
        : [],
    ];
  });
}

/** Undoes what an earlier file may have set for the session. */
export async function prepareSession({ query }: Session): Promise<void> {
  await query("reset session authorization; reset role; reset all");
  // The server is to notice when this process is killed in the middle of a long
  // statement, and let go of the lock. Not on every platform can it.
  await query("set client_connection_check_interval = '2s'").catch(() => {});
}

/** Sets the limits of a migration's transaction. */
export async function boundTransaction(
  { query }: Session,
  lockTimeoutMs: number = LOCK_TIMEOUT_MS,
): Promise<void> {
  // A migration may take its time once it has its locks.
  await query(
    `set local lock_timeout = ${lockTimeoutMs}; set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0`,
  );
}

/** Tries again, later each time, where a lock was not to be had. */
export async function withLockRetries(
  session: Session,
  options: ExecuteOptions,
  attempt: () => Promise<void>,
): Promise<void> {
  const retries = options.lockRetries ?? LOCK_RETRIES;
  const watch = watchBlockers(options.databaseUrl, session);
  try {
    for (let tried = 0;; tried++) {
      try {
        return await attempt();
      } catch (error) {
        const cause = error instanceof StatementError
          ? error.sqlState
          : sqlStateOf(error);
        if (cause !== LOCK_NOT_AVAILABLE) throw error;
        const blocker = watch.last() ?? "another session";
        if (tried >= retries) {
          (error as Error).message += `\n  blocked by: ${blocker}\n  tried: ${
            tried + 1
          } times`;
          throw error;
        }
        const ms = FIRST_PAUSE_MS * 2 ** tried * (0.75 + Math.random() / 2);
        options.warn?.(
          `a lock was not to be had, blocked by ${blocker}; trying again in ${
            (ms / 1000).toFixed(1)
          } s`,
        );
        await pause(ms);
      }
    }
  } finally {
    await watch.stop();
  }
}

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
async function runApart(
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

const LOOK_EVERY_MS = 400;

const WHO = `
select a.pid, a.application_name as application, a.usename as role, a.state,
  floor(extract(epoch from clock_timestamp() - a.xact_start))::int as seconds
from unnest(pg_blocking_pids($1)) as b(pid)
join pg_catalog.pg_stat_activity as a on a.pid = b.pid`;

interface Blocker {
  pid: number;
  application: string;
  role: string;
  state: string;
  seconds: number | null;
}

/** Looks from a second session at whom the first one waits for. */
interface BlockerWatch {
  /** Whom it last waited for, in words; null when for nobody. */
  last(): string | null;
  stop(): Promise<void>;
}

/** Watches a session while it waits. Failing to watch is no reason to fail. */
function watchBlockers(url: string, session: Session): BlockerWatch {
  let last: string | null = null;
  let stopped = false;
  const wake = Promise.withResolvers<void>();
  const pauseOrStop = () =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, LOOK_EVERY_MS);
      wake.promise.then(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  const watching = (async () => {
    // Most files never wait: no connection before one has had the time to.
    await pauseOrStop();
    if (stopped) return;
    const watcher = await openSession(url);
    try {
      while (!stopped) {
        const blockers = await watcher.query<Blocker>(WHO, [session.pid]);
        if (blockers.length > 0) last = blockers.map(inWords).join(" and ");
        await pauseOrStop();
      }
    } finally {
      await watcher.close();
    }
  })().catch(() => {});
  return {
    last: () => last,
    stop: async () => {
      stopped = true;
      wake.resolve();
      await watching;
    },
  };
}

function inWords({ pid, application, role, state, seconds }: Blocker): string {
  return `pid ${pid} (${
    application || "unnamed"
  }, role ${role}, ${state}, in a transaction for ${
    seconds ?? 0
  } s; select pg_terminate_backend(${pid}) ends it)`;
}
