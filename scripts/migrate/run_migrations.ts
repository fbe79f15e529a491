import { basename, join } from "node:path";
import {
  apply,
  applyHere,
  beginWithin,
  fileUnit,
  functionUnit,
  inMigration,
  type MigrationContext,
  queryOf,
  rollbackUnit,
  type Unit,
} from "./apply.ts";
import { type Backup, backUpFirst, filesOf } from "./backup.ts";
import {
  HalfDoneError,
  MigrationRefusedError,
  RunFailedError,
  StatementError,
} from "./errors.ts";
import {
  compare,
  pendingMigrations,
  readHistory,
  recordRun,
} from "./history.ts";
import {
  migrationOf,
  type ParsedMigration,
  parseMigration,
  readMigrations,
  readRollbacks,
  readSql,
} from "./migration.ts";
import {
  type MigrateOptions,
  type Options,
  resolveOptions,
} from "./options.ts";
import { chooseRollbacks, refill, undo, type Undone } from "./roll_back.ts";
import {
  isConnectionLoss,
  lockedSession,
  type Session,
  timed,
} from "./session.ts";
import { countAll, type CountedTable, projectTables } from "./tables.ts";
import { readVerifyFile, refuseStrayVerifyFiles } from "./verify.ts";

/** How to execute one migration. */
export interface ExecuteOptions extends MigrateOptions {
  /** Is asked before the commit: false, or what it throws, takes everything back. */
  verifyFn?: (context: MigrationContext) => unknown;
  /** Tables that may have fewer rows afterwards. @default none */
  removesRowsFrom?: readonly string[];
}

/** A migration: a function, or a file that {@link sqlFile} has read. */
export interface MigrationEntry {
  /** Under this name a function is applied once; of a file its own name counts. */
  name: string;
  fn: ((context: MigrationContext) => unknown) | ParsedMigration;
  options?: Pick<
    ExecuteOptions,
    "backupCollections" | "skipBackup" | "verifyFn" | "removesRowsFrom"
  >;
}

/** What became of a migration. */
export interface MigrationResult {
  success: boolean;
  migrationName: string;
  /** Milliseconds. */
  duration: number;
  dryRun: boolean;
  /** Files for `restoreCollection`. */
  backups: string[];
  /** It was applied before, or cannot be tried: nothing was done. */
  skipped: boolean;
  /** Why it failed; a {@link RunFailedError} says what is left of it. */
  error?: Error;
}

/**
 * Reads a file of SQL as a migration. It is recorded in the Supabase CLI's
 * table, and verified by its file in `supabase/verify/`.
 *
 * @param path `…/<version>_<name>.sql`
 * @throws {MigrationRefusedError} where it is not called so
 */
export async function sqlFile(path: string): Promise<ParsedMigration> {
  const migration = migrationOf(basename(path), await readSql(path));
  if (migration !== null) return parseMigration(migration);
  throw new MigrationRefusedError(
    `Cannot migrate with ${path}: expected a name like 20260101000000_fees.sql`,
  );
}

/**
 * Executes one migration, once: backup, then the function or file in one
 * transaction with its record and its verification. Nothing of one that fails
 * stays, and why it failed is recorded.
 *
 * @throws {MigrationRefusedError} {@link RunnerBusyError} {@link BackupError}
 * before anything is begun
 */
export async function executeMigration(
  name: string,
  fn: MigrationEntry["fn"],
  options: ExecuteOptions = {},
): Promise<MigrationResult> {
  const [result] = await runMigrations([{ name, fn, options }], options);
  return result!;
}

/**
 * Executes migrations in their order. A dry run is one transaction, so that each
 * sees what the ones before it did.
 *
 * @param options `stopOnError: false` goes on after one that failed. Those that
 * were applied before it stay, unless `onFailure` is `"undo"`.
 * @returns a result each, up to the one that stopped it
 * @throws {MigrationRefusedError} before anything is begun, also where one of
 * them has an option of the whole run
 */
export async function runMigrations(
  entries: readonly MigrationEntry[],
  { stopOnError = true, ...given }: MigrateOptions & {
    stopOnError?: boolean;
  } = {},
): Promise<MigrationResult[]> {
  for (const entry of entries) refuseOptionsOfRun(entry, given);
  const options = resolveOptions({
    onFailure: "keep",
    ...given,
    ...(stopOnError ? {} : { onFailure: "go on" as const }),
  });
  const { results } = await perform(
    options,
    () => Promise.all(entries.map((each) => unitOf(each, options))),
  );
  return results;
}

