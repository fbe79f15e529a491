import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import configuration from "../../deno.json" with { type: "json" };
import { PUSH } from "../project.ts";
import {
  type Command,
  CommandError,
  commandLine,
  COMMON_OPTIONS,
  parseOptions,
  UsageError,
} from "./command.ts";
import {
  carryOut,
  type Change,
  checksum,
  MANIFEST,
  type Manifest,
  manifestText,
  migrationOf,
  MIGRATIONS,
  openFolder,
  printChanges,
  type ProjectFolder,
  pushAdvice,
  stampsFor,
  textAt,
} from "./project_folder.ts";
import {
  creatingSql,
  otherRelease,
  PACKAGE,
  type Part,
  PARTS,
  rollbackSql,
  SHARED,
  type SqlPart,
  sqlPartsOf,
  vendoredModules,
  VERSION,
} from "./release.ts";
import { configOf } from "./functions.ts";
import { describeCreation, leftBy } from "./created.ts";
import { shown, shownJson } from "../table.ts";

const { imports } = configuration;

/** A function to start from, as a project writes it. */
export const EXAMPLE = `import { pipeline } from "${
  imports["@supabase/middleware"]
}";
import { withSupabase } from "${imports["@supabase/server"]}";
import { corsHeaders, withIdempotency } from "../_shared/idempotency.ts";

export default {
  fetch: pipeline(
    [
      withSupabase({ auth: "user", cors: { headers: corsHeaders } }),
      withIdempotency({ scope: "hello" }),
    ],
    async (request) => Response.json({ hello: await request.text() }),
  ),
};
`;

const NEXT = `Next, in the project: ${PUSH}`;

const FIRST_STEPS = `Next, in the project:
  1. ${PUSH}
  2. protect a function, for instance supabase/functions/hello/index.ts:

${EXAMPLE.replaceAll(/^(?=.)/gm, "       ")}
  3. supabase functions deploy hello`;

/** What there is to do, for the whole of it or for nothing. */
interface Plan {
  readonly changes: readonly Change[];
  /** Files in the way that say something else. */
  readonly conflicts: readonly string[];
  /** How many files the project has then. */
  readonly total: number;
  /** Migrations that are new: their names, and what each says. */
  readonly created: ReadonlyMap<string, string>;
  readonly advice: readonly string[];
}

async function plan(
  folder: ProjectFolder,
  parts: readonly Part[],
  force: boolean,
): Promise<Plan> {
  const wanted = await vendoredModules(parts);
  const sqlParts = sqlPartsOf(parts);
  const missing = sqlParts.filter((part) => migrationOf(folder, part) === null);
  const { versions, beyond } = stampsFor(folder.migrations, missing.length);
  const migrations: Manifest["migrations"] = {};
  const created = new Map<string, string>();
  for (const part of sqlParts) {
    const stamp = versions[missing.indexOf(part)];
    const name = migrationOf(folder, part) ?? `${stamp}_${part}.sql`;
    const sql = await migrationText(folder, part, name);
    migrations[part] = name;
    wanted.set(`${MIGRATIONS}/${name}`, sql);
    if (missing.includes(part)) created.set(name, sql);
  }
  if (parts.includes("migrate")) {
    for (const [part, name] of Object.entries(migrations)) {
      wanted.set(
        `supabase/rollback/${name}`,
        await rollbackSql(part as SqlPart, name),
      );
    }
  }
  // Upgrades are migrations too, and what they say is not ours to write again.
  const first = Object.values(folder.manifest?.migrations ?? {});
  const upgrades = Object.entries(folder.manifest?.files ?? {})
    .filter(([path]) =>
      path.startsWith(MIGRATIONS) && !first.includes(basename(path))
    );
  const files = Object.fromEntries([
    ...upgrades,
    ...[...wanted].map(([path, text]) => [path, checksum(text)] as const),
  ]);
  const manifest = { version: VERSION, parts: [...parts], migrations, files };
  const changes: Change[] = [];
  const conflicts: string[] = [];
  for (const [path, text] of wanted) {
    const found = await textAt(folder, path);
    if (found === text) continue;
    // What is applied already is not mended by a file that says otherwise.
    if (found !== null && !(force && path.startsWith(SHARED))) {
      conflicts.push(path);
    }
    changes.push({ path, text, kind: found === null ? "add" : "replace" });
  }
  const text = manifestText(manifest);
  const before = await textAt(folder, MANIFEST);
  if (before !== text) {
    const kind = before === null ? "add" : "replace";
    // First: where this is cut off, the next one knows the migrations again.
    changes.unshift({ path: MANIFEST, text, kind });
  }
  await insistOnFreeNames(folder, created);
  const advice = [
    ...pushAdvice(beyond),
    ...await diffAdvice(folder, [...created.keys()]),
  ];
  return { changes, conflicts, created, advice, total: wanted.size + 1 };
}

/**
 * What a part's migration says. After an upgrade there is more than one, and
 * none of them is this release's: what was applied stays as it is.
 */
async function migrationText(
  folder: ProjectFolder,
  part: SqlPart,
  name: string,
): Promise<string> {
  const path = `${MIGRATIONS}/${name}`;
  const found = await textAt(folder, path);
  return found !== null && folder.manifest?.files[path] === checksum(found)
    ? found
    : await creatingSql(part);
}

/**
 * Makes sure that the project has nothing of its own by a name that a new
 * migration gives: `supabase db push` would fail with it.
 *
 * @throws {CommandError} When it has; says what to do.
 */
