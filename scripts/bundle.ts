import { builtinModules } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import { ROOT } from "./check/check.ts";
import { printed, runDeno } from "./check/command.ts";

/** How {@link bundle} makes an ES module. */
export interface BundleOptions {
  /**
   * Which of its builds a package is to give, such as `workerd`.
   *
   * @default {[]}
   */
  conditions?: readonly string[];
  /**
   * Modules that whoever runs the bundle has.
   *
   * @default {["node:*"]}
   */
  external?: readonly string[];
  /**
   * Whether Node or Bun is to run it: packages of theirs call `require`, which
   * an ES module has not.
   *
   * @default {false}
   */
  node?: boolean;
  /**
   * Whether to leave out what only people read.
   *
   * @default {false}
   */
  minify?: boolean;
}

/** An ES module with all that it needs. */
export interface Bundle {
  readonly code: string;
  /** How many bytes of it each npm package takes, and under `""` the repository's own. */
  readonly bytes: ReadonlyMap<string, number>;
}

const REQUIRE = `import { createRequire } from "node:module";
const require = createRequire(import.meta.url);`;

/**
 * Makes one ES module of a module and all that it imports, which name their
 * packages as Deno does. Packages have the versions of `deno.lock`.
 *
 * @param entry The module to start from, from the repository's root.
 * @throws {Error} When it does not load, or a package cannot be fetched.
 */
export async function bundle(
  entry: string,
  options: BundleOptions = {},
): Promise<Bundle> {
  const { conditions = [], external = ["node:*"] } = options;
  const home = await Deno.makeTempDir({ prefix: "bundle-" });
  try {
    await installPackages([entry], home);
    const { outputFiles, metafile } = await build({
      entryPoints: [fileURLToPath(new URL(entry, ROOT))],
      bundle: true,
      write: false,
      metafile: true,
      minify: options.minify ?? false,
      format: "esm",
      platform: "neutral",
      target: "es2022",
      charset: "utf8",
      logLevel: "silent",
      mainFields: ["module", "main"],
      conditions: [...conditions],
      external: [...external],
      ...(options.node ? { banner: { js: REQUIRE } } : {}),
      plugins: [packagesOf(home, external)],
    });
    const bytes = new Map<string, number>();
    for (const output of Object.values(metafile.outputs)) {
      for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
        const name = packageAt(path);
        bytes.set(name, (bytes.get(name) ?? 0) + bytesInOutput);
      }
    }
    return { code: outputFiles[0]!.text, bytes };
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

/**
 * Puts the packages that modules import where a bundler and a compiler look for
 * them.
 *
 * @param entries The modules, from the repository's root.
 * @param home The folder that gets a `node_modules`.
 * @throws {Error} When a module does not load, or a package cannot be fetched.
 */
export async function installPackages(
  entries: readonly string[],
  home: string,
): Promise<void> {
  const dependencies: Record<string, string> = {};
  for (const entry of entries) {
    const info = await runDeno(["info", "--json", entry]);
    if (info.code !== 0) {
      throw new Error(`Cannot tell what ${entry} imports: ${printed(info)}`);
    }
    const { modules } = JSON.parse(info.stdout) as {
      modules: readonly { kind?: string; specifier: string }[];
    };
    for (const { kind, specifier } of modules) {
      if (kind !== "npm") continue;
      const { name, version } = parseSpecifier(specifier);
      dependencies[name] = version;
    }
  }
  await Deno.copyFile(new URL("deno.lock", ROOT), join(home, "deno.lock"));
  await Deno.writeTextFile(
    join(home, "deno.json"),
    '{"nodeModulesDir":"auto"}',
  );
  await Deno.writeTextFile(
    join(home, "package.json"),
    JSON.stringify({ dependencies }),
  );
  const result = await runDeno(["install", "--quiet"], { cwd: home });
  if (result.code !== 0) {
    throw new Error(
      `Cannot install what ${entries.join(", ")} imports: ${printed(result)}`,
    );
  }
}

/** Finds `npm:…` and what `deno.json` gives a name to. */
function packagesOf(home: string, external: readonly string[]): Plugin {
  const { imports } = JSON.parse(
    Deno.readTextFileSync(new URL("deno.json", ROOT)),
  ) as { imports: Record<string, string> };
  const root = fileURLToPath(ROOT);
  return {
    name: "npm",
    setup({ onResolve, resolve }) {
      onResolve(
        { filter: /^(npm:|[^./])/ },
        async ({ path, importer, kind }) => {
          if (external.includes("node:*") && builtinModules.includes(path)) {
            return { path: `node:${path}`, external: true };
          }
          const specifier = path.startsWith("npm:")
            ? path
            : importer.startsWith(root)
            ? imports[path]
            : undefined;
          if (specifier === undefined) return;
          const { name, file } = parseSpecifier(specifier);
          return await resolve(`${name}${file}`, { resolveDir: home, kind });
        },
      );
    },
  };
}

/** The parts of `npm:/@scope/name@1.2.3/file`. */
export function parseSpecifier(specifier: string) {
  const match = /^npm:\/?(@[^/]+\/[^@/]+|[^@/]+)@([^/]+)(\/.*)?$/.exec(
    specifier,
  );
  if (match === null) throw new Error(`Cannot read "${specifier}"`);
  return { name: match[1]!, version: match[2]!, file: match[3] ?? "" };
}

/** The package that a bundled file belongs to. */
function packageAt(path: string): string {
  const after = path.split("/node_modules/").at(-1)!;
  if (after === path) return "";
  const [scope, name] = after.split("/");
  return scope!.startsWith("@") ? `${scope}/${name}` : scope!;
}
