import { dirname, join } from "node:path";
import { z } from "zod";
import { bundle } from "../bundle.ts";
import { ROOT } from "../check/check.ts";
import { PACKAGE, PAGE } from "../cli/release.ts";
import { runNpm } from "../npm_package.ts";
import { compileModules, declarationsOf } from "./compile.ts";

/** The program that the package's command runs. */
const CLI = "scripts/cli.ts";

/** Migrations from code: of npm alone, since they take a driver of Node's. */
const MIGRATE = "scripts/migrate/library.ts";

// What a user of the module has anyway, whichever version that is: two copies of
// these would not know each other's objects. Drivers are no peers: the ledgers
// take any client that has the one method they call.
const PEERS: Readonly<Record<string, string>> = {
  "@supabase/server": "^1.8.1",
  // The oldest that has "./cors".
  "@supabase/supabase-js": "^2.95.0",
  "react": ">=18",
};

// Who has functions of the older kind has no server, who has no React no hooks.
const OPTIONAL_PEERS = ["@supabase/server", "react"];

/** A package as it was written. */
export interface BuiltPackage {
  readonly name: string;
  readonly version: string;
  /** Paths of its files, below its folder. */
  readonly files: readonly string[];
}

const Project = z.object({
  version: z.string(),
  license: z.string(),
  exports: z.record(z.string(), z.string()),
});

/**
 * Writes the npm package: the modules of `deno.json`'s `exports` as JavaScript
 * with declarations, their source and the SQL for projects that take a copy, the
 * command, and what people and agents read.
 *
 * @param folder Emptied first.
 * @throws {Error} When a module does not compile, or something is missing that
 * the package has to hold; says what.
 */
export async function buildPackage(folder: string): Promise<BuiltPackage> {
  const project = Project.parse(
    JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT))),
  );
  const files = new Map<string, string>();

  const compiled = await compileModules(Object.values(project.exports));
  for (const [path, text] of compiled.files) {
    files.set(`dist/${path}`, withExamplesOf(path, text));
  }
  files.set("dist/migrate/library.js", await forNode(MIGRATE));
  for (const [name, text] of declarationsOf(MIGRATE)) {
    files.set(`dist/migrate/${name}`, text);
  }
  const exports = { ...project.exports, "./migrate": `./${MIGRATE}` };

  for (const path of await copied()) {
    files.set(path, await Deno.readTextFile(new URL(path, ROOT)));
  }
  for (const path of [...files.keys()].filter((path) => /\.md$/.test(path))) {
    files.set(path, asInstalled(files.get(path)!, exports));
  }
  // What a stranger to this repository reads first.
  files.set(
    "README.md",
    files.get("docs/package.md")!.replaceAll(
      /\]\((?!https?:|#)(?:\.\/)?([^)]+)\)/g,
      (_, path) =>
        path.startsWith("../") ? `](${path.slice(3)})` : `](docs/${path})`,
    ),
  );
  files.delete("docs/package.md");

  files.set(`bin/${PACKAGE}.js`, `#!/usr/bin/env node\n${await forNode(CLI)}`);

  const manifest = manifestOf({ ...project, exports }, compiled.packages);
  files.set("package.json", `${JSON.stringify(manifest, null, 2)}\n`);

  await Deno.remove(folder, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  for (const [path, text] of files) {
    const file = join(folder, path);
    await Deno.mkdir(dirname(file), { recursive: true });
    await Deno.writeTextFile(file, text);
    if (path.startsWith("bin/")) await Deno.chmod(file, 0o755);
  }
  return {
    name: PACKAGE,
    version: project.version,
    files: [...files.keys()].sort(),
  };
}

/** A package as npm would upload it. */
export interface PackedPackage {
  /** Path of the archive. */
  readonly tarball: string;
  /** Paths of what is in it, below the package's folder. */
  readonly paths: readonly string[];
}

/**
 * Packs a package that was built, as `npm pack` does.
 *
 * @param folder The package.
 * @param destination The folder that gets the archive.
 */
export async function packPackage(
  folder: string,
  destination: string,
): Promise<PackedPackage> {
  const { stdout } = await runNpm(
    ["pack", "--json", `--pack-destination=${destination}`],
    folder,
  );
  const [packed] = JSON.parse(stdout) as [
    { filename: string; files: { path: string }[] },
  ];
  return {
    tarball: join(destination, packed.filename),
    paths: packed.files.map(({ path }) => path),
  };
}

/** Paths of what goes into the package as it stands here. */
async function copied(): Promise<string[]> {
  const parts = (await filesBelow("supabase/schemas"))
    .map((path) => path.split("/")[2]!);
  const isOfPart = (path: string) =>
    parts.includes(/\/\d+_(\w+)\.sql$/.exec(path)?.[1] ?? "");
  return [
    "CHANGELOG.md",
    "LICENSE",
    "llms.txt",
    ...await filesBelow("docs", (path) => path.endsWith(".md")),
    ...await filesBelow("shared", (path) => path !== TYPES_OF_EXAMPLES),
    ...await filesBelow("skills"),
    ...await filesBelow(PAGE),
    ...await filesBelow("supabase/schemas"),
    ...await filesBelow("supabase/migrations", isOfPart),
    ...await filesBelow("supabase/rollback", isOfPart),
    ...await filesBelow("supabase/releases"),
  ];
}

const TYPES_OF_EXAMPLES = "shared/database.types.ts";

async function filesBelow(
  folder: string,
  isWanted: (path: string) => boolean = () => true,
): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (
      const { name, isDirectory } of Deno.readDir(new URL(folder, ROOT))
    ) {
      const path = `${folder}/${name}`;
      if (isDirectory) found.push(...await filesBelow(path, isWanted));
      else if (isWanted(path)) found.push(path);
    }
  } catch (error) {
    // Until the first release there is none.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort();
}