async function insistOnFreeNames(
  folder: ProjectFolder,
  created: ReadonlyMap<string, string>,
): Promise<void> {
  const theirs = new Map<string, string>();
  for (const name of folder.migrations) {
    const sql = await textAt(folder, `${MIGRATIONS}/${name}`) ?? "";
    if (!sql.includes(`Written by ${PACKAGE} `)) theirs.set(name, sql);
  }
  const left = leftBy(theirs);
  const taken = [...leftBy(created).keys()].filter((what) => left.has(what));
  if (taken.length === 0) return;
  throw new CommandError(
    `into ${folder.path}: nothing was copied, because the project makes by itself what the new migration would:\n${
      taken.map((what) => `  ${what}, in ${shown(left.get(what)!)}`).join("\n")
    }\nRename yours in a migration of your own (alter … rename to …), and what uses it, or drop it; then run this again. Where it is this ledger, squashed into another file, restore its own migration from version control`,
  );
}

/** What to do where the whole schema is declared, and not only in migrations. */
async function diffAdvice(
  folder: ProjectFolder,
  created: readonly string[],
): Promise<string[]> {
  const { schema_paths } = (await configOf(folder)).db.migrations;
  // Where none is named, the Supabase CLI takes what is in this folder.
  const declared = schema_paths.length > 0 ||
      !existsSync(join(folder.path, "supabase/schemas"))
    ? schema_paths
    : ["./schemas/**/*.sql"];
  const parts = created.map((name) => name.replace(/^\d+_(.*)\.sql$/, "$1"))
    .filter((part) => !declared.some((path) => path.includes(`_${part}`)));
  if (declared.length === 0 || parts.length === 0) return [];
  const all = [
    ...declared,
    ...parts.map((part) => `./migrations/*_${part}*.sql`),
  ];
  return [
    "The project declares its schema, and `supabase db schema declarative sync` (before version 3 of",
    "  the CLI `supabase db diff`) writes a migration that drops what is not declared. Under",
    `  db.migrations say schema_paths = ${shownJson(all)}`,
  ];
}

function partsNamed(list: string): Part[] {
  const names = list.split(",").map((name) => name.trim()).filter(Boolean);
  const unknown = names.filter((name) => !Object.hasOwn(PARTS, name));
  if (unknown.length > 0) {
    throw new UsageError(
      `--parts ${unknown.join(",")}: there are ${
        Object.keys(PARTS).join(", ")
      }`,
    );
  }
  return names as Part[];
}

async function run(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseOptions(args, {
    "parts": { type: "string", default: "" },
    "force-vendor": { type: "boolean", default: false },
  }, "any");
  const named = [
    ...positionals,
    ...values.project === "." ? [] : [values.project],
  ];
  if (named.length > 1) {
    throw new UsageError(`name one project, not ${named.join(" and ")}`);
  }
  const asked = partsNamed(values.parts);
  const folder = await openFolder(named[0] ?? ".");
  const had = folder.manifest?.parts ?? [];
  if (folder.manifest !== null && folder.manifest.version !== VERSION) {
    throw new CommandError(
      `${folder.path} has ${folder.manifest.version}, this is ${VERSION}: ${
        otherRelease(folder.manifest.version)
      }`,
    );
  }
  const parts = (Object.keys(PARTS) as Part[])
    .filter((part) => had.includes(part) || asked.includes(part));
  const { changes, conflicts, created, advice, total } = await plan(
    folder,
    parts,
    values["force-vendor"],
  );
  if (conflicts.length > 0) {
    throw new CommandError(
      `into ${folder.path}: nothing was copied, because these files are there with other contents:\n${
        conflicts.map((path) => `  ${path}`).join("\n")
      }\nCompare them, then move or delete them and run this again; --force-vendor replaces those in ${SHARED}/`,
    );
  }
  console.log(`version ${VERSION}, into ${folder.path}`);
  printChanges(changes);
  for (const [name, sql] of created) {
    console.log(`\n${MIGRATIONS}/${name} creates`);
    for (const line of describeCreation(sql)) console.log(line);
  }
  for (const line of advice) console.log(line);
  const same = total - changes.length;
  if (same > 0) console.log(`${same} of ${total} files were there already`);
  if (changes.length === 0) return;
  if (!await carryOut(folder, changes, values)) return;
  // Whoever adds a part has been told how a function is protected.
  const isFirst = [...created.keys()]
    .some((name) => name.endsWith("_idempotency.sql"));
  if (isFirst) console.log(`\n${FIRST_STEPS}`);
  else if (created.size > 0) console.log(`\n${NEXT}`);
}

/** Puts the module and its migration into a project. */
export const init: Command = {
  summary: "put the module and the ledger's migration into a project",
  usage: () =>
    `Usage: ${commandLine("init")} [DIR] [--parts LIST] [--force-vendor]

Writes the module to ${SHARED}/ and one migration for the
ledger, dated so that \`supabase db push\` takes it today and your next one after
it. Overwrites nothing; may be run again, to add parts.

  DIR                  the project, as --project
  --parts LIST         of these, with commas:
${
      Object.entries(PARTS).map(([name, what]) =>
        `                         ${name.padEnd(10)} ${what}`
      ).join("\n")
    }
  --force-vendor       replace files in ${SHARED}/ that say something else
${COMMON_OPTIONS}`,
  run,
};
