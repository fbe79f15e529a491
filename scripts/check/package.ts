import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { buildPackage, packPackage } from "../package/build.ts";
import { type Check, type Problems, ROOT } from "./check.ts";
import { printed, runDeno } from "./command.ts";

// What npm is to get, and nothing else of this repository.
const PATHS =
  /^(CHANGELOG\.md|LICENSE|README\.md|llms\.txt|package\.json|bin\/[\w-]+\.js|dist\/[\w/]+\.(js|d\.ts)|docs\/[\w/-]+\.md|scripts\/ops\/page\/\w+\.(css|html|js)|shared\/[\w/]+\.ts|skills\/[\w/-]+\.md|supabase\/(schemas|migrations|rollback|releases)\/[\w./-]+)$/;

// What a stranger opens first leads to nothing that is not there.
const DOORS = /^(README\.md|llms\.txt|skills\/.*\.md)$/;

const LINK = /\]\((?!https?:|#)([^)#]+)[^)]*\)/g;

const IMPORT =
  /^(?!\s*(?:\*|\/\/)).*\bfrom "((?:npm:|jsr:|file:)[^"]*|\.[^"]*\.ts)"/gm;

// Other people's, each of one kind of mistake.
const TOOLS = [
  ["npm:publint@0.3.25", "run", "--strict"],
  // An ES module is all there is: what resolves nothing else is no mistake.
  ["npm:@arethetypeswrong/cli@0.18.5", "--profile=esm-only"],
];

async function run(): Promise<Problems> {
  const work = await Deno.makeTempDir({ prefix: "package-" });
  try {
    const folder = join(work, "package");
    const { files } = await buildPackage(folder);
    const { tarball, paths } = await packPackage(folder, work);
    const problems = [
      ...files.filter((path) => !paths.includes(path))
        .map((path) => `npm pack leaves out ${path}`),
      ...paths.filter((path) => !PATHS.test(path))
        .map((path) => `the package holds ${path}, which nobody asked for`),
    ];
    for (const path of paths) {
      const text = await Deno.readTextFile(join(folder, path));
      problems.push(...problemsOf(path, text, paths));
    }
    for (const [tool, ...args] of TOOLS) {
      problems.push(
        ...await told(
          `${tool}`,
          [
            "run",
            "-A",
            "--no-config",
            "--no-lock",
            "--quiet",
            tool!,
            ...args,
            tarball,
          ],
        ),
      );
    }
    // Slow types are among what it refuses.
    const dryRun = ["publish", "--dry-run", "--allow-dirty", "--quiet"];
    problems.push(...await told("deno publish --dry-run", dryRun));
    return problems;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

function problemsOf(
  path: string,
  text: string,
  paths: readonly string[],
): string[] {
  const problems: string[] = [];
  if (text.includes(fileURLToPath(ROOT))) {
    problems.push(`${path} names a folder of the machine that built it`);
  }
  if (path.startsWith("dist/")) {
    for (const [, specifier] of text.matchAll(IMPORT)) {
      problems.push(`${path} imports "${specifier}", which Node does not know`);
    }
  }
  if (DOORS.test(path)) {
    for (const [, link] of text.matchAll(LINK)) {
      const target = normalize(join(dirname(path), link!));
      const isThere = paths.some((one) =>
        one === target || one.startsWith(target)
      );
      if (!isThere) {
        problems.push(`${path} links to ${link}, which is not there`);
      }
    }
  }
  return problems;
}

/** What a tool said, if it was not content. */
async function told(name: string, args: readonly string[]): Promise<string[]> {
  const result = await runDeno(args);
  return result.code === 0 ? [] : [`${name}: ${printed(result)}`];
}

/** What npm and JSR are given is whole, and is understood by those who take it. */
export const packageCheck: Check = {
  name: "package",
  needsPostgres: false,
  run,
};
