import { setTimeout } from "node:timers/promises";
import {
  HalfDoneError,
  MigrationRefusedError,
  sqlStateOf,
  type StatementError,
} from "./errors.ts";
import {
  ensureHistory,
  readHistory,
  readRuns,
  recordMigration,
  recordRun,
  RESET_SESSION,
  type RunQuery,
  unrecordMigrations,
} from "./history.ts";
import {
  type Directives,
  type ParsedMigration,
  readDirectives,
  type Rollback,
} from "./migration.ts";
import type { Options } from "./options.ts";
import {
  assertLocked,
  inTransaction,
  isConnectionLoss,
  openSession,
  runStatements,
  type Session,
} from "./session.ts";
import {
  controlsTransaction,
  planExecution,
  splitStatements,
  type Statement,
} from "./statements.ts";
import {
  countRows,
  type KnownRows,
  type RowLoss,
  watchRows,
} from "./tables.ts";
import {
  insist,
  SPOILT,
  type VerifyFile,
  verifyFileProblems,
  watchCatalog,
} from "./verify.ts";

/** What is applied as one: a file of SQL, or a function. */
export interface Unit {
  /** The file's name, or what the function is called. */
  name: string;
  /** Of a file. */
  version?: string;
  /** Versions that a rollback file takes back, oldest first. */
  takesBack?: readonly string[];
  /** Statements that may not run in a transaction: one by one, each committed. */
  apart?: readonly Statement[];
  removesRows: Directives["removesRows"];
  /** Makes constraints that are to be validated later. */
  leavesUnchecked?: boolean;
  /** How to back up for it, where that is not as for the whole run. */
  own?: { backupCollections?: readonly string[]; skipBackup?: boolean };
  run(session: Session): Promise<void>;
  record(query: RunQuery): Promise<void>;
  isDone(query: RunQuery): Promise<boolean>;
  /** What does not hold afterwards, one sentence each. */
  problems?(session: Session): Promise<string[]>;
}

/** What is applied of a file. */
export function fileUnit(
  migration: ParsedMigration,
  verify: VerifyFile | null,
): Unit {
  const { file, version, directives, sql } = migration;
  return {
    ...unitOfStatements(file, migration.statements, directives),
    version,
    leavesUnchecked: /\bnot\s+valid\b/i.test(sql),
    async record(query) {
      await ensureHistory(query);
      await recordMigration(query, migration);
    },
    isDone: async (query) =>
      (await readHistory(query)).some((each) => each.version === version),
    problems: async (session) =>
      verify ? await verifyFileProblems(session, verify) : [],
  };
}

/** What is done to take migrations back: their file is run, their records go. */
export function rollbackUnit({ file, sql, versions }: Rollback): Unit {
  const name = `rollback/${file}`;
  return {
    ...unitOfStatements(
      name,
      splitStatements(sql),
      readDirectives(name, sql),
    ),
    takesBack: versions,
    removesRows: "all",
    record: (query) => unrecordMigrations(query, versions),
    isDone: async (query) =>
      !(await readHistory(query)).some(({ version }) =>
        versions.includes(version)
      ),
  };
}

function unitOfStatements(
  name: string,
  all: readonly Statement[],
  directives: Directives,
) {
  const { statements, transactional } = planExecution(name, all, directives);
  return {
    name,
    removesRows: directives.removesRows,
    ...(transactional ? {} : { apart: statements }),
    run: (session: Session) => runStatements(session, name, statements),
  };
}

/** What a function of a migration is given. */
export interface MigrationContext {
  /** Runs a statement, with parameters, in the migration's transaction. */
  query: RunQuery;
  /** Whether everything is rolled back in the end. */
  dryRun: boolean;
}

/** Asks as a function may: the transaction is not its to end. */
export function queryOf(name: string, { query }: Session): RunQuery {
  return async (text, params) => {
    if (controlsTransaction(text)) {
      throw new MigrationRefusedError(
        `Cannot run ${name}: it controls the transaction (${text}); leave that out, each function has a transaction of its own`,
      );
    }
    return await query(text, params);
  };
}

/** What is applied of a function. */
export function functionUnit(
  name: string,
  fn: (context: Pick<MigrationContext, "query">) => unknown,
): Unit {
  return {
    name,
    removesRows: new Set(),
    run: async (session) => void await fn({ query: queryOf(name, session) }),
    record: (query) => recordRun(query, name, null),
    isDone: async (query) =>
      (await readRuns(query)).some((each) =>
        each.name === name && each.error === null
      ),
  };
}

/**
 * Applies one unit: what it does, its record and its verification in one
 * transaction, which is tried again where a lock was not to be had. Statements
 * that may not run in a transaction are run one by one.
 *
 * The session holds the lock of {@link takeLock}.
 *
 * @throws {StatementError} when a statement fails
 * @throws {VerificationError} when what it did does not hold
 * Both leave nothing behind, except of a file that runs apart.
 */
