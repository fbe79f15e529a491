import type { Backup } from "./backup.ts";
import type { ExecuteOptions } from "./execute_migration.ts";
import { restoreCollections } from "./restore_collection.ts";
import type { Rollback } from "./rollbacks.ts";
import type { Session } from "./session.ts";
import { takeBack } from "./take_back.ts";
import { projectTables } from "./tables.ts";

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
export async function refill(
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
