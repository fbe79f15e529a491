import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Directives, readDirectives } from "./directives.ts";
import { codeOf, MigrationRefusedError } from "./errors.ts";
import { splitStatements, type Statement } from "./statements.ts";

/** One file of `supabase/migrations`. */
export interface Migration {
  version: string;
  name: string;
  sql: string;
}

/** Reads the migrations of a folder in the order of their versions. */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const migrations: Migration[] = [];
  try {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const match = /^(\d+)_(.*)\.sql$/.exec(entry.name);
      if (!entry.isFile() || !match) continue;
      const [, version = "", name = ""] = match;
      const sql = await readFile(join(folder, entry.name), "utf8");
      migrations.push({ version, name, sql });
    }
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
  // Compared as text, as the Supabase CLI does.
  migrations.sort((a, b) => a.version < b.version ? -1 : 1);
  refuseTwins(migrations);
  return migrations;
}

function refuseTwins(migrations: Migration[]): void {
  migrations.forEach((migration, index) => {
    const next = migrations[index + 1];
    if (next?.version !== migration.version) return;
    throw new MigrationRefusedError(
      `Cannot read the migrations: ${fileOf(migration)} and ${
        fileOf(next)
      } have the same version; give one of them another`,
    );
  });
}

/** Name of a migration's file. */
export function fileOf({ version, name }: Migration): string {
  return `${version}_${name}.sql`;
}

/** A migration taken apart. */
export interface ParsedMigration extends Migration {
  file: string;
  statements: Statement[];
  directives: Directives;
}

/** Takes a migration apart. */
export function parseMigration(migration: Migration): ParsedMigration {
  const file = fileOf(migration);
  return {
    ...migration,
    file,
    statements: splitStatements(migration.sql),
    directives: readDirectives(file, migration.sql),
  };
}
