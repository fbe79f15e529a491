import { join } from "node:path";
import { readHistory } from "./history.ts";
import { lockHolder } from "./lock.ts";
import { readMigrations } from "./migration.ts";
import { type MigrateOptions, resolveOptions } from "./options.ts";
import { compare, type VersionState } from "./plan.ts";
import { readRollbacks } from "./rollbacks.ts";
import { openSession } from "./session.ts";

/** How files and database compare. */
export interface Status {
  versions: (VersionState & { rollback: string | null })[];
  /** Who is migrating now, in words. */
  runner: string | null;
}

/** Compares files and database; changes nothing, waits for nobody. */
export async function status(given: MigrateOptions): Promise<Status> {
  const { databaseUrl, supabaseDir } = resolveOptions(given);
  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  const rollbacks = await readRollbacks(
    join(supabaseDir, "rollback"),
    migrations,
  );
  const session = await openSession(databaseUrl);
  try {
    const recorded = await readHistory(session.query);
    const versions = compare(migrations, recorded).map((each) => ({
      ...each,
      rollback: rollbacks.find(({ versions }) =>
        versions.includes(each.version)
      )?.file ?? null,
    }));
    return { versions, runner: await lockHolder(session) };
  } finally {
    await session.close();
  }
}
