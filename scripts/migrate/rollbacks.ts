import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { readDirectives } from "./directives.ts";
import { codeOf, MigrationRefusedError } from "./errors.ts";
import { fileOf, type Migration } from "./migration.ts";

/** A file of `supabase/rollback` and the migrations that it takes back. */
export interface Rollback {
  file: string;
  sql: string;
  /** Versions of the migrations, oldest first; none where that cannot be told. */
  versions: string[];
}

/**
 * Reads the rollback files, newest first. One with the name of a migration takes
 * back that one; one for several says so: `-- migrate: undoes VERSION to VERSION`.
 *
 * @throws {MigrationRefusedError} where two files take back the same
 */
export async function readRollbacks(
  folder: string,
  migrations: readonly Migration[],
): Promise<Rollback[]> {
  const rollbacks: Rollback[] = [];
  const taken = new Map<string, string>();
  for (const file of await sqlFiles(folder)) {
    const sql = await readFile(join(folder, file), "utf8");
    const versions = undoneBy(file, sql, migrations);
    for (const version of versions) {
      const other = taken.get(version);
      if (other !== undefined) {
        throw new MigrationRefusedError(
          `Cannot tell how to take ${version} back: both rollback/${other} and rollback/${file} do`,
        );
      }
      taken.set(version, file);
    }
    rollbacks.push({ file, sql, versions });
  }
  return rollbacks.sort((a, b) =>
    (a.versions.at(-1) ?? "") < (b.versions.at(-1) ?? "") ? 1 : -1
  );
}

/** Says that a version has no rollback file, and why a file may not count. */
export function withoutRollback(
  version: string,
  rollbacks: readonly Rollback[],
): string {
  const strays = rollbacks.filter(({ versions }) => versions.length === 0)
    .map(({ file }) => file);
  return `supabase/rollback has no file for ${version}${
    strays.length === 0
      ? ""
      : `; what ${
        strays.join(", ")
      } takes back cannot be told: give it the name of the migration, or write \`-- migrate: undoes VERSION to VERSION\` into it`
  }`;
}

function undoneBy(
  file: string,
  sql: string,
  migrations: readonly Migration[],
): string[] {
  const { undoes } = readDirectives(`rollback/${file}`, sql);
  return migrations.filter((migration) =>
    undoes === null
      ? fileOf(migration) === file
      : migration.version >= undoes.from && migration.version <= undoes.to
  ).map(({ version }) => version);
}

async function sqlFiles(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder, { withFileTypes: true }))
      .filter((entry) => entry.isFile() && /^\d+.*\.sql$/.test(entry.name))
      .map(({ name }) => name).sort();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}
