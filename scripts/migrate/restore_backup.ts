import { readBackup } from "./backup.ts";
import { withLockedSession } from "./locked_session.ts";
import { type MigrateOptions, resolveOptions } from "./options.ts";
import { restoreCollections } from "./restore_collection.ts";

/** What was restored. */
export interface RestoreReport {
  tables: string[];
  rows: number;
}

/**
 * Puts tables back to what a backup holds, together or not at all.
 *
 * @param tables Their names with schema. @default all that the backup has
 */
export async function restoreBackup(
  given: MigrateOptions,
  folder: string,
  tables: readonly string[] = [],
): Promise<RestoreReport> {
  const options = resolveOptions(given);
  const backup = await readBackup(folder);
  const names = tables.length > 0
    ? [...tables]
    : backup.tables.map(({ name }) => name);
  return await withLockedSession(options, async (session) => ({
    tables: names,
    rows: await restoreCollections(session, backup, names),
  }));
}
