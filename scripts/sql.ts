/**
 * Writes one migration for each part of `supabase/schemas`: `deno task sql`.
 * With `--check` it writes nothing and fails where one is stale.
 *
 * @module
 */
import { staleGeneratedSql, writeGeneratedSql } from "./check/generated_sql.ts";
import { readTask, taskOptions } from "./task.ts";

const USAGE = `Usage: deno task sql [--check]

Writes one migration for each part of supabase/schemas.

  --check              write nothing; exit code 1 where one is stale`;

const { check } = readTask("sql", () =>
  taskOptions(USAGE, {
    check: { type: "boolean", default: false },
  }));

if (check) {
  const problems = await staleGeneratedSql();
  for (const problem of problems) console.error(problem);
  Deno.exit(problems.length === 0 ? 0 : 1);
}
for (const file of await writeGeneratedSql()) {
  console.log(`wrote supabase/migrations/${file}`);
}
