import { dirname, join, resolve } from "node:path";
import { parse } from "smol-toml";
import { z } from "zod";

/** Where a function's code is and whether the gateway checks tokens for it. */
export interface FunctionSettings {
  entrypoint: string;
  verifyJwt: boolean;
}

// `import_map` is read by a deploy. Here a function runs under the import map that
// this process was started with, which is the one our functions name.
const ConfigFile = z.object({
  functions: z.record(
    z.string(),
    z.object({
      enabled: z.boolean().default(true),
      verify_jwt: z.boolean().default(true),
      entrypoint: z.string().optional(),
    }),
  ).default({}),
});

/**
 * Reads `[functions.<name>]` from a `config.toml`, with the Supabase CLI's
 * defaults. Paths in it are relative to the folder it lies in.
 */
export async function readFunctionSettings(
  supabaseDir: string,
): Promise<Map<string, FunctionSettings>> {
  const file = join(supabaseDir, "config.toml");
  const config = ConfigFile.safeParse(parse(await Deno.readTextFile(file)));
  if (!config.success) {
    throw new Error(`Cannot read ${file}: ${z.prettifyError(config.error)}`);
  }
  const settings = new Map<string, FunctionSettings>();
  for (const [name, declared] of Object.entries(config.data.functions)) {
    if (!declared.enabled) continue;
    const entrypoint = resolve(
      supabaseDir,
      declared.entrypoint ?? `functions/${name}/index.ts`,
    );
    settings.set(name, { entrypoint, verifyJwt: declared.verify_jwt });
  }
  return settings;
}

/** The repository's own `supabase` folder. */
export const SUPABASE_DIR = join(
  dirname(dirname(import.meta.dirname!)),
  "supabase",
);

/** Where the stack keeps files of its own; not under version control. */
export const LOCAL_DIR = join(SUPABASE_DIR, "..", ".local");
