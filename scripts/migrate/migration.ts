import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, MigrationRefusedError } from "./errors.ts";
import { splitStatements, type Statement } from "./statements.ts";

/** One file of `supabase/migrations`. */
export interface Migration {
  version: string;
  name: string;
  sql: string;
}

/**
 * Reads a file of SQL.
 *
 * @throws {MigrationRefusedError} where it is not UTF-8: letters that cannot be
 * read would be replaced in silence
 */
export async function readSql(path: string): Promise<string> {
  const bytes = await readFile(path);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch (error) {
    throw new MigrationRefusedError(
      `Cannot read ${path}: it is not UTF-8; save it as UTF-8`,
      { cause: error },
    );
  }
}

/** Reads the files of SQL in a folder that begin with a version; none without it. */
async function sqlFiles(
  folder: string,
): Promise<{ file: string; sql: string }[]> {
  const entries = await readdir(folder, { withFileTypes: true })
    .catch((error) => {
      if (codeOf(error) === "ENOENT") return [];
      throw error;
    });
  // Links as well, as the Supabase CLI does.
  const names = entries
    .filter((entry) => !entry.isDirectory() && /^\d+.*\.sql$/.test(entry.name))
    .map(({ name }) => name).sort();
  return await Promise.all(names.map(async (file) => ({
    file,
    sql: await readSql(join(folder, file)),
  })));
}

/**
 * Reads the migrations of a folder in the order of their versions.
 *
 * @throws {MigrationRefusedError} where two have the same
 */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const migrations = (await sqlFiles(folder))
    .flatMap(({ file, sql }) => migrationOf(file, sql) ?? [])
    // Compared as text, as the Supabase CLI does.
    .sort((a, b) => a.version < b.version ? -1 : 1);
  migrations.forEach((migration, index) => {
    const next = migrations[index + 1];
    if (next?.version !== migration.version) return;
    throw new MigrationRefusedError(
      `Cannot read the migrations: ${fileOf(migration)} and ${
        fileOf(next)
      } have the same version; give one of them another`,
    );
  });
  return migrations;
}

/** What a file is as a migration; null where its name says that it is none. */
export function migrationOf(file: string, sql: string): Migration | null {
  const match = /^(\d+)_(.*)\.sql$/.exec(file);
  if (match === null) return null;
  const [, version = "", name = ""] = match;
  return { version, name, sql };
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

/** What a file says about itself in comments `-- migrate: …`. */
export interface Directives {
  /** Tables that may end up with fewer rows; `all` for any. */
  removesRows: "all" | ReadonlySet<string>;
  /** Must not run in a transaction, although nothing in it shows that. */
  noTransaction: boolean;
  /** For a rollback file: the first and last version it takes back. */
  undoes: { from: string; to: string } | null;
}

const KNOWN =
  "`removes rows`, `removes rows from schema.table, …`, `no transaction`, `undoes VERSION to VERSION`";

/**
 * Reads the directives of a file.
 *
 * @throws {MigrationRefusedError} on one that is not known: a typing error in
 * it would otherwise switch a safeguard off or on in silence
 *
 * @example
 * ```ts
 * import { readDirectives } from "./scripts/migrate/migration.ts";
 * const sql = "-- migrate: removes rows from public.drafts\ndelete from public.drafts;";
 * console.assert((readDirectives("1_a.sql", sql).removesRows as Set<string>).has("public.drafts"));
 * ```
 */
export function readDirectives(file: string, sql: string): Directives {
  const tables = new Set<string>();
  const found: Directives = {
    removesRows: tables,
    noTransaction: false,
    undoes: null,
  };
  // Editors on Windows begin a file with a mark of its encoding.
  for (
    const [, text = ""] of sql.matchAll(
      /^\ufeff?[ \t]*--[ \t]*migrate:(.*)$/gm,
    )
  ) {
    const words = text.trim().replace(/\.$/, "");
    const from = /^removes rows from (\S.*)$/.exec(words)?.[1];
    const range = /^undoes (\d+)(?: to (\d+))?$/.exec(words);
    if (words === "removes rows") found.removesRows = "all";
    else if (words === "no transaction") found.noTransaction = true;
    else if (from !== undefined) {
      for (const name of from.split(",")) tables.add(name.trim());
    } else if (range) {
      const [, first = "", last = first] = range;
      found.undoes = { from: first, to: last };
    } else {
      throw new MigrationRefusedError(
        `Cannot read ${file}: unknown directive \`-- migrate: ${words}\`; there are ${KNOWN}`,
      );
    }
  }
  return found;
}

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
  for (const { file, sql } of await sqlFiles(folder)) {
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
