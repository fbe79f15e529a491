import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import {
  constants,
  copyFile,
  link,
  lstat,
  mkdir,
  readFile,
  realpath,
  rename,
  rm,
  rmdir,
  writeFile,
} from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import process from "node:process";
import { z } from "zod";
import {
  CommandError,
  type Consent,
  mayProceed,
  UsageError,
} from "./command.ts";
import {
  namesIn,
  type Part,
  PARTS,
  readText,
  ROOT,
  SHARED,
  type SqlPart,
} from "./release.ts";
import { shown } from "../table.ts";

/** Where migrations lie, below a project. */
export const MIGRATIONS = "supabase/migrations";

/** What a project remembers of what it was given. */
export const MANIFEST = `${SHARED}/idempotency.manifest.json`;

// A manifest comes with the project, which may be anybody's: it leads nowhere
// else, and says nothing that a terminal obeys.
const PATH =
  /^supabase(?:\/(?!\.{1,2}(?:\/|$))[^/\\:\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+)+$/u;

const Manifest = z.object({
  /** The release that all of it is of. */
  version: z.string().regex(/^[\w.+-]+$/),
  parts: z.array(z.enum(Object.keys(PARTS) as [Part, ...Part[]])),
  /** Names of the migrations that made each part. */
  migrations: z.partialRecord(
    z.enum(["idempotency", "archive", "sequences"]),
    z.string(),
  ),
  /** SHA-256 of each file as it was written, line ends aside, by its path. */
  files: z.record(z.string(), z.string()).refine(
    (files) => Object.keys(files).every((path) => PATH.test(path)),
    "there is a path that is none below supabase/",
  ),
});

/** What a project remembers of what it was given. */
export type Manifest = z.output<typeof Manifest>;

/** A file of the project that is to become another one. */
export interface Change {
  /** Below the project, with slashes. */
  readonly path: string;
  /** What it is to say; `null`: it is to go. */
  readonly text: string | null;
  readonly kind: "add" | "replace" | "delete";
}

/** A project on this machine: the folder that contains `supabase/`. */
export interface ProjectFolder {
  readonly path: string;
  readonly manifest: Manifest | null;
  /** Names of its migrations, the oldest first. */
  readonly migrations: readonly string[];
}

/**
 * Looks at a project.
 *
 * @throws {CommandError} When it is none.
 * @throws {UsageError} When it is this repository.
 */
export async function openFolder(folder: string): Promise<ProjectFolder> {
  const path = resolve(folder);
  if (!existsSync(path)) {
    throw new CommandError(`${path}: there is no such folder`);
  }
  if (!existsSync(join(path, "supabase"))) {
    throw new CommandError(
      `${path}: it has no folder supabase/; run \`supabase init\` there first, or name your project with --project`,
    );
  }
  if (path === ROOT) {
    throw new UsageError(
      `${path} is where the module comes from: name your project`,
    );
  }
  const migrations = (await namesIn(join(path, MIGRATIONS)))
    .filter((name) => /^\d+_.*\.sql$/.test(name));
  const found = { path, manifest: await readManifest(path), migrations };
  return { ...found, manifest: await asDatedNow(found) };
}

/** Its manifest, with the names of migrations that were given another date since. */
async function asDatedNow(folder: ProjectFolder): Promise<Manifest | null> {
  const { manifest, migrations } = folder;
  if (manifest === null) return null;
  const undated = (name: string) => name.replace(/^\d+/, "");
  const files: Manifest["files"] = {};
  const renamed = new Map<string, string>();
  for (const [path, sum] of Object.entries(manifest.files)) {
    const name = path.slice(MIGRATIONS.length + 1);
    let now = path;
    if (path.startsWith(`${MIGRATIONS}/`) && !migrations.includes(name)) {
      for (const other of sinceRemoval(migrations)) {
        const at = `${MIGRATIONS}/${other}`;
        if (undated(other) !== undated(name) || at in manifest.files) continue;
        if (checksum(await textAt(folder, at) ?? "") !== sum) continue;
        renamed.set(name, other);
        now = at;
      }
    }
    files[now] = sum;
  }
  const made = Object.entries(manifest.migrations)
    .map(([part, name]) => [part, renamed.get(name) ?? name]);
  return { ...manifest, files, migrations: Object.fromEntries(made) };
}

async function readManifest(project: string): Promise<Manifest | null> {
  const path = join(project, MANIFEST);
  if (!existsSync(path)) return null;
  try {
    return Manifest.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    throw new CommandError(
      `${MANIFEST} says nothing that this program understands (${
        (error as Error).message
      }): restore it from version control`,
    );
  }
}

/** What a manifest file says: the same for the same files, in whatever order. */
export function manifestText({ files, ...rest }: Manifest): string {
  const sorted = Object.fromEntries(
    Object.entries(files).sort(([a], [b]) => a < b ? -1 : 1),
  );
  return `${JSON.stringify({ ...rest, files: sorted }, null, 2)}\n`;
}

/** The checksum of a text, whatever line ends a checkout gave it. */
export function checksum(text: string): string {
  return createHash("sha256").update(text.replaceAll("\r\n", "\n"))
    .digest("hex");
}

/** What a file of the project says; `null` where there is none. */
export async function textAt(
  { path: project }: ProjectFolder,
  path: string,
): Promise<string | null> {
  const full = join(project, path);
  return existsSync(full) ? await readText(full) : null;
}

/** How a file of the project is, beside what the manifest remembers. */
export async function stateOf(
  folder: ProjectFolder,
  path: string,
): Promise<"missing" | "as written" | "edited"> {
  const text = await textAt(folder, path);
  if (text === null) return "missing";
  return folder.manifest?.files[path] === checksum(text)
    ? "as written"
    : "edited";
}

/** When new migrations are to have been made. */
export interface Stamps {
  /** Versions, as many as were asked for. */
  readonly versions: readonly string[];
  /** A migration of the project that is later than they may be. */
  readonly beyond: string | null;
}

const MOST_AHEAD_MS = 60_000;

/**
 * Versions for migrations that are new to a project: later than its newest,
 * because `supabase db push` refuses what comes before one that it has applied;
 * never later than a minute from now, because the project's own next one has to
 * come after them.
 */
export function stampsFor(
  migrations: readonly string[],
  count: number,
  now = Date.now(),
): Stamps {
  const taken = migrations.map((name) => name.split("_")[0]!);
  // Compared as text, as the Supabase CLI does.
  const newest = [...taken].sort().at(-1) ?? "";
  const after = newest < versionOf(now) ? now : dateOf(newest) + 1000;
  const fits = after + (count - 1) * 1000 <= now + MOST_AHEAD_MS;
  const versions: string[] = [];
  for (let at = fits ? after : now; versions.length < count; at += 1000) {
    if (!taken.includes(versionOf(at))) versions.push(versionOf(at));
  }
  const beyond = fits
    ? null
    : migrations.find((name) => name.startsWith(`${newest}_`)) ?? null;
  return { versions, beyond };
}

/** What to do about {@link Stamps.beyond}. */
export function pushAdvice(beyond: string | null): string[] {
  return beyond === null ? [] : [
    `${
      shown(beyond)
    } is dated in the future, and the new migration comes before it:`,
    "  `supabase db push` will refuse this one, and every one that you make until then. Either push",
    "  with `supabase db push --include-all`, or, where that one is not applied anywhere yet, rename",
    "  it to a date that has passed and run this again.",
  ];
}

/** A migration's version: a moment in UTC, as the Supabase CLI writes it. */
function versionOf(ms: number): string {
  return new Date(ms).toISOString().replaceAll(/\D/g, "").slice(0, 14);
}

/** The moment of a version; one that is no date is further than any. */
function dateOf(version: string): number {
  const parts = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})$/.exec(version);
  const [, year, month, day, hour, minute, second] = parts ?? [];
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(ms) ? Infinity : ms;
}

