import { MigrationRefusedError } from "./errors.ts";
import { hasDrifted, type Recorded } from "./history.ts";
import { fileOf, type Migration } from "./migration.ts";

/** Where a version stands: in the files, in the database, or in both. */
export interface VersionState {
  version: string;
  /** The file's name; null where only the database knows the version. */
  file: string | null;
  state:
    | "applied"
    /** Edited after it was applied. */
    | "drifted"
    | "pending"
    /** Older than one that is applied. */
    | "skipped"
    /** Applied, and there is no file. */
    | "no file";
}

/** Compares the files with the records. */
export function compare(
  migrations: readonly Migration[],
  recorded: readonly Recorded[],
): VersionState[] {
  const records = new Map(recorded.map((each) => [each.version, each]));
  const newest = recorded.at(-1)?.version ?? "";
  const states: VersionState[] = migrations.map((migration) => {
    const record = records.get(migration.version);
    records.delete(migration.version);
    const file = fileOf(migration);
    const { version } = migration;
    if (record === undefined) {
      const state = version < newest ? "skipped" : "pending";
      return { version, file, state };
    }
    const state = hasDrifted(migration, record) ? "drifted" : "applied";
    return { version, file, state };
  });
  for (const version of records.keys()) {
    states.push({ version, file: null, state: "no file" });
  }
  return states.sort((a, b) => a.version < b.version ? -1 : 1);
}

/**
 * Chooses the migrations to apply, with the same refusals as `supabase db push`.
 *
 * @throws {MigrationRefusedError}
 */
export function pendingMigrations<T extends Migration>(
  migrations: readonly T[],
  recorded: readonly Recorded[],
  { to, includeAll = false }: { to?: string; includeAll?: boolean },
): T[] {
  const states = compare(migrations, recorded);
  const orphans = states.filter(({ state }) => state === "no file")
    .map(({ version }) => version);
  if (orphans.length > 0) {
    throw new MigrationRefusedError(
      `The database has versions that supabase/migrations lacks: ${
        orphans.join(", ")
      }. Get the files, or, where they were taken back by hand: supabase migration repair --status reverted ${
        orphans.join(" ")
      }`,
    );
  }
  const skipped = states.filter(({ state }) => state === "skipped");
  if (skipped.length > 0 && !includeAll) {
    throw new MigrationRefusedError(
      `Older than the last one applied, and not applied: ${
        skipped.map(({ file }) => file).join(", ")
      }. Rename them, or apply them all the same with --include-all`,
    );
  }
  if (to !== undefined && !migrations.some(({ version }) => version === to)) {
    throw new MigrationRefusedError(
      `Cannot migrate to ${to}: supabase/migrations has no such version`,
    );
  }
  const pending = new Set(
    states.filter(({ state }) => state === "pending" || state === "skipped")
      .map(({ version }) => version),
  );
  return migrations.filter(({ version }) =>
    pending.has(version) && (to === undefined || version <= to)
  );
}
