import { join } from "node:path";
import { findPostgres } from "../../tests/support/postgres.ts";
import { type Check, type Problems, ROOT } from "./check.ts";
import { printed, runCommand } from "./command.ts";
import { emptyCluster } from "./migrated_cluster.ts";
import { runSupabase } from "./supabase_cli.ts";

const VERSION = /^(\d{14})_.+\.sql$/;

/** Names of the migrations, oldest first. */
async function migrationNames(): Promise<string[]> {
  const names: string[] = [];
  for await (
    const { name } of Deno.readDir(new URL("supabase/migrations/", ROOT))
  ) {
    if (VERSION.test(name)) names.push(name);
  }
  return names.sort();
}

async function runPostgres(
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

/** The schema `public` and the scheduled jobs, as text. */
async function snapshot(url: string): Promise<string> {
  const schema = await runPostgres("pg_dump", [
    "--schema-only",
    "--schema=public",
    url,
  ]);
  const jobs = await runPostgres("psql", [
    "-XAtq",
    url,
    "-c",
    `select case when to_regclass('cron.job') is null then '' else
       query_to_xml('select jobname, schedule, command from cron.job order by 1', true, false, '')::text end`,
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
 * Pushes the migrations as a user would, takes each back, newest first, and
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
  for (const name of (await migrationNames()).reverse()) {
    const script = new URL(`supabase/rollback/${name}`, ROOT);
    await runPostgres("psql", [
      "-Xq",
      "--single-transaction",
      "--set=ON_ERROR_STOP=1",
      url,
      "-f",
      decodeURIComponent(script.pathname),
    ]);
    const version = VERSION.exec(name)?.[1] ?? name;
    await supabase(url, [
      "migration",
      "repair",
      "--status",
      "reverted",
      version,
    ]);
  }
  const rolledBack = await snapshot(url);
  if (rolledBack !== empty) {
    problems.push(`the rollback scripts leave behind:\n${rolledBack}`);
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
