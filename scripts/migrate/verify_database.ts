import { join } from "node:path";
import { readHistory } from "./history.ts";
import { fileOf, readMigrations } from "./migration.ts";
import { type MigrateOptions, resolveOptions } from "./options.ts";
import { compare } from "./plan.ts";
import { sqlStateOf, StatementError } from "./errors.ts";
import { inTransaction, openSession } from "./session.ts";
import {
  catalogProblems,
  readVerifyFile,
  verifyFileProblems,
} from "./verify.ts";

/**
 * Looks whether the database is what the applied files say; changes nothing.
 * Pending migrations are no problem.
 *
 * @returns what is wrong, one sentence each
 */
export async function verifyDatabase(
  given: MigrateOptions,
): Promise<string[]> {
  const { databaseUrl, supabaseDir } = resolveOptions(given);
  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  const session = await openSession(databaseUrl);
  try {
    return await inTransaction(session, async () => {
      const recorded = await readHistory(session.query);
      const problems: string[] = [];
      for (const { version, file, state } of compare(migrations, recorded)) {
        if (state === "drifted") {
          problems.push(`${file} was edited after it was applied`);
        } else if (state === "skipped") {
          problems.push(
            `${file} is older than the last one applied, and is not applied`,
          );
        } else if (state === "no file") {
          problems.push(`${version} is applied, and there is no file for it`);
        }
      }
      problems.push(...await catalogProblems(session.query));
      const applied = new Set(recorded.map(({ version }) => version));
      for (const migration of migrations) {
        if (!applied.has(migration.version)) continue;
        const verify = await readVerifyFile(supabaseDir, {
          version: migration.version,
          file: fileOf(migration),
        });
        if (verify === null) continue;
        await session.query("savepoint one");
        try {
          problems.push(...await verifyFileProblems(session, verify));
        } catch (error) {
          if (
            !(error instanceof StatementError) ||
            sqlStateOf(error.cause) === undefined
          ) throw error;
          problems.push(error.message);
        }
        await session.query("rollback to savepoint one");
      }
      return problems;
    }, { begin: "begin isolation level repeatable read", end: "rollback" });
  } finally {
    await session.close();
  }
}
