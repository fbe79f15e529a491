import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse as parseJsonc } from "@std/jsonc";
import { parse as parseToml } from "smol-toml";

// The first that is there counts, as for the Supabase CLI.
const NAMES = ["config.json", "config.jsonc", "config.toml"];

/** What a project's configuration is called in its folder `supabase`, if it has one. */
export function configName(supabaseDir: string): string | undefined {
  return NAMES.find((name) => existsSync(join(supabaseDir, name)));
}

/**
 * Reads a configuration.
 *
 * @throws Where it is not there, or cannot be read.
 */
export async function readConfig(file: string): Promise<unknown> {
  const text = await readFile(file, "utf8");
  return file.endsWith(".toml") ? parseToml(text) : parseJsonc(text);
}
