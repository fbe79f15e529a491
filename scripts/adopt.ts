/**
 * Copies the module and the ledger's migration into a Supabase project:
 * `deno task adopt ../my-project [--dry-run]`.
 *
 * Never overwrites: where a file is there already with other contents, it
 * lists such files and copies nothing.
 *
 * @module
 */
import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { NEXT_STEPS } from "./adopt/example.ts";
import {
  NotASupabaseProjectError,
  planAdoption,
  type PlannedFile,
} from "./adopt/plan.ts";

const USAGE = "Usage: deno task adopt ../my-project [--dry-run]";

function fail(message: string): never {
  console.error(message);
  Deno.exit(1);
}

function readArguments(): { project: string; dryRun: boolean } {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: { "dry-run": { type: "boolean", default: false } },
    });
    const [project] = positionals;
    if (project === undefined || positionals.length > 1) {
      fail(`adopt: name one project. ${USAGE}`);
    }
    return { project: resolve(project), dryRun: values["dry-run"] };
  } catch (error) {
    fail(`adopt: ${(error as Error).message}. ${USAGE}`);
  }
}

async function plan(
  repository: string,
  project: string,
): Promise<PlannedFile[]> {
  try {
    return await planAdoption(repository, project);
  } catch (error) {
    if (error instanceof NotASupabaseProjectError) fail(error.message);
    throw error;
  }
}

const { project, dryRun } = readArguments();
const files = await plan(resolve(import.meta.dirname!, ".."), project);
const added = files.filter(({ state }) => state === "new");
const conflicts = files.filter(({ state }) => state === "differs");

if (conflicts.length > 0) {
  const list = conflicts.map(({ target }) => `  ${target}`).join("\n");
  fail(
    `adopt into ${project}: nothing was copied, because these files are there with other contents:\n${list}\n` +
      "Compare them, then move or delete them and run this again",
  );
}
for (const { source, target } of added) {
  if (!dryRun) {
    await mkdir(dirname(join(project, target)), { recursive: true });
    await copyFile(source, join(project, target));
  }
  console.log(`${dryRun ? "would add" : "added"} ${target}`);
}
const same = files.length - added.length;
if (same > 0) {
  console.log(`${same} of ${files.length} files were there already`);
}
if (added.length > 0) console.log(`\n${NEXT_STEPS}`);
