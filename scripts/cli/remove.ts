import { z } from "zod";
import { connectIfKnown, explain, PUSH } from "../project.ts";
import { refreshStatistics } from "../../functions/cleanup-idempotency/clean_up.ts";
import {
  type Command,
  CommandError,
  commandLine,
  COMMON_OPTIONS,
  parseOptions,
} from "./command.ts";
import { functionsOf } from "./functions.ts";
import {
  carryOut,
  type Change,
  MANIFEST,
  migrationOf,
  MIGRATIONS,
  openFolder,
  printChanges,
  type ProjectFolder,
  pushAdvice,
  stampsFor,
  stateOf,
  textAt,
} from "./project_folder.ts";
import { otherRelease, type Part, removingSql, VERSION } from "./release.ts";
import { shown } from "../table.ts";

const LiveKeys = z.tuple([z.object({
  processing_count: z.coerce.number(),
  completed_count: z.coerce.number(),
  failed_count: z.coerce.number(),
})], z.unknown());

/** What is live in the database, as far as it can be asked. */
async function liveKeys(
  values: { project: string; "database-url"?: string | undefined },
): Promise<string> {
  // The migration warns of them, but `supabase db push` shows no warnings.
  const connection = connectIfKnown(values["database-url"], values.project);
  if (connection === null) {
    return "the database was not asked how many keys are live: set SUPABASE_URL and SUPABASE_SECRET_KEY, or give --database-url";
  }
  await using database = connection;
  try {
    await refreshStatistics(database);
    const [total] = LiveKeys.parse(
      await database.call("idempotency_scope_statistics", { p_limit: 1 }),
    );
    const { processing_count, completed_count, failed_count } = total;
    return `live keys that go with it: ${processing_count} processing, ${completed_count} completed, ${failed_count} failed`;
  } catch (error) {
    return `the database does not say what is live: ${explain(error)}`;
  }
}

const WARNINGS: Partial<Record<Part, string>> = {
  archive:
    "archive: the push fails where a table still has soft delete; call disable_soft_delete on it first",
  sequences:
    "sequences: every counter is lost, and the numbers given out would be given out again",
};

async function changesFor(
  folder: ProjectFolder,
  paths: readonly string[],
): Promise<{ changes: Change[]; edited: string[] }> {
  const changes: Change[] = [];
  const edited: string[] = [];
  for (const path of paths) {
    // Migrations are the record of what was applied.
    if (path.startsWith(MIGRATIONS)) continue;
    const state = await stateOf(folder, path);
    if (state === "edited") edited.push(path);
    if (state === "as written") {
      changes.push({ path, text: null, kind: "delete" });
    }
  }
  return { changes, edited };
}

const REMOVAL = "_remove_idempotency.sql";

async function run(args: readonly string[]): Promise<void> {
  const { values } = parseOptions(args, {}, "none, but a project");
  const folder = await openFolder(values.project);
  const { manifest } = folder;
  if (manifest === null) {
    throw new CommandError(
      `${folder.path} has no ${MANIFEST}: there is nothing that this program put there`,
    );
  }
  if (manifest.version !== VERSION) {
    throw new CommandError(
      `${folder.path} has ${manifest.version}, this is ${VERSION}: first ${
        otherRelease(manifest.version)
      }`,
    );
  }
  const { changes, edited } = await changesFor(
    folder,
    Object.keys(manifest.files),
  );
  changes.push({ path: MANIFEST, text: null, kind: "delete" });
  // Where one was cut off, its migration is there.
  const written = migrationOf(folder, "idempotency") === null
    ? folder.migrations.findLast((name) => name.endsWith(REMOVAL))
    : undefined;
  const { versions, beyond } = stampsFor(folder.migrations, 1);
  const path = `${MIGRATIONS}/${written ?? `${versions[0]}${REMOVAL}`}`;
  const text = await removingSql(manifest.parts);
  const found = await textAt(folder, path);
  if (found === null) changes.unshift({ path, text, kind: "add" });
  else if (found !== text) {
    throw new CommandError(
      `${folder.path} keeps the module: ${path} is not what this program writes. Restore or delete it`,
    );
  }

  printChanges(changes);
  for (const path of edited) console.log(`keeps ${path}: it was edited`);
  const using = (await functionsOf(folder)).filter(({ isProtected }) =>
    isProtected
  );
  console.log(
    `\n${MIGRATIONS}/ keeps the migrations that are applied; the new one drops all that they made,`,
  );
  console.log("with its cron jobs and every key.");
  console.log(await liveKeys(values));
  for (const part of manifest.parts) {
    if (WARNINGS[part] !== undefined) console.log(WARNINGS[part]);
  }
  for (const { name, file } of using) {
    console.log(
      `function ${shown(name)} imports the module (${
        shown(file)
      }): take it out and deploy before you push`,
    );
  }
  for (const line of pushAdvice(beyond)) console.log(line);
  if (!await carryOut(folder, changes, values)) return;
  console.log(
    `\nNext, in the project: deploy the functions without it, then ${PUSH}`,
  );
}

/** Takes all of it out of a project. */
export const remove: Command = {
  summary: "take the module and the ledger out of a project",
  usage: () =>
    `Usage: ${commandLine("remove")}

Writes one migration that drops what the ledger and its parts made, and deletes
the module. Migrations of your own stay, and so do files that you edited. Says
which keys are live, where it may ask the database; the migration refuses to run
while requests hold keys.
${COMMON_OPTIONS}`,
  run,
};