const OWN = ["backupCollections", "removesRowsFrom", "skipBackup", "verifyFn"];

/** Without types one may ask for a dry run of its own, which would be none. */
function refuseOptionsOfRun(
  { name, options = {} }: MigrationEntry,
  given: MigrateOptions,
): void {
  for (const [option, value] of Object.entries(options)) {
    const ofRun = given[option as keyof MigrateOptions];
    // Less caution than the run's is not asked for.
    if (OWN.includes(option) || !value || value === ofRun) continue;
    throw new MigrationRefusedError(
      `Cannot migrate: ${name} has the option ${option}, which is for a whole run; give it to runMigrations beside the list`,
    );
  }
}

/** What a run of a project's files did, or would do. */
export interface RunReport {
  dryRun: boolean;
  /** Versions, up to their verification. */
  applied: string[];
  /** What a dry run could not try, one sentence each. */
  notTried: string[];
  /** Folder of the backup; null where there was nothing to keep. */
  backup: string | null;
}

/**
 * Applies the project's files that are pending. When one fails, those which the
 * same run applied before it are taken back. A dry run leaves no trace but the
 * numbers that sequences gave out.
 *
 * @throws {RunFailedError} saying what was undone, and what was not
 * @throws {StatementError} {@link VerificationError} of a dry run
 * @throws {MigrationRefusedError} before anything is begun
 * @throws {RunnerBusyError} when another runner is at it for too long
 */
export async function migrateProject(
  given: MigrateOptions = {},
): Promise<RunReport> {
  const options = resolveOptions(given);
  const { dryRun, supabaseDir, log } = options;
  const run = await perform(options, async ({ query }) => {
    const files = await readMigrations(join(supabaseDir, "migrations"));
    await refuseStrayVerifyFiles(supabaseDir, files);
    const recorded = await readHistory(query);
    for (const { file, state } of compare(files, recorded)) {
      if (state === "drifted") {
        log(`warning    ${file} was edited after it was applied`);
      }
    }
    const pending = pendingMigrations(files, recorded, options)
      .map(parseMigration);
    return await Promise.all(
      pending.map((fn) => unitOf({ name: fn.file, fn }, options)),
    );
  });
  throwFailures(run);
  const { done, notTried, results, backup } = run;
  if (dryRun) {
    log(
      `dry run    ${done.length} of ${results.length} migrations went through; everything was rolled back`,
    );
  } else if (results.length === 0) log("nothing to apply");
  return {
    dryRun,
    applied: done.map(({ version }) => version!),
    notTried,
    backup: backup?.folder ?? null,
  };
}

