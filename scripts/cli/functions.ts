import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { parse as parseJsonc } from "@std/jsonc";
import { z } from "zod";
import { CommandError } from "./command.ts";
import { configName, readConfig } from "./config_file.ts";
import type { ProjectFolder } from "./project_folder.ts";

/** An edge function of a project, as far as its sources tell. */
export interface EdgeFunction {
  readonly name: string;
  /** Its first file that imports the module, or its folder, below the project. */
  readonly file: string;
  /** Whether it imports the module, itself or by what functions share. */
  readonly isProtected: boolean;
  /** What it imports as the module and is not there, below `supabase/functions`. */
  readonly missing: string | null;
  /** Whether something of it answers preflights that let the key in, and the client ask. */
  readonly letsKeyIn: boolean;
  /** Whether it deals with CORS at all. */
  readonly hasCors: boolean;
  /** Whether it looks at its callers itself, and not only the gateway. */
  readonly knowsCallers: boolean;
  /** Whether some of its callers have a publishable or secret key, and no token. */
  readonly takesKeys: boolean;
  /** `verify_jwt` of the project's configuration; `null` where a variable says it. */
  readonly verifyJwt: boolean | null;
}

// A copy, or the package by whichever name.
const MODULE = String
  .raw`["'](?:[^"']*/idempotency\.ts|(?:npm:|jsr:)?(?:@idempotency/supabase-edge-functions|supabase-idempotency)[^"']*)["']`;
