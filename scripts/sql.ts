/**
 * Writes one migration for each part of `supabase/schemas`: `deno task sql`.
 * With `--check` it writes nothing and fails where one is stale.
 *
 * @module
 */
import { staleGeneratedSql, writeGeneratedSql } from "./check/generated_sql.ts";

const check = Deno.args.includes("--check");
if (Deno.args.length > (check ? 1 : 0)) {
  console.error("Usage: deno task sql [--check]");
  Deno.exit(2);
}

if (check) {
  const problems = await staleGeneratedSql();
  for (const problem of problems) console.error(problem);
  Deno.exit(problems.length === 0 ? 0 : 1);
}
for (const file of await writeGeneratedSql()) {
  console.log(`wrote supabase/migrations/${file}`);
}
