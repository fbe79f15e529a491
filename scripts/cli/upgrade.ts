import { PUSH } from "../project.ts";
import {
  type Command,
  CommandError,
  commandLine,
  COMMON_OPTIONS,
  parseOptions,
} from "./command.ts";
import {
  carryOut,
  type Change,
  checksum,
  MANIFEST,
  type Manifest,
  manifestText,
  MIGRATIONS,
  openFolder,
  printChanges,
  type ProjectFolder,
  pushAdvice,
  stampsFor,
  stateOf,
  textAt,
} from "./project_folder.ts";
import { SHARED, upgradingSql, vendoredModules, VERSION } from "./release.ts";

/** What becomes of the modules, and those that the user has edited. */
async function replaceModules(
  folder: ProjectFolder,
  manifest: Manifest,
  force: boolean,
): Promise<{ changes: Change[]; edited: string[]; files: Manifest["files"] }> {
  const modules = await vendoredModules(manifest.parts);
  const files: Manifest["files"] = {};
  const changes: Change[] = [];
  const edited: string[] = [];
  for (const [path, text] of modules) {
    files[path] = checksum(text);
    const found = await textAt(folder, path);
    if (found === text) continue;
    const state = await stateOf(folder, path);
    if (state === "edited" && !force) edited.push(path);
    changes.push({ path, text, kind: found === null ? "add" : "replace" });
  }
  for (const path of Object.keys(manifest.files)) {
    if (!path.startsWith(`${SHARED}/`)) files[path] = manifest.files[path]!;
    else if (!modules.has(path)) {
      const state = await stateOf(folder, path);
      if (state === "edited" && !force) edited.push(path);
      if (state !== "missing") {
        changes.push({ path, text: null, kind: "delete" });
      }
    }
  }
  return { changes, edited, files };
}

async function run(args: readonly string[]): Promise<void> {
  const { values } = parseOptions(args, {
    "force-vendor": { type: "boolean", default: false },
  }, "none, but a project");
  const folder = await openFolder(values.project);
  const { manifest } = folder;
  if (manifest === null) {
    throw new CommandError(
      `${folder.path} has no ${MANIFEST}: run ${commandLine("init")} there`,
    );
  }
  const { version } = manifest;
  const { changes, edited, files } = await replaceModules(
    folder,
    manifest,
    values["force-vendor"],
  );
  if (edited.length > 0) {
    throw new CommandError(
      `${folder.path} stays at ${version}, because these files were edited since they were written:\n${
        edited.map((path) => `  ${path}`).join("\n")
      }\nMove what you changed out of them and restore them; --force-vendor replaces them all`,
    );
  }
  if (version === VERSION && changes.length === 0) {
    console.log(`${folder.path} has ${VERSION} already`);
    return;
  }
  if (version !== VERSION) {
    const sql = await upgradingSql(version, manifest.parts);
    const { versions, beyond } = stampsFor(folder.migrations, 1);
    const name = `_idempotency_${VERSION.replaceAll(".", "_")}.sql`;
    // Where an upgrade was cut off, its migration is there.
    const written = folder.migrations.findLast((file) => file.endsWith(name));
    const path = `${MIGRATIONS}/${written ?? `${versions[0]}${name}`}`;
    files[path] = checksum(sql);
    const found = await textAt(folder, path);
    if (found === null) {
      changes.push({ path, text: sql, kind: "add" });
      for (const line of pushAdvice(beyond)) console.log(line);
    } else if (found !== sql) {
      throw new CommandError(
        `${folder.path} stays at ${version}: ${path} is not what this program writes. Restore or delete it`,
      );
    }
  }
  const text = manifestText({ ...manifest, version: VERSION, files });
  changes.push({ path: MANIFEST, text, kind: "replace" });
  console.log(`from ${version} to ${VERSION}, in ${folder.path}`);
  printChanges(changes);
  if (!await carryOut(folder, changes, values)) return;
  console.log(`
Next, in the project: first ${PUSH},
then supabase functions deploy. The functions that are deployed now go on working
meanwhile: what a release adds to the schema, the one before it does not mind.`);
}

/** Brings a project to this release. */
export const upgrade: Command = {
  summary: "bring a project's module and schema to this release",
  usage: () =>
    `Usage: ${commandLine("upgrade")} [--force-vendor]

Replaces the module's files and writes one new migration; never edits one that
may be applied. Refuses, and changes nothing, where one of the files was edited.

  --force-vendor       replace those too
${COMMON_OPTIONS}`,
  run,
};
