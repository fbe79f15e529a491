import { join } from "node:path";
import { MigrationRefusedError, RunFailedError } from "./errors.ts";
import { readHistory, type Recorded } from "./history.ts";
import { withLockedSession } from "./locked_session.ts";
import { readMigrations } from "./migration.ts";
import {
  executeOptions,
  type MigrateOptions,
  resolveOptions,
} from "./options.ts";
import { readRollbacks, type Rollback, withoutRollback } from "./rollbacks.ts";
import { backUpFirst } from "./run_migrations.ts";
import { takeBack } from "./take_back.ts";
import { timed } from "./timed.ts";
import { refill } from "./undo.ts";

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
  const { supabaseDir, log } = options;
  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  const all = await readRollbacks(join(supabaseDir, "rollback"), migrations);
  return await withLockedSession(options, async (session) => {
    const recorded = await readHistory(session.query);
    const rollbacks = chooseRollbacks(all, recorded, options.to);
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
