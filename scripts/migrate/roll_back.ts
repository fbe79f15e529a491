import { apply, rollbackUnit, type Unit } from "./apply.ts";
import { type Backup, restoreTables } from "./backup.ts";
import { MigrationRefusedError } from "./errors.ts";
import type { Recorded } from "./history.ts";
import { type Rollback, withoutRollback } from "./migration.ts";
import type { Options } from "./options.ts";
import type { Session } from "./session.ts";
import { type CountedTable, countRows, projectTables } from "./tables.ts";

/**
 * Chooses the rollback files to run, newest first.
 *
 * @param to Version to keep as the last one. @default all but what the newest
 * rollback file takes back
 * @throws {MigrationRefusedError} where a version has none, or shares one with
 * a version to be kept
 */
export function chooseRollbacks(
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
  const isKept = (version: string) =>
    to === undefined
      ? version !== versions.at(-1)
      : to !== "0" && version <= to;
  const chosen = new Set<Rollback>();
  for (const version of versions.toReversed()) {
    if (isKept(version)) continue;
    const rollback = rollbacks.find((each) => each.versions.includes(version));
    if (rollback === undefined) {
      throw new MigrationRefusedError(
        `Cannot roll back: ${withoutRollback(version, rollbacks)}`,
      );
    }
    chosen.add(rollback);
  }
  for (const { file, versions: all } of chosen) {
    if (to === undefined || !all.some(isKept)) continue;
    throw new MigrationRefusedError(
      `Cannot roll back to ${to}: rollback/${file} takes ${all[0]} to ${
        all.at(-1)
      } back together; choose a version before ${all[0]} or ${all.at(-1)}`,
    );
  }
  return [...chosen];
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
 * @param applied What the run applied, oldest first.
 * @param before Versions that were recorded before the run.
 * @param tables Tables that there were before the run.
 */
export async function undo(
  session: Session,
  applied: readonly Unit[],
  before: readonly string[],
  rollbacks: readonly Rollback[],
  tables: readonly CountedTable[],
  backup: Backup | null,
  options: Options,
): Promise<Undone> {
  let left = [...applied];
  const undone: string[] = [];
  const notUndone: string[] = [];
  while (left.length > 0 && notUndone.length === 0) {
    const newest = left.at(-1)!;
    const rollback = rollbacks.find(({ versions }) =>
      versions.includes(newest.version ?? "")
    );
    const problem = await whyNot(session, newest, rollback, before, options);
    if (problem === null) {
      const { versions, file } = rollback!;
      undone.push(`${versions.join(", ")}: taken back with rollback/${file}`);
      left = left.filter(({ version = "" }) => !versions.includes(version));
      continue;
    }
    notUndone.push(
      ...left.reverse().map(({ name, version = name }, index) =>
        `${version}: stays applied, ${
          index === 0 ? problem : "because a newer one does"
        }`
      ),
    );
  }
  if (undone.length > 0) {
    if (backup !== null) {
      const refilled = await refill(session, backup);
      undone.push(...refilled.undone);
      notUndone.push(...refilled.gone, ...refilled.notUndone);
    }
    const removing = applied.filter((unit) => !left.includes(unit))
      .map(({ removesRows }) => removesRows);
    notUndone.push(...await lossesSince(session, tables, backup, removing));
  }
  return { undone, notUndone };
}

/** Takes a unit back, or says why not. */
async function whyNot(
  session: Session,
  { version }: Unit,
  rollback: Rollback | undefined,
  before: readonly string[],
  options: Options,
): Promise<string | null> {
  if (version === undefined) {
    return "a function has no rollback file; restoreCollection puts its tables back";
  }
  if (rollback === undefined) return "supabase/rollback has no file for it";
  const others = rollback.versions.filter((each) => before.includes(each));
  if (others.length > 0) {
    return `rollback/${rollback.file} also takes back ${
      others.join(", ")
    }, not of this run`;
  }
  try {
    await apply(session, rollbackUnit(rollback), new Map(), options);
    return null;
  } catch (error) {
    return `its rollback failed: ${(error as Error).message}`;
  }
}

/**
 * Finds what migrations took that neither rollback files nor {@link refill}
 * brought back: values of columns that were made anew, and rows.
 *
 * @param removing What the migrations said that they remove.
 * @returns a sentence each
 */
async function lossesSince(
  { query }: Session,
  before: readonly CountedTable[],
  backup: Backup | null,
  removing: readonly Unit["removesRows"][],
): Promise<string[]> {
  const losses: string[] = [];
  const tables = await projectTables(query);
  for (const { name, oid, rows, columns } of before) {
    if (rows === 0) continue;
    const isKept = backup?.tables.some((each) => each.name === name);
    const how = isKept
      ? `in ${backup?.folder}; restore --table ${name} puts all of the table back to it`
      : "in no backup of this run";
    const same = tables.find((each) => each.oid === oid);
    const found = same ?? tables.find((each) => each.name === name);
    if (same) {
      const numbers = new Map(same.columns.map((each) => [each.name, each]));
      const remade = columns.filter(({ name, number, generated }) =>
        !generated && numbers.get(name)?.number !== number
      ).map(({ name }) => name);
      if (remade.length > 0) {
        losses.push(
          `${name}: ${remade.join(", ")} was made anew; its values are ${how}`,
        );
      }
      const isMeant = removing.some((each) => each === "all" || each.has(name));
      if (!isMeant) continue;
    } else if (isKept) continue;
    const left = found ? await countRows(query, found.name) : 0;
    if (left < rows) {
      losses.push(`${name}: ${left} of ${rows} rows are there; all are ${how}`);
    }
  }
  return losses;
}

/** What became of the tables that a backup has. */
export interface Refilled extends Undone {
  /** Tables that there are no more, with their rows. */
  gone: string[];
}

/**
 * Fills tables which were dropped and made again since the backup, unless the
 * rollback file has given them rows: those may be another form of the old ones.
 */
export async function refill(
  session: Session,
  backup: Backup,
): Promise<Refilled> {
  const now = new Map(
    (await projectTables(session.query)).map(({ name, oid }) => [name, oid]),
  );
  const kept = backup.tables.filter(({ rows }) => rows > 0);
  const gone = kept.filter(({ name }) => !now.has(name))
    .map(({ name, rows }) =>
      `${name}: gone; its ${rows} rows are in ${backup.folder}`
    );
  const remade: string[] = [];
  const undone: string[] = [];
  const notUndone: string[] = [];
  for (const { name, oid, rows } of kept) {
    if ([undefined, oid].includes(now.get(name))) continue;
    const own = await countRows(session.query, name);
    if (own === 0) remade.push(name);
    else if (own < rows) {
      notUndone.push(
        `${name}: was made anew and has ${own} rows; the ${rows} from before are in ${backup.folder}`,
      );
    }
  }
  const tables = remade.join(", ");
  try {
    if (remade.length > 0) {
      const rows = await restoreTables(session, backup, remade);
      undone.push(`${tables}: ${rows} rows restored from the backup`);
    }
  } catch (error) {
    notUndone.push(
      `${tables}: empty, its rows are in ${backup.folder}: ${
        (error as Error).message
      }`,
    );
  }
  return { undone, gone, notUndone };
}
