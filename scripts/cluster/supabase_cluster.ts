import { startCluster } from "./postgres.ts";
import { markAsMade, openPostgres } from "../stack/postgres.ts";
import { generateKeys } from "../stack/keys.ts";
import { createLite } from "../stack/lite.ts";
import { readMigrations } from "../migrate/migration.ts";
import { applyMigrations } from "../stack/migrations.ts";
import { createAuthFunctions, createRoles } from "../stack/roles.ts";
import { SUPABASE_DIR } from "../stack/settings.ts";
import { type Extension, hasExtension } from "./postgres_extensions.ts";

/** A throw-away cluster that ends with the block that declared it. */
export interface SupabaseCluster extends AsyncDisposable {
  /** Connection string of the superuser. */
  readonly url: string;
}

// Projects made before Supabase stopped doing so grant the API roles everything
// on whatever a migration creates in public, and one may have said so of every
// schema: the migrations have to hold there as well.
const GENEROUS_DEFAULT_PRIVILEGES = ["", "in schema public"].flatMap((where) =>
  ["tables", "functions", "sequences"].map((kind) =>
    `alter default privileges ${where} grant all on ${kind} to anon, authenticated, service_role;`
  )
).join("\n");

// The tests run as the API roles, which have to reach the assertions.
const PGTAP = `
create extension if not exists pgtap schema extensions;
alter database postgres set search_path = "$user", public, extensions;
`;

/** Makes a fresh database a Supabase project, with what it is to hold. */
export async function prepareProject(
  url: string,
  contents: ClusterContents,
): Promise<void> {
  const database = await openPostgres(url);
  try {
    // A stack that is started on it may add what it needs.
    await markAsMade(database);
    await createRoles(database);
    await createLite(database, generateKeys()).createAuthTables();
    await createAuthFunctions(database);
    await database.transaction(({ script }) =>
      script(GENEROUS_DEFAULT_PRIVILEGES)
    );
    if (contents.pgtap) {
      await database.transaction(({ script }) => script(PGTAP));
    }
    if (contents.migrations) {
      const migrations = await readMigrations(`${SUPABASE_DIR}/migrations`);
      const parts = await Array.fromAsync(
        Deno.readDir(`${SUPABASE_DIR}/schemas`),
        ({ name }) => name,
      );
      await applyMigrations(
        database,
        contents.migrations === "all"
          ? migrations
          : migrations.filter(({ name }) => parts.includes(name)),
      );
    }
  } finally {
    await database.close();
  }
}

/** What a cluster holds beside Supabase's own. */
export interface ClusterContents {
  migrations?: "all" | "parts";
  pgtap?: boolean;
  version?: number | undefined;
}

async function cluster(contents: ClusterContents): Promise<SupabaseCluster> {
  const { version } = contents;
  const preload: Extension[] = hasExtension("pg_cron", version)
    ? ["pg_cron"]
    : [];
  const { url, close } = await startCluster({ preload, version });
  try {
    await prepareProject(url, contents);
  } catch (error) {
    await close();
    throw error;
  }
  return { url, [Symbol.asyncDispose]: close };
}

/** Makes a fresh database a Supabase project with this repository's migrations. */
export function migrate(url: string): Promise<void> {
  return prepareProject(url, { migrations: "all" });
}

/**
 * Starts what a new Supabase project is: roles and `auth`, no migration.
 *
 * @param options.version Major version of Postgres, where it matters.
 */
export function emptyCluster(
  options: { version?: number | undefined } = {},
): Promise<SupabaseCluster> {
  return cluster(options);
}

/**
 * Starts a Supabase project with this repository's migrations applied.
 *
 * @param options.pgtap Whether to add pgTAP, in the schema `extensions`.
 * @param options.version Major version of Postgres, where it matters.
 */
export function migratedCluster(
  options: { pgtap?: boolean; version?: number | undefined } = {},
): Promise<SupabaseCluster> {
  return cluster({ ...options, migrations: "all" });
}

/** Starts a Supabase project that has taken the parts, and not the examples. */
export function adoptedCluster(): Promise<SupabaseCluster> {
  return cluster({ migrations: "parts" });
}
