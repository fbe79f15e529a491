import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import configuration from "../../deno.json" with { type: "json" };
import { PUSH } from "../project.ts";
import { CommandError, commandLine } from "./command.ts";

/** What `--parts` may name, and what each is. */
export const PARTS = {
  client: "makes calls of functions safe to retry: client.ts",
  tracing: "JSON logs and W3C trace context: tracing.ts",
  archive: "soft delete for any table: archive.ts and a migration",
  sequences: "document numbers without gaps: sequences.ts and a migration",
  migrate: "rollback files, for the command migrate",
} as const;

/** A part that a project may take beside the ledger. */
export type Part = keyof typeof PARTS;

/** What has a migration: the ledger and some of the parts. */
export type SqlPart = "idempotency" | "archive" | "sequences";

/** Those with a migration, in the order in which they are applied. */
export const SQL_PARTS: readonly SqlPart[] = [
  "idempotency",
  "archive",
  "sequences",
];

/** Where Supabase keeps what functions share, below a project. */
export const SHARED = "supabase/functions/_shared";

/** Name of the package on npm, and of its command. */
export const PACKAGE = "supabase-idempotency";

/** The version of this program, of the module and of the schema it brings. */
export const VERSION: string = configuration.version;

/** The folder of this program: of this repository, or of the package. */
export const ROOT = findRoot();

/** Bundled or not, the program lies somewhere below what it brings. */
function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "supabase", "releases"))) {
    const parent = dirname(folder);
    if (parent === folder) {
      throw new Error(
        `find the module and its SQL: no folder above ${
          fileURLToPath(import.meta.url)
        } has supabase/releases/`,
      );
    }
    folder = parent;
  }
  return folder;
}

/** A checkout with CRLF holds the same text. */
export async function readText(path: string): Promise<string> {
  return (await readFile(path, "utf8")).replaceAll("\r\n", "\n");
}

/** Names of the files in a folder, sorted; none where there is no folder. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return [];
    throw error;
  }
}

// For those who write a store of their own: in the package, not in projects.
const NOT_COPIED = ["idempotency/testing.ts"];

/** The modules of a part, by their paths below {@link SHARED}. */
async function modulesOf(name: string): Promise<Map<string, string>> {
  const shared = join(ROOT, "shared");
  const inner = (await namesIn(join(shared, name)))
    .map((file) => `${name}/${file}`)
    .filter((path) => !NOT_COPIED.includes(path));
  const paths = [`${name}.ts`, ...inner];
  return new Map(
    await Promise.all(paths.map(async (path) =>
      [
        `${SHARED}/${path}`,
        await readText(join(shared, path)),
      ] as const
    )),
  );
}

/** The modules that a project with these parts has, by path and text. */
export async function vendoredModules(
  parts: readonly Part[],
): Promise<Map<string, string>> {
  const names = ["idempotency", ...parts.filter((part) => part !== "migrate")];
  const modules = await Promise.all(names.map(modulesOf));
  return new Map(modules.flatMap((files) => [...files]));
}

/** Whether there is SQL among what a project with these parts has. */
export function sqlPartsOf(parts: readonly Part[]): SqlPart[] {
  return SQL_PARTS.filter((part) =>
    part === "idempotency" || parts.includes(part)
  );
}

async function ownFile(folder: string, part: SqlPart): Promise<string> {
  const names = await namesIn(join(ROOT, "supabase", folder));
  const name = names.find((name) => /^\d+_(.*)\.sql$/.exec(name)?.[1] === part);
  if (name === undefined) throw new Error(`no ${part} in supabase/${folder}`);
  return await readText(join(ROOT, "supabase", folder, name));
}

/** Says where a migration comes from, and that it stays as it is. */
function signed(what: string, sql: string): string {
  return `-- ${what} Written by ${PACKAGE} ${VERSION}; once applied,
-- it is not to be edited: \`upgrade\` writes a migration of its own.

${sql.trim()}
`;
}

const NAMES: Readonly<Record<SqlPart, string>> = {
  idempotency: "The idempotency ledger.",
  archive: "Soft delete.",
  sequences: "Document numbers.",
};

/** The migration that makes a part in a database that has none of it. */
export async function creatingSql(part: SqlPart): Promise<string> {
  const sql = await ownFile("migrations", part);
  return signed(NAMES[part], sql.replace(/^-- Generated from .*\n/, ""));
}

/** What takes a part's migration back, which has this name in the project. */
export async function rollbackSql(
  part: SqlPart,
  migration: string,
): Promise<string> {
  const sql = await ownFile("rollback", part);
  return sql.replaceAll(/\d{14}/g, migration.slice(0, 14));
}

