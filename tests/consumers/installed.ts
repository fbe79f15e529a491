import { cp } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT } from "../../scripts/check/check.ts";
import { printed, runCommand, runDeno } from "../../scripts/check/command.ts";
import { NODE, npmProgram, runNpm } from "../../scripts/npm_package.ts";
import { PACKAGE } from "../../scripts/cli/release.ts";
import { buildPackage, packPackage } from "../../scripts/package/build.ts";

/** The examples below this folder. */
export const CONSUMERS = [
  "deno",
  "hono",
  "next",
  "node",
  "types",
  "vite-react",
  "worker",
] as const;

/** The name of an example. */
export type Consumer = typeof CONSUMERS[number];

/** Copies of the examples, with the packed package and all else they name. */
export interface Installed extends AsyncDisposable {
  /** Where the package is installed. */
  readonly package: string;
  /** Where an example lies. */
  folder(consumer: Consumer): string;
  /** Where a file of an installed package lies, by its path in `node_modules`. */
  program(path: string): string;
  /**
   * Runs a script in an example's folder on the oldest supported Node.
   *
   * @param script Of the example, or of a package that it uses.
   */
  run(
    consumer: Consumer,
    script: string,
    ...args: string[]
  ): Promise<{ code: number; output: string }>;
}

/**
 * Builds and packs the package, and installs it as npm does. What the examples
 * share beside it is hundreds of megabytes that only change with their versions:
 * it stays in a folder next to Deno's cache.
 */
export async function install(): Promise<Installed> {
  const work = await Deno.makeTempDir({ prefix: "consumers-" });
  let home: string | undefined;
  const remove = async () => {
    await Deno.remove(work, { recursive: true });
    if (home !== undefined) await Deno.remove(home, { recursive: true });
  };
  try {
    const built = join(work, "package");
    await buildPackage(built);
    const { tarball } = await packPackage(built, work);
    const shared = await sharedInstall(built, tarball);
    home = await Deno.makeTempDir({ dir: shared, prefix: "run-" });
    const modules = join(home, "node_modules");
    await unpack(tarball, join(modules, PACKAGE));
    for (const consumer of CONSUMERS) {
      await cp(sourceOf(consumer), join(home, consumer), { recursive: true });
    }
    const folder = (consumer: Consumer) => join(home!, consumer);
    const program = (path: string) => join(shared, "node_modules", path);
    return {
      package: join(modules, PACKAGE),
      folder,
      program,
      async run(consumer, script, ...args) {
        const cwd = folder(consumer);
        const own = resolve(cwd, script);
        const result = await runCommand(
          npmProgram("node", NODE),
          [await isFile(own) ? own : program(script), ...args],
          { cwd },
        );
        return { code: result.code, output: printed(result) };
      },
      [Symbol.asyncDispose]: remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

function sourceOf(consumer: Consumer): string {
  return fileURLToPath(new URL(`tests/consumers/${consumer}`, ROOT));
}

/**
 * The folder with what all examples and the package name, which is there already
 * where nothing of that has changed.
 */
async function sharedInstall(
  built: string,
  tarball: string,
): Promise<string> {
  const { dependencies: needed, peerDependencies: peers } = JSON.parse(
    await Deno.readTextFile(join(built, "package.json")),
  );
  const dependencies: Record<string, string> = {};
  for (const consumer of CONSUMERS) {
    const own = JSON.parse(
      await Deno.readTextFile(join(sourceOf(consumer), "package.json")),
    );
    const named = { ...own.dependencies, ...own.devDependencies };
    for (const [name, version] of Object.entries<string>(named)) {
      const other = dependencies[name] ??= version;
      if (other !== version) {
        throw new Error(
          `Cannot install the examples together: ${consumer} names ${name}@${version}, another one ${other}`,
        );
      }
    }
  }
  dependencies[PACKAGE] = "file:package.tgz";
  const text = JSON.stringify({ private: true, dependencies });
  const cache = join(await denoDir(), "consumers");
  const folder = join(cache, await digest([NODE, text, needed, peers]));
  if (await isFolder(folder)) return folder;

  await Deno.mkdir(cache, { recursive: true });
  await removeUnused(cache);
  const fresh = await Deno.makeTempDir({ dir: cache, prefix: "install-" });
  try {
    await Deno.writeTextFile(join(fresh, "package.json"), text);
    await Deno.copyFile(tarball, join(fresh, "package.tgz"));
    await runNpm(["install", "--no-package-lock"], fresh);
    // Each run has its own.
    await Deno.remove(join(fresh, "node_modules", PACKAGE), {
      recursive: true,
    });
    await Deno.rename(fresh, folder);
  } catch (error) {
    await Deno.remove(fresh, { recursive: true });
    // Another run was quicker.
    if (!await isFolder(folder)) throw error;
  }
  return folder;
}

async function denoDir(): Promise<string> {
  const { stdout } = await runDeno(["info", "--json", "--no-config"]);
  return JSON.parse(stdout).denoDir;
}

/** Each run leaves its time at the folder that it used. */
async function removeUnused(cache: string): Promise<void> {
  for await (const { name } of Deno.readDir(cache)) {
    const path = join(cache, name);
    const { mtime } = await Deno.stat(path);
    if (Date.now() - mtime!.getTime() < WEEK_MS) continue;
    await Deno.remove(path, { recursive: true });
  }
}

const WEEK_MS = 7 * 24 * 60 * 60_000;

async function digest(value: unknown): Promise<string> {
  const hash = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(JSON.stringify(value)),
  );
  return new Uint8Array(hash).toHex().slice(0, 16);
}

async function isFolder(path: string): Promise<boolean> {
  const info = await Deno.stat(path).catch(() => null);
  return info?.isDirectory ?? false;
}

async function isFile(path: string): Promise<boolean> {
  const info = await Deno.stat(path).catch(() => null);
  return info?.isFile ?? false;
}

async function unpack(tarball: string, folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const args = ["-xzf", tarball, "-C", folder, "--strip-components=1"];
  const result = await runCommand("tar", args);
  if (result.code !== 0) throw new Error(printed(result));
}
