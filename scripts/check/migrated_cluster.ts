import { startCluster } from "../../tests/support/postgres.ts";
import { openPostgres } from "../stack/database.ts";
import { loadKeys } from "../stack/keys.ts";
import { createLite } from "../stack/lite.ts";
import { applyMigrations, readMigrations } from "../stack/migrations.ts";
import { createAuthFunctions, createRoles } from "../stack/roles.ts";
import { SUPABASE_DIR } from "../stack/settings.ts";
import { type Extension, hasExtension } from "../test/postgres_extensions.ts";

/** A throw-away cluster that ends with the block that declared it. */
export interface SupabaseCluster extends AsyncDisposable {
  /** Connection string of the superuser. */
  readonly url: string;
}

// Projects made before Supabase stopped doing so grant the API roles everything
// on whatever a migration creates: the migrations have to hold there as well.
const LEGACY_DEFAULT_PRIVILEGES = ["tables", "functions", "sequences"].map(
  (kind) =>
    `alter default privileges in schema public grant all on ${kind} to anon, authenticated, service_role;`,
).join("\n");

async function prepare(url: string, migrate: boolean): Promise<void> {
  const database = await openPostgres(url);
  try {
    await createRoles(database);
    await createLite(database, await loadKeys(database)).createAuthTables();
    await createAuthFunctions(database);
    await database.transaction(({ script }) =>
      script(LEGACY_DEFAULT_PRIVILEGES)
    );
    if (migrate) {
      const migrations = await readMigrations(`${SUPABASE_DIR}/migrations`);
      await applyMigrations(database, migrations);
    }
  } finally {
    await database.close();
  }
}

async function cluster(migrate: boolean): Promise<SupabaseCluster> {
  const preload: Extension[] = hasExtension("pg_cron") ? ["pg_cron"] : [];
  const { url, close } = await startCluster({ preload });
  try {
    await prepare(url, migrate);
  } catch (error) {
    await close();
    throw error;
  }
  return { url, [Symbol.asyncDispose]: close };
}

/** Starts what a new Supabase project is: roles and `auth`, no migration. */
export function emptyCluster(): Promise<SupabaseCluster> {
  return cluster(false);
}

/** Starts a Supabase project with this repository's migrations applied. */
export function migratedCluster(): Promise<SupabaseCluster> {
  return cluster(true);
}