const IMPORTS_MODULE = new RegExp(String.raw`\bfrom\s+${MODULE}`);
const IMPORTED_COPY = /\bfrom\s+["'](\.{1,2}\/[^"']*\bidempotency\.ts)["']/g;
const IMPORTS_CORS = new RegExp(
  String.raw`\bimport\s*\{[^}]*\bcorsHeaders\b[^}]*\}\s*from\s+${MODULE}`,
);
// A list of one's own: the client asks by OPTIONS whether it may send the key.
const LETS_ASK = /allow-?methods\b[^;}]*(?:OPTIONS|\*)|\.\.\.\s*\w*cors/i;
const CALLS_WRAPPER = /\bwithIdempotency\(\s*\{/g;
const OF_MODULE = /^_shared[\\/]idempotency(?:\.ts$|[\\/])/;
const SOURCE = /\.(?:[jt]sx?|m[jt]s)$/;

const Config = z.object({
  functions: z.record(
    z.string(),
    z.object({
      // A variable may say it: the Supabase CLI reads `"env(NAME)"` here too.
      verify_jwt: z.union([
        z.boolean(),
        z.string().regex(/^env\(.*\)$/).transform(() => null),
      ]).optional(),
      import_map: z.string().optional(),
    }),
  ).default({}),
  db: z.object({
    migrations: z.object({ schema_paths: z.array(z.string()) }),
  }).catch({ migrations: { schema_paths: [] } }),
});

/**
 * What a project's configuration says, as far as it concerns us.
 *
 * @throws {CommandError} When it cannot be read.
 */
export async function configOf(
  { path }: ProjectFolder,
): Promise<z.output<typeof Config>> {
  const name = configName(join(path, "supabase"));
  if (name === undefined) return Config.parse({});
  try {
    return Config.parse(await readConfig(join(path, "supabase", name)));
  } catch (error) {
    const why = error instanceof z.ZodError
      ? z.prettifyError(error)
      : (error as Error).message;
    throw new CommandError(
      `supabase/${name} cannot be read, mend it and run this again: ${why}`,
    );
  }
}

/** A source file of functions. */
interface Source {
  /** From `supabase/functions`. */
  readonly path: string;
  readonly text: string;
}

const ImportMap = z.object({ imports: z.record(z.string(), z.string()) });
const Elsewhere = z.object({ importMap: z.string() });
const IMPORT_MAPS = ["deno.json", "deno.jsonc", "import_map.json"];
const SPECIFIER = /(\b(?:from|import)\s*\(?\s*["'])([^"']+)/g;

/** Reads a source file, and gives its imports as a function's import map has them. */
type Read = (path: string) => Promise<Source>;

/** An import map, and the folder that its paths are relative to. */
async function importMapAt(
  path: string,
): Promise<{ imports: Record<string, string>; base: string }> {
  const jsonAt = async (path: string) =>
    parseJsonc(await readFile(path, "utf8"));
  const map = await jsonAt(path);
  const named = Elsewhere.safeParse(map).data?.importMap;
  if (named === undefined) {
    return { ...ImportMap.parse(map), base: dirname(path) };
  }
  const at = resolve(dirname(path), named);
  return { ...ImportMap.parse(await jsonAt(at)), base: dirname(at) };
}

async function readerOf(
  home: string,
  name: string,
  importMap: string | undefined,
): Promise<Read> {
  let base = "";
  let imports: [string, string][] = [];
  const maps = [name, ""].flatMap((folder) =>
    IMPORT_MAPS.map((file) => join(home, folder, file))
  );
  // The configuration names it from where it is itself.
  if (importMap) maps.unshift(resolve(dirname(home), importMap));
  for (const path of maps) {
    try {
      const map = await importMapAt(path);
      // The longest that fits counts.
      imports = Object.entries(map.imports)
        .sort(([a], [b]) => b.length - a.length);
      base = map.base;
      break;
    } catch {
      // None is there, or none that Deno would take.
    }
  }
  return async (path) => {
    const text = await readFile(join(home, path), "utf8");
    const mapped = (specifier: string) => {
      const [from, to] =
        imports.find(([from]) =>
          from === specifier || from.endsWith("/") && specifier.startsWith(from)
        ) ?? ["", ""];
      const target = to + specifier.slice(from.length);
      if (from === "" || !/^\.{1,2}\//.test(to)) return target;
      const steps = relative(dirname(join(home, path)), join(base, target));
      return `./${steps.replaceAll("\\", "/")}`;
    };
    return {
      path,
      text: text.replace(SPECIFIER, (_, before, to) => before + mapped(to)),
    };
  };
}

/** Whether there is a file: a link that leads nowhere, as editors make, is none. */
async function isFile(path: string): Promise<boolean> {
  return await stat(path).then((found) => found.isFile(), () => false);
}

/** These and what they import of the project's own, but for the module's files. */
async function withImported(
  home: string,
  read: Read,
  sources: readonly Source[],
): Promise<Source[]> {
  const found = new Map(sources.map((source) => [source.path, source]));
  // It grows while it is walked.
  for (const { path, text } of found.values()) {
    for (const [, to] of text.matchAll(/["'](\.{1,2}\/[^"']+)["']/g)) {
      const at = join(dirname(path), to!);
      if (found.has(at) || OF_MODULE.test(at) || !SOURCE.test(at)) continue;
      if (await isFile(join(home, at))) found.set(at, await read(at));
    }
  }
  return [...found.values()];
}

/** The copy of the module that sources import, where it is not there. */
function missingCopy(home: string, sources: readonly Source[]): string | null {
  return sources.flatMap(({ path, text }) =>
    [...text.matchAll(IMPORTED_COPY)].map(([, to]) => join(dirname(path), to!))
  ).find((path) => !existsSync(join(home, path)))?.replaceAll("\\", "/") ??
    null;
}

/**
 * Whether a configuration has `cors`: the wrapper then lets the key in, whatever
 * those headers say.
 */
function passesCors(text: string): boolean {
  return [...text.matchAll(CALLS_WRAPPER)].some(({ 0: call, index }) => {
    const start = index + call.length;
    let end = start;
    for (let depth = 1; depth > 0 && end < text.length; end++) {
      if (text[end] === "{") depth++;
      if (text[end] === "}") depth--;
    }
    return /\bcors\b/.test(text.slice(start, end));
  });
}

/** The sources in a folder, from there. */
async function sourcesIn(folder: string): Promise<string[]> {
  const paths = (await readdir(folder, { recursive: true }))
    .filter((path) => SOURCE.test(path) && !path.includes("node_modules"));
  const are = await Promise.all(
    paths.map((path) => isFile(join(folder, path))),
  );
  return paths.filter((_, index) => are[index]).sort();
}

/** The project's functions: the folders of `supabase/functions` without `_`. */
export async function functionsOf(
  folder: ProjectFolder,
): Promise<EdgeFunction[]> {
  const home = join(folder.path, "supabase", "functions");
  if (!existsSync(home)) return [];
  const config = await configOf(folder);
  const found: EdgeFunction[] = [];
  const entries = await readdir(home, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
    if (/^[._]/.test(entry.name)) continue;
    // A link to a function elsewhere in a monorepo is deployed like a folder.
    const isFunction = entry.isDirectory() ||
      entry.isSymbolicLink() &&
        await isFile(join(home, entry.name, "index.ts"));
    if (!isFunction) continue;
    const paths = await sourcesIn(join(home, entry.name));
    const { verify_jwt, import_map } = config.functions[entry.name] ?? {};
    const read = await readerOf(home, entry.name, import_map);
    const own = await Promise.all(
      paths.map((path) => read(join(entry.name, path))),
    );
    const sources = await withImported(home, read, own);
    const at = own.findIndex(({ text }) => IMPORTS_MODULE.test(text));
    const all = sources.map(({ text }) => text).join("\n");
    const missing = missingCopy(home, sources);
    found.push({
      name: entry.name,
      file: `supabase/functions/${entry.name}/${
        paths[at]?.replaceAll("\\", "/") ?? ""
      }`,
      isProtected: IMPORTS_MODULE.test(all),
      missing,
      letsKeyIn: IMPORTS_CORS.test(all) || passesCors(all) ||
        /idempotency-key/i.test(all) && LETS_ASK.test(all),
      hasCors: /withSupabase|cors|access-control-allow/i.test(all),
      knowsCallers:
        /withSupabase|callers|getUser|getClaims|jwtVerify|constructEvent|verify/
          .test(all),
      takesKeys: /\bauth:\s*\[?[^\]})]*["'](publishable|secret)\b/.test(all),
      verifyJwt: verify_jwt === undefined ? true : verify_jwt,
    });
  }
  return found;
}