// Behind a lock that waits, claims wait too, and a try of theirs ends after 2.4 s.
const KEEP_OUT_OF_THE_WAY =
  `-- Fails, to be pushed again, rather than keep live requests waiting behind a long transaction.
select set_config('lock_timeout', '2s', true);
`;

// To drop tables with rows in them is what it is for.
const FOR_MIGRATE = "-- migrate: removes rows\n";

const REFUSE_WHILE_IN_USE = `do $$
declare
  v_running bigint;
  v_live bigint;
begin
  lock table public.idempotency_keys in access exclusive mode;
  select count(*) filter (where k.lease_expires_at > clock_timestamp()), count(*)
  into v_running, v_live
  from public.idempotency_keys as k
  where k.expires_at > clock_timestamp();

  if v_running > 0 then
    raise exception 'taking out the idempotency ledger: requests are running that hold % of its keys', v_running
      using hint = 'Deploy the functions without it first, and push again when those have ended.';
  end if;
  if v_live > 0 then
    raise warning 'taking out the idempotency ledger: % live keys go with it, and a retry of their requests runs anew', v_live;
  end if;
end;
$$;
`;

/** The migration that takes the ledger and these parts out. */
export async function removingSql(parts: readonly Part[]): Promise<string> {
  const rollbacks = await Promise.all(
    sqlPartsOf(parts).reverse().map((part) => ownFile("rollback", part)),
  );
  // What they say first is about running them by themselves.
  const statements = rollbacks.map((sql) => sql.replace(/^(--.*\n)+\n/, ""));
  return signed(
    "Takes out the idempotency ledger.",
    [FOR_MIGRATE, KEEP_OUT_OF_THE_WAY, REFUSE_WHILE_IN_USE, ...statements]
      .join("\n"),
  );
}

/** Whether a release came after another. */
export function isLater(version: string, than: string): boolean {
  return version.localeCompare(than, "en", { numeric: true }) > 0;
}

/** What to do with a project of another release. */
export function otherRelease(version: string): string {
  return isLater(version, VERSION)
    ? `take the program of that version, npx ${PACKAGE}@${version}`
    : `run ${commandLine("upgrade")}, then ${PUSH}`;
}

const STEP = /^(\d+\.\d+\.\d+)-(\d+\.\d+\.\d+)\.sql$/;

/** The releases that lead from one to this one, and the last is this one. */
async function stepsFrom(version: string): Promise<[string, string][]> {
  const names = await namesIn(join(ROOT, "supabase", "releases"));
  const next = new Map(names.flatMap((name) => {
    const [, from, to] = STEP.exec(name) ?? [];
    return from === undefined ? [] : [[from, to!] as const];
  }));
  const steps: [string, string][] = [];
  for (let from = version; from !== VERSION;) {
    const to = next.get(from);
    if (to === undefined) {
      throw new CommandError(
        `there is no way from ${version} to ${VERSION}: supabase/releases/ has no step that begins at ${from}. ` +
          (isLater(version, VERSION)
            ? otherRelease(version)
            : "Use a newer version of this program, or the one that wrote the manifest"),
      );
    }
    steps.push([from, to]);
    from = to;
  }
  return steps;
}

/**
 * The migration that makes the schema of one release that of this one, beside
 * functions of both.
 *
 * @throws {CommandError} When no steps lead there.
 */
export async function upgradingSql(
  version: string,
  parts: readonly Part[],
): Promise<string> {
  const releases = join(ROOT, "supabase", "releases");
  const names = await namesIn(releases);
  const texts: string[] = [];
  for (const [from, to] of await stepsFrom(version)) {
    const files = sqlPartsOf(parts)
      .map((part) =>
        part === "idempotency"
          ? `${from}-${to}.sql`
          : `${from}-${to}.${part}.sql`
      )
      .filter((name) => names.includes(name));
    for (const name of files) texts.push(await readText(join(releases, name)));
  }
  const guard = `do $$
begin
  if idempotency.version() <> '${version}' then
    raise exception 'upgrading the idempotency ledger from ${version} to ${VERSION}: this database has %', idempotency.version()
      using hint = 'Run doctor: a migration of the project was not applied here, or applied twice.';
  end if;
end;
$$;
`;
  return signed(
    `The idempotency ledger, from ${version} to ${VERSION}.`,
    [KEEP_OUT_OF_THE_WAY, guard, ...texts].join("\n"),
  );
}

/** Where the files of the operators' page are, below {@link ROOT}. */
export const PAGE = "scripts/ops/page";

/** The paths below {@link ROOT}, apart from this program, that it reads. */
export const BROUGHT: readonly string[] = [
  PAGE,
  "shared",
  "supabase/migrations",
  "supabase/releases",
  "supabase/rollback",
];