/** Those after which none took the ledger out. */
function sinceRemoval(migrations: readonly string[]): readonly string[] {
  const removal = migrations.findLastIndex((name) =>
    name.endsWith("_remove_idempotency.sql")
  );
  return migrations.slice(removal + 1);
}

/** The migration that makes a part, as long as none took it out again. */
export function migrationOf(
  { migrations, manifest }: ProjectFolder,
  part: SqlPart,
): string | null {
  const named = manifest?.migrations[part];
  // Without a manifest the ledger's is known by its name; what is called archive
  // may be anything.
  const isIt = (name: string) =>
    named === undefined
      ? part === "idempotency" && /^\d+_idempotency\.sql$/.test(name)
      : name === named;
  return sinceRemoval(migrations).findLast(isIt) ?? null;
}

/** Folders that other files are in stay, and so do links to folders. */
async function removeEmptyFolders(folder: string, end: string): Promise<void> {
  try {
    for (let at = folder; at !== end; at = dirname(at)) await rmdir(at);
  } catch {
    // An empty folder that is left does no harm.
  }
}

/** Says what a change will be, a line each. */
export function printChanges(changes: readonly Change[]): void {
  for (const { kind, path } of changes) {
    console.log(`would ${kind} ${shown(path)}`);
  }
}

const DONE = { add: "added", replace: "replaced", delete: "deleted" } as const;

