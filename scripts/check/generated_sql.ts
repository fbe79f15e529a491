import { basename, dirname, join } from "node:path";
import { parse } from "smol-toml";
import { z } from "zod";
import { fileOf, readMigrations } from "../migrate/migration.ts";
import { SUPABASE_DIR } from "../stack/settings.ts";
import type { Check, Problems } from "./check.ts";

/** The migration of one part, and what it has to say. */
interface GeneratedMigration {
  /** Name of the part: a folder of `supabase/schemas`. */
  readonly part: string;
  /** The part's files, below the folder of `config.toml`, in their order. */
  readonly sources: readonly string[];
  /** Name of its file in `supabase/migrations`; null: there is none. */
  readonly file: string | null;
  /** What the file says. */
  readonly actual: string | null;
  /** What it is to say. */
  readonly expected: string;
}

const Config = z.object({
  db: z.object({
    migrations: z.object({ schema_paths: z.array(z.string()) }),
  }),
});

async function sqlFiles(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile && name.endsWith(".sql")) names.push(name);
  }
  return names.sort();
}

/** A checkout with CRLF holds the same SQL. */
async function readSql(path: string): Promise<string> {
  return (await Deno.readTextFile(path)).replaceAll("\r\n", "\n");
}

async function generatedMigrations(
  supabaseDir: string,
): Promise<GeneratedMigration[]> {
  const folders: string[] = [];
  for await (const entry of Deno.readDir(join(supabaseDir, "schemas"))) {
    if (entry.isDirectory) folders.push(entry.name);
  }
  const migrations = await sqlFiles(join(supabaseDir, "migrations"));
  const generated: GeneratedMigration[] = [];
  for (const part of folders.sort()) {
    const names = await sqlFiles(join(supabaseDir, "schemas", part));
    if (names.length === 0) continue;
    const found = migrations.filter((name) =>
      name.replace(/^\d+_/, "") === `${part}.sql`
    );
    if (found.length > 1) {
      throw new Error(
        `write the migration of supabase/schemas/${part}: there are ${
          found.join(" and ")
        }; keep one of them`,
      );
    }
    const sources = names.map((name) => join("schemas", part, name));
    const texts = await Promise.all(
      sources.map((path) => readSql(join(supabaseDir, path))),
    );
    const file = found[0] ?? null;
    generated.push({
      part,
      sources,
      file,
      actual: file && await readSql(join(supabaseDir, "migrations", file)),
      expected: [
        `-- Generated from supabase/schemas/${part}/ by \`deno task sql\`: change it there.\n`,
        ...texts,
      ].join("\n"),
    });
  }
  return generated;
}

/** `20261129110000`, of a time in UTC. */
function versionOf(time: Date): string {
  return time.toISOString().replaceAll(/\D/g, "").slice(0, 14);
}

/**
 * Writes the migration of each part of `supabase/schemas` out of its files, in
 * the order of their names. A part without a migration is given one that is
 * stamped now, or later by as many seconds as there are files with that stamp.
 *
 * @returns names of the files written; those which say what they should are not
 */
export async function writeGeneratedSql(
  supabaseDir: string = SUPABASE_DIR,
  now: Date = new Date(),
): Promise<string[]> {
  const folder = join(supabaseDir, "migrations");
  const taken = (await sqlFiles(folder)).map((name) => name.split("_")[0]);
  const written: string[] = [];
  for (
    const { part, file, actual, expected } of await generatedMigrations(
      supabaseDir,
    )
  ) {
    if (actual === expected) continue;
    let stamp = now;
    while (taken.includes(versionOf(stamp))) {
      stamp = new Date(stamp.getTime() + 1000);
    }
    const name = file ?? `${versionOf(stamp)}_${part}.sql`;
    if (file === null) taken.push(versionOf(stamp));
    await Deno.writeTextFile(join(folder, name), expected);
    written.push(name);
  }
  return written;
}

/** The files that a pattern of `schema_paths` stands for. */
async function expand(supabaseDir: string, pattern: string): Promise<string[]> {
  const name = new RegExp(
    `^${basename(pattern).replaceAll(".", "\\.").replaceAll("*", ".*")}$`,
  );
  const folder = join(dirname(pattern));
  return (await sqlFiles(join(supabaseDir, folder)))
    .filter((file) => name.test(file))
    .map((file) => join(folder, file));
}

/**
 * What `schema_paths` gets wrong. The Supabase CLI takes these files for the
 * whole schema: a migration that is missing there is one to be dropped.
 */
async function wrongSchemaPaths(
  supabaseDir: string,
  generated: readonly GeneratedMigration[],
): Promise<Problems> {
  const config = Config.parse(
    parse(await Deno.readTextFile(join(supabaseDir, "config.toml"))),
  );
  const declared: string[] = [];
  for (const pattern of config.db.migrations.schema_paths) {
    const files = await expand(supabaseDir, pattern);
    if (files.length === 0) return [`schema_paths: ${pattern} is no file`];
    declared.push(...files);
  }
  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  const all = migrations.map(fileOf).flatMap((name) =>
    generated.find(({ file }) => file === name)?.sources ??
      [join("migrations", name)]
  );
  const first = all.findIndex((path, index) => path !== declared[index]);
  if (first < 0 && declared.length === all.length) return [];
  return [
    `schema_paths of supabase/config.toml: ${
      declared[first] ?? declared[all.length] ?? "nothing"
    } is where ${all[first] ?? "nothing"} belongs`,
  ];
}

/** What in `supabase/` is not what `supabase/schemas` says. */
export async function staleGeneratedSql(
  supabaseDir: string = SUPABASE_DIR,
): Promise<Problems> {
  const generated = await generatedMigrations(supabaseDir);
  return [
    ...generated
      .filter(({ actual, expected }) => actual !== expected)
      .map(({ part, file }) =>
        `supabase/migrations/${
          file ?? `…_${part}.sql`
        } is not what supabase/schemas/${part} says; run: deno task sql`
      ),
    ...await wrongSchemaPaths(supabaseDir, generated),
  ];
}

/** The migrations of the parts are those of their sources. */
export const generatedSqlCheck: Check = {
  name: "sql",
  needsPostgres: false,
  run: () => staleGeneratedSql(),
};
