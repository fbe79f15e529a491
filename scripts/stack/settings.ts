import { glob, readdir, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { z } from "zod";
import { configName, readConfig } from "../cli/config_file.ts";
import { variablesOf } from "../project.ts";

/** Where a function's code is and whether the gateway checks tokens for it. */
export interface FunctionSettings {
  entrypoint: string;
  verifyJwt: boolean;
  /** A `deno.json` or import map that is not this repository's own. */
  importMap?: string;
}

/** What a project's folder says about how it is served. */
export interface ProjectSettings {
  functions: Map<string, FunctionSettings>;
  /** Schemas that the Data API exposes. */
  schemas: string[];
  /** What functions find in their environment beside Supabase's own. */
  secrets: Record<string, string>;
  /** What access tokens are signed with, where the project says. */
  jwtSecret?: string;
  /** Files of rows for a new database, in their order. */
  seeds: string[];
}

const ConfigFile = z.object({
  api: z.object({
    schemas: z.array(z.string()).default(["public"]),
  }).prefault({}),
  auth: z.object({ jwt_secret: z.string().optional() }).default({}),
  db: z.object({
    seed: z.object({
      enabled: z.boolean().default(true),
      sql_paths: z.array(z.string()).default(["./seed.sql"]),
    }).prefault({}),
  }).prefault({}),
  functions: z.record(
    z.string(),
    z.object({
      enabled: z.boolean().default(true),
      verify_jwt: z.boolean().default(true),
      entrypoint: z.string().optional(),
      import_map: z.string().optional(),
    }),
  ).default({}),
});

/**
 * Reads a project's configuration and what lies beside it, with the Supabase
 * CLI's defaults. Paths in it are relative to the folder it lies in.
 */
export async function readSettings(
  supabaseDir: string,
): Promise<ProjectSettings> {
  const name = configName(supabaseDir);
  const file = join(supabaseDir, name ?? "config.toml");
  const said = await readConfig(file).catch((error) => {
    const hint = name === undefined
      ? ". A project's folder holds supabase/config.toml; supabase init makes it"
      : "";
    throw new Error(`Cannot read ${file}: ${error.message}${hint}`, {
      cause: error,
    });
  });
  const config = ConfigFile.safeParse(said);
  if (!config.success) {
    throw new Error(`Cannot read ${file}: ${z.prettifyError(config.error)}`);
  }
  const { api, auth, db, functions: declared } = config.data;
  const jwtSecret = await fromEnvironment(supabaseDir, auth.jwt_secret);
  const functions = new Map<string, FunctionSettings>();
  for (const name of await functionNames(supabaseDir, Object.keys(declared))) {
    const { enabled = true, verify_jwt = true, entrypoint, import_map } =
      declared[name] ?? {};
    if (!enabled) continue;
    const importMap = import_map
      ? resolve(supabaseDir, import_map)
      : await importMapBeside(supabaseDir, name);
    functions.set(name, {
      entrypoint: resolve(
        supabaseDir,
        entrypoint ?? `functions/${name}/index.ts`,
      ),
      verifyJwt: verify_jwt,
      // This process runs under it already.
      ...(importMap === undefined || importMap === OWN_IMPORT_MAP
        ? {}
        : { importMap }),
    });
  }
  return {
    functions,
    schemas: api.schemas,
    secrets: await readSecrets(supabaseDir),
    ...(jwtSecret ? { jwtSecret } : {}),
    seeds: db.seed.enabled
      ? await seedFiles(supabaseDir, db.seed.sql_paths)
      : [],
  };
}

// The first that says it counts, in `supabase` or else in the project.
const ENV_FILES = [
  ".env.development.local",
  ".env.local",
  ".env.development",
  ".env",
];

/** What `env(NAME)` stands for, or the text itself. */
async function fromEnvironment(
  supabaseDir: string,
  value = "",
): Promise<string | undefined> {
  const name = /^env\((\w+)\)$/.exec(value)?.[1];
  if (name === undefined) return value;
  if (process.env[name] !== undefined) return process.env[name];
  for (const folder of [supabaseDir, dirname(supabaseDir)]) {
    for (const file of ENV_FILES) {
      const said = (await variablesIn(join(folder, file)))[name];
      if (said !== undefined) return said;
    }
  }
  return undefined;
}

/** The variables of a file; none where there is no file. */
async function variablesIn(
  file: string,
): Promise<Record<string, string | undefined>> {
  return variablesOf(await readFile(file, "utf8").catch(() => ""));
}

/** The functions declared, and those that only have a folder. */
async function functionNames(
  supabaseDir: string,
  declared: string[],
): Promise<Set<string>> {
  const names = new Set(declared);
  for (const folder of await namesIn(join(supabaseDir, "functions"))) {
    if (!/^[A-Za-z][\w-]*$/.test(folder)) continue;
    const files = await namesIn(join(supabaseDir, "functions", folder));
    if (files.includes("index.ts")) names.add(folder);
  }
  return names;
}

async function importMapBeside(
  supabaseDir: string,
  name: string,
): Promise<string | undefined> {
  const functions = join(supabaseDir, "functions");
  const places = [
    [join(functions, name), "deno.json"],
    [join(functions, name), "deno.jsonc"],
    [functions, "import_map.json"],
  ] as const;
  for (const [folder, file] of places) {
    if ((await namesIn(folder)).includes(file)) return join(folder, file);
  }
  return undefined;
}

/** As for `supabase functions serve`: Supabase's own names are not to be set. */
async function readSecrets(
  supabaseDir: string,
): Promise<Record<string, string>> {
  const variables = await variablesIn(join(supabaseDir, "functions", ".env"));
  return Object.fromEntries(
    Object.entries(variables).flatMap(([name, value]) =>
      value === undefined || name.startsWith("SUPABASE_") ? [] : [[name, value]]
    ),
  );
}

async function seedFiles(
  supabaseDir: string,
  patterns: string[],
): Promise<string[]> {
  const files = new Set<string>();
  for (const pattern of patterns) {
    const found = await Array.fromAsync(glob(pattern, { cwd: supabaseDir }));
    for (const file of found.sort()) files.add(join(supabaseDir, file));
  }
  return [...files];
}

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => []);
}

/** The repository's own `supabase` folder. */
export const SUPABASE_DIR = join(
  dirname(dirname(import.meta.dirname!)),
  "supabase",
);

const OWN_IMPORT_MAP = join(SUPABASE_DIR, "..", "deno.json");

/** Where the stack keeps files of its own; not under version control. */
export const LOCAL_DIR = join(SUPABASE_DIR, "..", ".local");
