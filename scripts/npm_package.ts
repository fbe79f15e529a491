import { join } from "node:path";

/**
 * Folder of an npm package in Deno's cache, fetched where it is not there yet.
 * Only the package itself: none of its scripts runs, so what they would have
 * done is up to the caller.
 *
 * @param version The exact version.
 * @throws {Error} When the package cannot be fetched; says what Deno said.
 */
export function npmPackage(name: string, version: string): string {
  const cached = find(name, version);
  if (cached !== null) return cached;
  const specifier = `npm:${name}@${version}`;
  const { success, stderr } = deno([
    "cache",
    "--quiet",
    "--no-config",
    "--no-lock",
    "--node-modules-dir=none",
    specifier,
  ]);
  const fetched = find(name, version);
  if (success && fetched !== null) return fetched;
  throw new Error(
    `Cannot fetch ${specifier}: ${new TextDecoder().decode(stderr).trim()}`,
  );
}

function find(name: string, version: string): string | null {
  const cache = npmCache();
  try {
    // One folder for each registry that packages ever came from.
    for (const registry of Deno.readDirSync(cache)) {
      const folder = join(cache, registry.name, name, version);
      if (isFile(join(folder, "package.json"))) return folder;
    }
  } catch {
    // No cache, and so nothing in it.
  }
  return null;
}

let cachedAt: string | undefined;

function npmCache(): string {
  if (cachedAt !== undefined) return cachedAt;
  const { stdout } = deno(["info", "--json", "--no-config"]);
  const info: unknown = JSON.parse(new TextDecoder().decode(stdout));
  if (
    typeof info !== "object" || info === null || !("npmCache" in info) ||
    typeof info.npmCache !== "string"
  ) throw new Error("Cannot tell where Deno keeps npm packages");
  return cachedAt = info.npmCache;
}

function deno(args: string[]): Deno.CommandOutput {
  return new Deno.Command(Deno.execPath(), { args, cwd: "/" }).outputSync();
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
