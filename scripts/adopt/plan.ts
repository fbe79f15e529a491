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

/**
 * Lists what a project is to receive: the module at Supabase's own place for
 * shared code, and the ledger's migrations under their own versions, so that
 * a project which has applied them does not apply them again.
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
  const ledger = (await filesBelow(migrations)).filter((name) =>
    /^\d+_idempotency(_\w+)?\.sql$/.test(name)
  );
  const copies = [
    ...module.map((path) => [join(shared, path), join(functionsShared, path)]),
    ...ledger.map((
      name,
    ) => [join(migrations, name), join("supabase", "migrations", name)]),
  ] as [string, string][];
  return await Promise.all(copies.map(async ([source, target]) => ({
    source,
    target,
    state: await compare(source, join(project, target)),
  })));
}
