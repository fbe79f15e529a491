import { type Check, type Problems, ROOT } from "./check.ts";
import { printed, runDeno } from "./command.ts";
import { migratedCluster } from "../cluster/supabase_cluster.ts";
import { runSupabase } from "./supabase_cli.ts";

const FILE = new URL("shared/database.types.ts", ROOT);

const HEADER =
  `// Generated from supabase/migrations by \`deno task types\`.\n`;

/** The database's types, as the migrations make them, formatted. */
async function generate(): Promise<string> {
  await using cluster = await migratedCluster();
  const generated = await runSupabase([
    "gen",
    "types",
    "--lang",
    "typescript",
    "--schema",
    "public",
    `--remote=${cluster.url}`,
  ]);
  if (generated.code !== 0) {
    throw new Error(`supabase gen types: ${printed(generated)}`);
  }
  // What precedes the first declaration is what the CLI had to say.
  const start = generated.stdout.indexOf("export type Json");
  if (start < 0) {
    throw new Error(`supabase gen types: no types in ${printed(generated)}`);
  }
  return await format(HEADER + generated.stdout.slice(start));
}

/** Formats until nothing changes: one pass leaves these long types half done. */
async function format(source: string): Promise<string> {
  const result = await runDeno(["fmt", "--ext", "ts", "-"], { input: source });
  if (result.code !== 0) {
    throw new Error(`format the database's types: ${printed(result)}`);
  }
  return result.stdout === source ? source : await format(result.stdout);
}

/** Writes `shared/database.types.ts`; answers whether that changed it. */
export async function writeDatabaseTypes(): Promise<boolean> {
  const before = await Deno.readTextFile(FILE).catch(() => "");
  const after = await generate();
  if (before === after) return false;
  await Deno.writeTextFile(FILE, after);
  return true;
}

async function run(): Promise<Problems> {
  const committed = await Deno.readTextFile(FILE);
  const generated = await generate();
  if (committed === generated) return [];
  const lines = generated.split("\n");
  const line = committed.split("\n").findIndex((text, i) => text !== lines[i]);
  return [
    "shared/database.types.ts differs from what the migrations make, " +
    `from line ${line + 1}; run: deno task types`,
  ];
}

/** The committed database types are those of the migrations. */
export const databaseTypesCheck: Check = {
  name: "types",
  needsPostgres: true,
  run,
};