export async function apply(
  session: Session,
  unit: Unit,
  known: KnownRows,
  options: Options,
): Promise<void> {
  await withLockRetries(session, options, async () => {
    if (unit.apart) return await runApart(session, unit, unit.apart);
    await inMigration(
      session,
      options,
      () => applyHere(session, unit, known, options),
    );
  });
}

/** Applies a unit within the transaction that the session is in. */
export async function applyHere(
  session: Session,
  unit: Unit,
  knownBefore: KnownRows,
  { log }: Options,
): Promise<void> {
  // What is rolled back has not changed what is known.
  const known: KnownRows = new Map(knownBefore);
  const { query } = session;
  await assertLocked(session);
  // First, not last: whoever applies the same with other tools is found out
  // before anything is done twice.
  await unit.record(query);
  const newProblems = await watchCatalog(query);
  const locked = new Set<string>();
  let losses: RowLoss[];
  await query("savepoint migration");
  for (;;) {
    const lossesSince = await watchRows(query);
    await unit.run(session);
    await query("reset role");
    losses = await lossesSince(known, locked, unit.removesRows);
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
  await insist(`${unit.name} did not pass its verification`, async () => {
    await query("set constraints all immediate");
    let found = await newProblems();
    // Whoever writes `not valid` validates later, to hold no lock meanwhile.
    if (unit.leavesUnchecked) {
      found.forEach((problem) => log(`warning    ${problem}`));
      found = [];
    }
    return [
      ...found,
      ...losses.map(({ table, text }) =>
        `${text}; where that is meant, ${
          unit.version
            ? `write \`-- migrate: removes rows from ${table}\` into the file`
            : `say so: removesRowsFrom: ["${table}"]`
        }`
      ),
      ...await unit.problems?.(session) ?? [],
    ];
  });
  known.forEach((rows, table) => knownBefore.set(table, rows));
}

// The server is to notice when this process is killed in the middle of a long
// statement, and let go of the lock. Not on every platform can it.
const CHECK = "client_connection_check_interval";

/** Undoes what an earlier file may have set for the session. */
async function prepareSession({ query }: Session): Promise<void> {
  await query(RESET_SESSION);
  await query(`set ${CHECK} = '2s'`).catch(() => {});
}

/** Runs `work` in a transaction with the limits of a migration's. */
export async function inMigration(
  session: Session,
  options: Options,
  work: () => Promise<void>,
  end?: "commit" | "rollback",
): Promise<void> {
  await prepareSession(session);
  await inTransaction(session, async () => {
    await setLimits(session, options);
    await work();
  }, end && { end });
}

// A migration may take its time once it has its locks.
async function setLimits(
  { query }: Session,
  { lockTimeoutMs }: Options,
): Promise<void> {
  await query(
    `set local lock_timeout = ${lockTimeoutMs}; set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0`,
  );
}

/** What {@link inMigration} begins with, within a transaction that several share. */
export async function beginWithin(
  session: Session,
  options: Options,
): Promise<void> {
  const { query } = session;
  // Where a platform cannot do it, to ask for it would end the transaction.
  const [row] = await query<{ check: string }>(
    `select current_setting('${CHECK}') as check`,
  );
  await query(RESET_SESSION);
  await query(`select set_config('${CHECK}', $1, false)`, [row!.check]);
  await setLimits(session, options);
}

const FIRST_PAUSE_MS = 500;
const LOCK_NOT_AVAILABLE = "55P03";

/** Tries again, later each time, where a lock was not to be had. */
async function withLockRetries(
  session: Session,
  { databaseUrl, lockRetries, log }: Options,
  attempt: () => Promise<void>,
): Promise<void> {
  const watch = watchBlockers(databaseUrl, session);
  try {
    for (let tried = 0;; tried++) {
      try {
        return await attempt();
      } catch (error) {
        const { sqlState = sqlStateOf(error) } = error as StatementError;
        if (sqlState !== LOCK_NOT_AVAILABLE) throw error;
        const blocker = watch.last() ?? "another session";
        if (tried >= lockRetries) {
          (error as Error).message += `\n  blocked by: ${blocker}\n  tried: ${
            tried + 1
          } times`;
          throw error;
        }
        const ms = FIRST_PAUSE_MS * 2 ** tried * (0.75 + Math.random() / 2);
        log(
          `warning    a lock was not to be had, blocked by ${blocker}; trying again in ${
            (ms / 1000).toFixed(1)
          } s`,
        );
        await setTimeout(ms);
      }
    }
  } finally {
    await watch.stop();
  }
}

/**
 * Runs statements that may not run in a transaction: one after the other, each
 * committed by itself, then the record and the verification. The unusable index
 * that a failed `create index concurrently` leaves is dropped.
 *
 * @throws {HalfDoneError} naming what stays of it
 */
async function runApart(
  session: Session,
  unit: Unit,
  statements: readonly Statement[],
): Promise<void> {
  const { query } = session;
  await prepareSession(session);
  // Building an index concurrently blocks nobody, but waits for every older
  // transaction: a short lock time-out would never let it end.
  await query("set statement_timeout = 0; set lock_timeout = 0");
  await assertLocked(session);
  await dropLeftovers(query, statements);
  const invalid = await invalidIndexes(query);
  const newProblems = await watchCatalog(query);
  const done: string[] = [];
  try {
    await runStatements(session, unit.name, statements, (number) => {
      done.push(
        `${unit.name}, statement ${number}: committed by itself, stays`,
      );
    });
    await inTransaction(session, async () => {
      await unit.record(query);
      await insist(`${unit.name} did not pass its verification`, async () => [
        ...await newProblems(),
        ...await unit.problems?.(session) ?? [],
      ]);
    });
  } catch (error) {
    if (isConnectionLoss(session, error)) {
      done.push(
        `${unit.name}: the connection was lost; look for an index that is not valid: migrate --verify names it`,
      );
    } else done.push(...await dropSpoilt(query, invalid));
    throw new HalfDoneError(done, error);
  }
}

async function invalidIndexes(query: RunQuery): Promise<string[]> {
  const rows = await query<{ name: string }>(
    `select i.indexrelid::regclass::text as name from pg_catalog.pg_index as i where ${SPOILT}`,
  );
  return rows.map(({ name }) => name);
}

/**
 * Drops unusable indexes that the statements build: a runner that was killed
 * left them, and `if not exists` would take them for done.
 */
async function dropLeftovers(
  query: RunQuery,
  statements: readonly Statement[],
): Promise<void> {
  const left = await query<{ name: string; bare: string; plain: string }>(
    `select i.indexrelid::regclass::text as name, quote_ident(c.relname) as bare, c.relname as plain
     from pg_catalog.pg_index as i
     join pg_catalog.pg_class as c on c.oid = i.indexrelid and c.relkind = 'i'
     where ${SPOILT}`,
  );
  for (const { name, bare, plain } of left) {
    const isBuilt = statements.some(({ text }) => {
      const [, built = ""] = BUILDS.exec(text) ?? [];
      return built === bare || built.toLowerCase() === plain ||
        built === `"${plain}"`;
    });
    if (isBuilt) await query(`drop index concurrently ${name}`);
  }
}

const BUILDS =
  /\bindex\s+concurrently\s+(?:if\s+not\s+exists\s+)?("(?:[^"]|"")+"|[^\s"]+)\s+on\b/i;

/** Drops indexes that became unusable; answers those that could not be dropped. */
async function dropSpoilt(
  query: RunQuery,
  before: readonly string[],
): Promise<string[]> {
  const left: string[] = [];
  for (const name of await invalidIndexes(query)) {
    if (before.includes(name)) continue;
    const drop = `drop index concurrently ${name}`;
    await query(drop).catch(({ message }: Error) =>
      left.push(`index ${name} is unusable and stays (${message}): ${drop}`)
    );
  }
  return left;
}

const LOOK_EVERY_MS = 400;

const BLOCKERS = `
select string_agg(format(
    'pid %1$s (%2$s, role %3$s, %4$s, in a transaction for %5$s s; select pg_terminate_backend(%1$s) ends it)',
    a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), a.usename, a.state,
    coalesce(floor(extract(epoch from clock_timestamp() - a.xact_start)), 0)
  ), ' and ') as words
from unnest(pg_blocking_pids($1)) as b(pid)
join pg_catalog.pg_stat_activity as a on a.pid = b.pid`;

/**
 * Looks from a second session at whom the first one waits for. Most files never
 * wait: it connects when one has had the time to.
 */
function watchBlockers(url: string, { pid }: Session) {
  let last: string | null = null;
  let watcher: Promise<Session> | undefined;
  const look = async () => {
    watcher ??= openSession(url);
    const { query } = await watcher;
    const [row] = await query<{ words: string | null }>(BLOCKERS, [pid]);
    last = row?.words ?? last;
  };
  // Failing to watch is no reason to fail.
  const timer = setInterval(() => void look().catch(() => {}), LOOK_EVERY_MS);
  return {
    /** Whom it last waited for, in words; null when for nobody. */
    last: () => last,
    async stop(): Promise<void> {
      clearInterval(timer);
      await watcher?.then(({ close }) => close()).catch(() => {});
    },
  };
}