/** What taking back did, or would do. */
export interface RollBackReport {
  dryRun: boolean;
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
export async function rollBack(
  given: MigrateOptions = {},
): Promise<RollBackReport> {
  const options = resolveOptions({ ...given, onFailure: "keep" });
  const { dryRun, to, log } = options;
  const all = await rollbacksOf(options);
  const run = await perform(options, async ({ query }) => {
    const chosen = chooseRollbacks(all, await readHistory(query), to);
    return chosen.map(rollbackUnit);
  });
  throwFailures(run);
  if (run.results.length === 0) log("nothing to take back");
  else if (dryRun) log("dry run    everything was rolled back");
  return {
    dryRun,
    takenBack: run.done.flatMap(({ takesBack = [] }) => takesBack.toReversed()),
    backup: run.backup?.folder ?? null,
  };
}

async function rollbacksOf({ supabaseDir }: Options) {
  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  return await readRollbacks(join(supabaseDir, "rollback"), migrations);
}

async function unitOf(
  { name, fn, options: own = {} }: MigrationEntry,
  { supabaseDir, dryRun }: Options,
): Promise<Unit> {
  const { verifyFn, removesRowsFrom = [] } = own;
  const unit = typeof fn === "function"
    ? functionUnit(name, ({ query }) => fn({ query, dryRun }))
    : fileUnit(fn, await readVerifyFile(supabaseDir, fn));
  const removes = removesRowsFrom.map((table) =>
    table.includes(".") ? table : `public.${table}`
  );
  return {
    ...unit,
    own,
    removesRows: unit.removesRows === "all"
      ? "all"
      : new Set([...unit.removesRows, ...removes]),
    async problems(session) {
      const problems = await unit.problems?.(session) ?? [];
      try {
        const query = queryOf(name, session);
        const holds = await verifyFn?.({ query, dryRun });
        // Refused where a statement failed and its error was caught.
        await query("select");
        if (holds === false) problems.push("verifyFn answered false");
      } catch (error) {
        problems.push(`verifyFn failed: ${(error as Error).message}`);
      }
      return problems;
    },
  };
}

/** A run as far as it is. */
interface Run {
  session: Session;
  options: Options;
  /** Versions that were recorded before. */
  before: string[];
  /** Tables before. */
  tables: CountedTable[];
  backup: Backup | null;
  results: MigrationResult[];
  done: Unit[];
  notTried: string[];
  /** Tables that were made anew and are empty, one sentence each. */
  notRefilled: string[];
}

/**
 * Does units in a session that holds the lock: for good, after a backup, or in
 * one transaction that is rolled back.
 *
 * @param unitsIn What is to be done; refuses what cannot be done.
 */
async function perform(
  options: Options,
  unitsIn: (session: Session) => Promise<Unit[]>,
): Promise<Run> {
  const session = await lockedSession(options);
  const run: Run = {
    session,
    options,
    before: [],
    tables: [],
    backup: null,
    results: [],
    done: [],
    notTried: [],
    notRefilled: [],
  };
  try {
    // What is wrong with one is told now, not when it is needed.
    if (options.onFailure === "undo") await rollbacksOf(options);
    const units = await unitsIn(session);
    if (units.length === 0) return run;
    if (options.dryRun) {
      await inMigration(
        session,
        options,
        () => performAll(run, units),
        "rollback",
      );
      return run;
    }
    run.before = (await readHistory(session.query))
      .map(({ version }) => version);
    if (units.some(({ own }) => !own?.skipBackup && !own?.backupCollections)) {
      run.backup = await backUpFirst(session, options);
    }
    await performAll(run, units);
    return run;
  } finally {
    await run.session.close();
  }
}

async function performAll(run: Run, units: readonly Unit[]): Promise<void> {
  const { session, backup, options } = run;
  const { dryRun, log } = options;
  // The backup has counted already, where it has all.
  const known = backup === null || options.backupCollections
    ? await countAll(session.query)
    : new Map(backup.tables.map(({ name, rows }) => [name, rows]));
  run.tables = (await projectTables(session.query)).map((table) => ({
    ...table,
    rows: known.get(table.name) ?? 0,
  }));
  for (const unit of units) {
    const { own, name, takesBack } = unit;
    const [would, did] = takesBack
      ? ["would undo", "taken back"]
      : ["would apply", "applied"];
    const { query } = run.session;
    const start = performance.now();
    const time = timed();
    let files = own?.skipBackup ? [] : filesOf(backup);
    const push = (said: string, more: Partial<MigrationResult> = {}) => {
      const label = takesBack
        ? `${takesBack.toReversed().join(", ")} with ${name}`
        : name;
      log(`${said.padEnd(10)} ${label} ${time()}`);
      run.results.push({
        success: true,
        migrationName: name,
        duration: Math.round(performance.now() - start),
        dryRun,
        backups: files,
        skipped: false,
        ...more,
      });
    };
    if (await unit.isDone(query)) {
      push("is there", { skipped: true });
      continue;
    }
    if (dryRun && unit.apart) {
      const sentence =
        `${unit.name} cannot be tried: its statements may not run in a transaction`;
      run.notTried.push(sentence);
      log(`warning    ${sentence}`);
      push("not tried", { skipped: true });
      continue;
    }
    if (dryRun) {
      await beginWithin(run.session, options);
      await query("savepoint unit");
    }
    const backUpOwn = async () => {
      const { backupCollections } = own ?? {};
      if (dryRun || backupCollections === undefined) return;
      files = filesOf(
        await backUpFirst(run.session, { ...options, backupCollections }),
      );
    };
    // Refused while nothing is begun; later what was done is to be told.
    const isBegun = run.results.length > 0;
    if (!isBegun) await backUpOwn();
    try {
      if (isBegun) await backUpOwn();
      await (dryRun ? applyHere : apply)(run.session, unit, known, options);
      run.done.push(unit);
      push(dryRun ? would : did);
    } catch (cause) {
      const error = dryRun
        ? explained(cause as Error, run.notTried)
        : await failed(run, unit, cause as Error);
      push("failed", { success: false, error });
      if (options.onFailure !== "go on" || run.session.lost()) break;
      if (dryRun) await query("rollback to savepoint unit");
    }
  }
  if (run.session.lost()) return;
  if (backup !== null && run.done.some(({ takesBack }) => takesBack)) {
    const { undone, notUndone } = await refill(run.session, backup);
    undone.forEach((line) => log(`restored   ${line}`));
    run.notRefilled = notUndone;
  }
}

/** A dry run has one transaction where a run has several. */
function explained(error: Error, notTried: readonly string[]): Error {
  const because = error instanceof StatementError && error.sqlState === "55P04"
    ? "each file has a transaction of its own in a real run, where this enum value would be committed by now"
    : notTried.length > 0
    ? `this may be because ${notTried.join("; ")}`
    : null;
  if (because !== null) error.message += `\n  dry run: ${because}`;
  return error;
}

/** Undoes and records a failure; says what is left of it. */
async function failed(
  run: Run,
  unit: Unit,
  cause: Error,
): Promise<RunFailedError> {
  const { message } = cause;
  try {
    if (isConnectionLoss(run.session, cause)) {
      await run.session.close();
      run.session = await lockedSession(run.options);
    }
    const { undone, notUndone } = await takeRunBack(run, unit, cause);
    if (!unit.takesBack) {
      await recordRun(run.session.query, unit.name, message);
    }
    return new RunFailedError(message, undone, notUndone, cause);
  } catch (second) {
    return new RunFailedError(message, [], [
      `cannot reach the database to look, to undo and to record it: ${
        (second as Error).message
      }`,
      ...run.done.map(({ name }) => `${name}: done by this run`),
    ], cause);
  }
}

async function takeRunBack(
  { session, done, before, tables, backup, options }: Run,
  unit: Unit,
  cause: Error,
): Promise<Undone> {
  const stays = cause instanceof HalfDoneError ? cause.stays : [];
  const committed = await unit.isDone(session.query);
  // Of a file that runs apart the first statements may be there without record.
  const half = stays.length > 0 && !committed;
  const clean = half || committed
    ? []
    : [`${unit.name}: nothing of it stays, its transaction was rolled back`];
  if (options.onFailure !== "undo") {
    const kept = done.flatMap(({ name, version = name, takesBack }) =>
      takesBack?.map((each) => `${each}: was taken back before that`) ??
        `${version}: kept, as asked`
    );
    if (options.onFailure === "go on") kept.length = 0;
    return { undone: clean, notUndone: [...stays, ...kept] };
  }
  const rollbacks = await rollbacksOf(options);
  const whole = half &&
    rollbacks.some(({ versions }) =>
      versions.length === 1 && versions[0] === unit.version
    );
  const { undone, notUndone } = await undo(
    session,
    whole || committed ? [...done, unit] : done,
    before,
    rollbacks,
    tables,
    backup,
    options,
  );
  return {
    undone: [...clean, ...undone],
    notUndone: [...(whole ? [] : stays), ...notUndone],
  };
}

/** Throws what failed in a run, as one. */
function throwFailures(run: Run): void {
  const failures = run.results.flatMap(({ error }) => error ?? []);
  if (run.notRefilled.length > 0) {
    const [failure] = failures;
    const { undone, notUndone } = failure instanceof RunFailedError
      ? failure
      : { undone: [], notUndone: [] };
    throw new RunFailedError(
      failure?.message ??
        "Tables that were made anew could not be given their rows",
      undone,
      [...notUndone, ...run.notRefilled],
      failure,
    );
  }
  if (failures.length === 0) return;
  if (run.options.onFailure !== "go on") throw failures[0];
  const all = failures.filter((each) => each instanceof RunFailedError);
  throw new RunFailedError(
    failures.map(({ message }) => message).join("\n"),
    all.flatMap(({ undone }) => undone),
    [
      ...all.flatMap(({ notUndone }) => notUndone),
      ...run.done.map(({ version }) => `${version}: applied, as asked`),
    ],
    failures[0],
  );
}