/** A link in a project that was cloned may lead anywhere. */
async function insistOnInside(project: string, path: string): Promise<void> {
  const home = await realpath(project);
  let at = join(project, path);
  while (await lstat(at).catch(() => null) === null) at = dirname(at);
  const real = await realpath(at).catch(() => null);
  if (real === null || !`${real}${sep}`.startsWith(`${home}${sep}`)) {
    throw new CommandError(
      `${path} is behind a link that leads out of ${project}: nothing was changed. Put a folder in the place of the link`,
    );
  }
}

/**
 * Makes the changes that were said, if that is wanted.
 *
 * @returns Whether to say what comes next: they were made, or only to be said.
 * @throws {CommandError} When one is outside of the project, or a file is no more
 * what it was when this was said; then none is made. Or when one cannot be made.
 */
export async function carryOut(
  folder: ProjectFolder,
  changes: readonly Change[],
  consent: Consent,
): Promise<boolean> {
  console.log();
  if (consent["dry-run"]) return true;
  const texts = () =>
    Promise.all(changes.map(({ path }) => textAt(folder, path)));
  const seen = await texts();
  if (!await mayProceed(consent)) return false;
  // Whoever was asked had time for another run, or an edit.
  const now = await texts();
  const changed = changes.filter((_, index) => now[index] !== seen[index]);
  if (changed.length > 0) {
    throw new CommandError(
      `nothing was changed, because meanwhile somebody else did:\n${
        changed.map(({ path }) => `  ${path}`).join("\n")
      }\nRun this again`,
    );
  }
  await makeChanges(folder, changes);
  return true;
}

// Where Supabase's CLI keeps its own: what is left there is in nobody's way.
const TEMPORARY = "supabase/.temp";

async function makeChange(
  project: string,
  { path: below, text, kind }: Change,
): Promise<void> {
  const full = join(project, below);
  if (text === null) {
    await rm(full, { force: true });
    await removeEmptyFolders(dirname(full), join(project, "supabase"));
    return;
  }
  await mkdir(dirname(full), { recursive: true });
  // Half a file would be taken for one that somebody edited, and what was in the
  // place of it would be lost.
  const folder = join(project, TEMPORARY, `idempotency-${process.pid}`);
  const part = join(folder, "part");
  await mkdir(folder, { recursive: true });
  try {
    await writeFile(part, text);
    if (kind === "add") await putWhereNoneIs(part, full);
    else await putInPlaceOf(part, await realpath(full));
  } finally {
    await rm(part, { force: true });
    await removeEmptyFolders(folder, join(project, "supabase"));
  }
}

async function putInPlaceOf(part: string, place: string): Promise<void> {
  try {
    await rename(part, place);
  } catch (error) {
    // Folders of a container may be file systems of their own.
    if ((error as { code?: string }).code !== "EXDEV") throw error;
    await copyFile(part, place);
  }
}

/** Two that run at once do not write over each other. */
async function putWhereNoneIs(part: string, place: string): Promise<void> {
  try {
    await link(part, place);
  } catch (error) {
    if ((error as { code?: string }).code === "EEXIST") throw error;
    // There are file systems without links.
    await copyFile(part, place, constants.COPYFILE_EXCL);
  }
}

/**
 * Makes the changes, and says how many.
 *
 * @throws {CommandError} When one is outside of the project; then none is made.
 */
async function makeChanges(
  { path: project }: ProjectFolder,
  changes: readonly Change[],
): Promise<void> {
  const paths = [TEMPORARY, ...changes.map(({ path }) => path)];
  for (const path of paths) await insistOnInside(project, path);
  for (const [index, change] of changes.entries()) {
    try {
      await makeChange(project, change);
    } catch (error) {
      throw new CommandError(
        `${change.path}: ${
          (error as Error).message
        }. ${index} of ${changes.length} changes are made; mend that and run this again, which makes the others`,
      );
    }
  }
  for (const kind of ["add", "replace", "delete"] as const) {
    const { length } = changes.filter((change) => change.kind === kind);
    if (length > 0) {
      console.log(`${DONE[kind]} ${length} ${length === 1 ? "file" : "files"}`);
    }
  }
}
