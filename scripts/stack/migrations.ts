import { ensureHistory, recordMigration } from "../migrate/history.ts";
import { fileOf, type Migration } from "../migrate/migration.ts";
import type { Database } from "./database.ts";

/**
 * Applies those migrations which the database has not recorded yet, each in a
 * transaction together with its record. Answers the versions applied.
 *
 * This is for a stack's own database, which can be thrown away. What is worth
 * a backup is migrated by `scripts/migrate/run_migrations.ts`.
 */
export async function applyMigrations(
  database: Database,
  migrations: Migration[],
): Promise<string[]> {
  await database.transaction(({ query }) => ensureHistory(query));
  const recorded = new Set(
    (await database.query<{ version: string }>(
      "select version from supabase_migrations.schema_migrations",
    )).map(({ version }) => version),
  );
  const pending = migrations.filter(({ version }) => !recorded.has(version));
  for (const migration of pending) {
    try {
      await database.transaction(async ({ query, script }) => {
        await script(migration.sql);
        await recordMigration(query, migration);
      });
    } catch (error) {
      throw new Error(
        `Migration ${fileOf(migration)} failed: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }
  return pending.map(({ version }) => version);
}
