import { join } from "node:path";
import { findPostgres } from "../cluster/postgres.ts";
import { type Check, type Problems, ROOT } from "./check.ts";
import { printed, runCommand } from "./command.ts";
import { emptyCluster } from "../cluster/supabase_cluster.ts";
import {
  fileOf,
  readMigrations,
  readRollbacks,
  withoutRollback,
} from "../migrate/migration.ts";
import { SUPABASE_DIR } from "../stack/settings.ts";
import { runSupabase } from "./supabase_cli.ts";

const FOLDER = new URL("supabase/rollback/", ROOT);

/** Runs a program of the server's own: `psql`, `pg_dump`. */
export async function runPostgres(
  program: string,
  args: readonly string[],
): Promise<string> {
  const binDir = findPostgres()?.binDir ?? "";
  const result = await runCommand(join(binDir, program), args);
  if (result.code !== 0) {
    throw new Error(`${program} ${args.at(-1)}: ${printed(result)}`);
  }
  return result.stdout;
}

/** All that is not the record of migrations, and the scheduled jobs, as text. */
export async function snapshot(url: string): Promise<string> {
  const schema = await runPostgres("pg_dump", [
    "--schema-only",
    "--exclude-schema=supabase_migrations",
    url,
  ]);
  const jobs = await runPostgres("psql", [
    "-XAtq",
    url,
    "-c",
    `select case when to_regclass('cron.job') is null then '' else
       query_to_xml('select jobname, schedule, command from cron.job order by 1', true, true, '')::text end`,
  ]);
  // pg_dump brackets its output with a word that is new each time.
  return schema.replaceAll(/^\\(un)?restrict .*$/gm, "") + jobs.trim();
}

async function supabase(url: string, args: readonly string[]): Promise<void> {
  const result = await runSupabase([...args, `--remote=${url}`]);
  if (result.code !== 0) {
    throw new Error(`supabase ${args.join(" ")}: ${printed(result)}`);
  }
}

/**
 * Pushes the migrations as a user would, takes them back, newest first, and
 * pushes them again: nothing may be left in between, nothing may be missing
 * after.
 */
async function run(): Promise<Problems> {
  await using cluster = await emptyCluster();
  const { url } = cluster;
  const empty = await snapshot(url);
  await supabase(url, ["db", "push"]);
  const migrated = await snapshot(url);
  const problems: string[] = [];
  if (migrated === empty) problems.push("the migrations changed nothing");
  const migrations = await readMigrations(`${SUPABASE_DIR}/migrations`);
  const rollbacks = await readRollbacks(`${SUPABASE_DIR}/rollback`, migrations);
  const covered = rollbacks.flatMap(({ versions }) => versions);
  for (const migration of migrations) {
    if (covered.includes(migration.version)) continue;
    problems.push(
      `${fileOf(migration)}: ${withoutRollback(migration.version, rollbacks)}`,
    );
  }
  for (const { file, versions } of rollbacks) {
    if (versions.length === 0) continue;
    await runPostgres("psql", [
      "-Xq",
      "--single-transaction",
      "--set=ON_ERROR_STOP=1",
      `--file=${decodeURIComponent(new URL(file, FOLDER).pathname)}`,
      url,
    ]);
    await supabase(url, [
      "migration",
      "repair",
      "--status",
      "reverted",
      ...versions,
    ]);
  }
  const rolledBack = await snapshot(url);
  if (rolledBack !== empty) {
    const before = empty.split("\n");
    const left = rolledBack.split("\n").filter((line) =>
      !before.includes(line)
    );
    problems.push(`the rollback scripts leave behind:\n${left.join("\n")}`);
  }
  await supabase(url, ["db", "push"]);
  if (await snapshot(url) !== migrated) {
    problems.push("a second push after the rollback makes another schema");
  }
  return problems;
}

/** Every migration can be taken back and applied again. */
export const rollbackCheck: Check = {
  name: "rollback",
  needsPostgres: true,
  run,
};
