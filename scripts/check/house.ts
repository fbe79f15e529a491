import { z } from "zod";
import { type Check, type Problems, ROOT } from "./check.ts";
import { printed, runDeno } from "./command.ts";

/** What stands under one roof, and what may be imported there. */
interface Room {
  readonly paths: RegExp;
  /** What it may import of this repository besides itself. */
  readonly imports: RegExp;
  /** Whether people copy it without an import map, so that no import is bare. */
  readonly isCopied: boolean;
}

const NOTHING = /^$/;

// What functions use of the modules that are copied: their faces, no insides.
const FACES = /^shared\/[\w.]+\.ts$/;

function part(name: string): Room {
  const paths = new RegExp(`^shared/${name}(\\.ts$|/)`);
  return { paths, imports: NOTHING, isCopied: true };
}

const ROOMS: readonly Room[] = [
  part("idempotency"),
  part("client"),
  {
    // An app that uses it has React.
    paths: /^shared\/react\.ts$/,
    imports: /^shared\/client(\.ts$|\/)/,
    isCopied: false,
  },
  part("tracing"),
  part("archive"),
  part("sequences"),
  {
    paths: /^shared\/database\.types\.ts$/,
    imports: NOTHING,
    isCopied: false,
  },
  { paths: /^functions\/_kit\//, imports: FACES, isCopied: false },
];

/** A function: its own folder, what functions share, and the faces. */
function functionOf(path: string): Room | undefined {
  const folder = /^functions\/[\w-]+\//.exec(path)?.[0];
  return folder === undefined ? undefined : {
    paths: new RegExp(`^${folder}`),
    imports: new RegExp(`^functions/_kit/|${FACES.source}`),
    isCopied: false,
  };
}

const Dependency = z.object({ specifier: z.string().optional() }).optional();
const Graph = z.object({
  modules: z.array(z.object({
    specifier: z.string(),
    dependencies: z.array(z.object({
      specifier: z.string(),
      code: Dependency,
      type: Dependency,
    })).default([]),
  })),
});

async function modulesBelow(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (
    const { name, isDirectory } of Deno.readDir(new URL(folder, ROOT))
  ) {
    const path = `${folder}${name}`;
    if (isDirectory) found.push(...await modulesBelow(`${path}/`));
    else if (name.endsWith(".ts")) found.push(path);
  }
  return found.sort();
}

/** Asks Deno what each of the modules imports, types too. */
async function readGraph(
  paths: readonly string[],
): Promise<z.output<typeof Graph>> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const imports = paths.map((path) => `import "${new URL(path, ROOT)}";\n`);
    await Deno.writeTextFile(file, imports.join(""));
    const result = await runDeno([
      "info",
      "--json",
      "--config=deno.json",
      file,
    ]);
    if (result.code !== 0) throw new Error(printed(result));
    return Graph.parse(JSON.parse(result.stdout));
  } finally {
    await Deno.remove(file);
  }
}

/** What is wrong with one import of a module. */
function problemOf(
  path: string,
  room: Room,
  specifier: string,
  target: string | undefined,
): string | undefined {
  if (target?.startsWith(ROOT.href)) {
    const imported = target.slice(ROOT.href.length);
    return room.paths.test(imported) || room.imports.test(imported)
      ? undefined
      : `${path} imports ${imported}: dependencies point from functions to the faces in shared/, and no part knows another`;
  }
  return room.isCopied && !/^(npm|jsr|node):/.test(specifier)
    ? `${path} imports "${specifier}", which only this repository's import map knows: a copy needs npm:name@version`
    : undefined;
}

// The command line is for people who have Node, and may have no Deno.
const ON_NODE = [
  "functions/cleanup-idempotency/clean_up.ts",
  "scripts/cli.ts",
  "scripts/cli/",
  "scripts/keys/",
  "scripts/migrate/",
  "scripts/ops/",
  "scripts/project.ts",
  "scripts/stats/",
  "scripts/table.ts",
];

async function denoOnNode(): Promise<Problems> {
  const paths = (await Promise.all(
    ON_NODE.map(async (path) =>
      path.endsWith("/") ? await modulesBelow(path) : [path]
    ),
  )).flat();
  const problems: string[] = [];
  for (const path of paths) {
    if (!/\bDeno\./.test(await Deno.readTextFile(new URL(path, ROOT)))) {
      continue;
    }
    problems.push(`${path} uses Deno, and it is to run on Node: use node:*`);
  }
  return problems;
}

async function run(): Promise<Problems> {
  const paths = [
    ...await modulesBelow("shared/"),
    ...await modulesBelow("functions/"),
  ];
  const { modules } = await readGraph(paths);
  const imports = paths.flatMap((path) => {
    const room = ROOMS.find(({ paths }) => paths.test(path)) ??
      functionOf(path);
    if (room === undefined) {
      return [
        `${path} belongs to no part: a domain lives in its function's folder`,
      ];
    }
    const { href } = new URL(path, ROOT);
    const module = modules.find(({ specifier }) => specifier === href);
    return (module?.dependencies ?? []).flatMap(({ specifier, code, type }) =>
      problemOf(path, room, specifier, code?.specifier ?? type?.specifier) ?? []
    );
  });
  return [...imports, ...await denoOnNode()];
}

/** From a module's path one knows what it may import. */
export const houseCheck: Check = { name: "house", needsPostgres: false, run };
