import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Parser } from "tap-parser";
import { findPostgres } from "../cluster/postgres.ts";
import { migratedCluster } from "../cluster/supabase_cluster.ts";
import { ROOT } from "../check/check.ts";
import { printed, runCommand } from "../check/command.ts";
import type { Outcome } from "./phase.ts";

const FOLDER = new URL("tests/sql/", ROOT);

/** Names of the pgTAP files, below their folder, that contain `filter`. */
async function pgtapFiles(
  filter: string | undefined,
): Promise<string[]> {
  const names = await readdir(FOLDER, { recursive: true });
  return names
    .filter((name) => name.endsWith(".sql") && name.includes(filter ?? ""))
    .sort();
}

/**
 * Runs one file through psql and counts its assertions.
 *
 * @param folder Where it lies.
 */
export async function runPgtapFile(
  url: string,
  name: string,
  folder: URL = FOLDER,
): Promise<Outcome> {
  const psql = join(findPostgres()?.binDir ?? "", "psql");
  const file = decodeURIComponent(new URL(name, folder).pathname);
  const result = await runCommand(psql, [
    "--no-psqlrc",
    "--quiet",
    "--tuples-only",
    "--no-align",
    "--set=ON_ERROR_STOP=1",
    "--pset=pager=off",
    `--file=${file}`,
    url,
  ]);
  const { pass, fail, ok } = Parser.parse(result.stdout, { bail: false })
    .filter((event) => event[0] === "complete")
    .map((event) => event[1] as { pass: number; fail: number; ok: boolean })
    .at(0) ?? { pass: 0, fail: 0, ok: false };
  // An error or a plan that was not kept fails the file beside its assertions.
  const failed = result.code === 0 && ok ? 0 : Math.max(fail, 1);
  return { passed: pass, failed, output: `${name}\n${printed(result)}` };
}

/** Runs every file below `tests/sql` on a cluster with the migrations and pg_cron. */
export async function runPgtap(filter: string | undefined): Promise<Outcome> {
  const files = await pgtapFiles(filter);
  if (files.length === 0) return { passed: 0, failed: 0, output: "" };
  await using cluster = await migratedCluster({ pgtap: true });
  let passed = 0;
  let failed = 0;
  let output = "";
  for (const file of files) {
    const outcome = await runPgtapFile(cluster.url, file);
    passed += outcome.passed;
    failed += outcome.failed;
    if (outcome.failed > 0) output += `${outcome.output}\n`;
  }
  return { passed, failed, output };
}
