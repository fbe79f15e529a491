import { join } from "node:path";

/** A file to be copied, and what is there already. */
export interface PlannedFile {
  /** Path it is copied from. */
  readonly source: string;
  /** Path it is copied to, below the project. */
  readonly target: string;
  /** `new` where nothing is yet, `same` with equal bytes, else `differs`. */
  readonly state: "new" | "same" | "differs";
}

/** Thrown when the target is not a Supabase project. */
export class NotASupabaseProjectError extends Error {
  override readonly name = "NotASupabaseProjectError";
}

async function filesBelow(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (entry.isDirectory) {
      const inner = await filesBelow(join(folder, entry.name));
      paths.push(...inner.map((path) => join(entry.name, path)));
    } else if (entry.isFile) paths.push(entry.name);
  }
  return paths.sort();
}

async function isFolder(path: string): Promise<boolean> {
  const info = await Deno.stat(path).catch(() => null);
  return info?.isDirectory ?? false;
}

/** Line ends aside: a checkout with CRLF holds the same file. */
async function compare(
  source: string,
  target: string,
): Promise<PlannedFile["state"]> {
  let existing: string;
  try {
    existing = await Deno.readTextFile(target);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "new";
    throw error;
  }
  const text = await Deno.readTextFile(source);
  return existing.replaceAll("\r\n", "\n") === text.replaceAll("\r\n", "\n")
    ? "same"
    : "differs";
}

/** The name under which a project has the ledger's migration. */
const LEDGER = /^\d+_idempotency\.sql$/;

/**
 * Names the ledger's migration in a project: as it is there already, else
 * stamped later than the project's newest, because `supabase db push` refuses
 * what comes before a migration that it has applied. Never later than a minute
 * from now: the project's next one has to come after it.
 */
async function ledgerMigration(migrations: string): Promise<string> {
  const names = await isFolder(migrations) ? await filesBelow(migrations) : [];
  const present = names.find((name) => LEDGER.test(name));
  if (present !== undefined) return present;
  const newest = names.map((name) =>
    Number(/^\d{14}(?=_)/.exec(name)?.[0] ?? 0)
  )
    .reduce((one, other) => Math.max(one, other), 0);
  const now = Date.now();
  const after = Math.max(now, dateOf(newest) + 1_000);
  const stamp = versionOf(new Date(Math.min(after, now + 60_000)));
  return `${stamp}_idempotency.sql`;
}

/** A migration's version: a moment in UTC, as the Supabase CLI writes it. */
function versionOf(date: Date): string {
  return date.toISOString().replace(/\D/g, "").slice(0, 14);
}

function dateOf(version: number): number {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})$/.exec(`${version}`) ?? [];
  const date = Date.parse(
    `${year}-${month}-${day}T${hour}:${minute}:${second}Z`,
  );
  return Number.isNaN(date) ? 0 : date;
}

/**
 * Lists what a project is to receive: the module at Supabase's own place for
 * shared code, and the ledger's migration, stamped for that project.
 *
 * @param repository Root of this repository.
 * @param project Root of the project, the folder that contains `supabase/`.
 */
export async function planAdoption(
  repository: string,
  project: string,
): Promise<PlannedFile[]> {
  if (!await isFolder(join(project, "supabase"))) {
    const reason = await isFolder(project)
      ? "it has no folder supabase/; run `supabase init` there first"
      : "there is no such folder";
    throw new NotASupabaseProjectError(`adopt into ${project}: ${reason}`);
  }
  const shared = join(repository, "shared");
  const migrations = join(repository, "supabase", "migrations");
  const functionsShared = join("supabase", "functions", "_shared");
  const module = ["idempotency.ts"].concat(
    (await filesBelow(join(shared, "idempotency"))).map((path) =>
      join("idempotency", path)
    ),
  );
  const [ledger] = (await filesBelow(migrations)).filter((name) =>
    LEDGER.test(name)
  );
  const stamped = await ledgerMigration(
    join(project, "supabase", "migrations"),
  );
  const copies = [
    ...module.map((path) => [join(shared, path), join(functionsShared, path)]),
    [join(migrations, ledger!), join("supabase", "migrations", stamped)],
  ] as [string, string][];
  return await Promise.all(copies.map(async ([source, target]) => ({
    source,
    target,
    state: await compare(source, join(project, target)),
  })));
}