/** A module whose documentation imports what a user of the package would. */
function withExamplesOf(path: string, text: string): string {
  const [folder] = path.split(/[/.]/);
  return text.replaceAll(
    /^(\s*\* .*\bfrom )"\.{1,2}\/(?:\w+\/)*(\w+)\.ts"/gm,
    (_, before, module) => {
      const entry = module === "testing"
        ? "/testing"
        : folder === "idempotency"
        ? ""
        : `/${folder}`;
      return `${before}"${PACKAGE}${entry}"`;
    },
  );
}

/** Text whose examples import the package in place of this repository. */
function asInstalled(
  text: string,
  exports: Readonly<Record<string, string>>,
): string {
  const entries = new Map(
    Object.entries(exports).map(([entry, path]) => [path, entry.slice(1)]),
  );
  return text.replaceAll(
    /"(?:\.{1,2}\/)+((?:shared|scripts)\/[\w./]+\.ts)"/g,
    (written, path) => {
      const entry = entries.get(`./${path}`);
      return entry === undefined ? written : `"${PACKAGE}${entry}"`;
    },
  );
}

/** A module and all that it needs as one, for Node, Bun and Deno. */
async function forNode(entry: string): Promise<string> {
  const { code } = await bundle(entry, {
    // With "import", `require` would get a module and not what it exports.
    conditions: ["node"],
    node: true,
  });
  return code;
}

function manifestOf(
  { version, license, exports }: z.output<typeof Project>,
  packages: ReadonlyMap<string, string>,
) {
  const dependencies = [...packages]
    .filter(([name]) => !(name in PEERS))
    .map(([name, version]) => [name, `^${version}`])
    .sort();
  // Nothing imports the server; the middleware counts on what it puts there.
  const peers = Object.entries(PEERS).filter(([name]) =>
    name === "@supabase/server" || packages.has(name)
  );
  return {
    name: PACKAGE,
    version,
    description:
      "Idempotency for Supabase Edge Functions: a request that carries a key takes effect once, and every retry of it gets the same answer",
    keywords: [
      "supabase",
      "idempotency",
      "idempotency-key",
      "edge-functions",
      "retry",
      "postgres",
    ],
    license,
    ...repositoryOf(Deno.env.get("GITHUB_REPOSITORY")),
    type: "module",
    sideEffects: false,
    engines: { node: ">=22" },
    exports: {
      ...Object.fromEntries(
        Object.entries(exports).map(([entry, path]) => {
          const file = path.replace(/^\.\/\w+\//, "./dist/").slice(0, -3);
          return [entry, { types: `${file}.d.ts`, default: `${file}.js` }];
        }),
      ),
      "./package.json": "./package.json",
    },
    bin: { [PACKAGE]: `bin/${PACKAGE}.js` },
    dependencies: Object.fromEntries(dependencies),
    peerDependencies: Object.fromEntries(peers),
    peerDependenciesMeta: Object.fromEntries(
      peers.filter(([name]) => OPTIONAL_PEERS.includes(name))
        .map(([name]) => [name, { optional: true }]),
    ),
  };
}

/** npm's provenance compares this with the repository that publishes. */
function repositoryOf(repository: string | undefined) {
  if (repository === undefined) return {};
  const url = `git+https://github.com/${repository}.git`;
  return { repository: { type: "git", url } };
}
