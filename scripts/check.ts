/**
 * Runs the checks that a change has to pass beside the tests:
 * `deno task check [NAME …]`, all of them by default.
 *
 * Silent about what holds but for one line each; shows the whole output of
 * what does not. Checks on a database are skipped where there is no Postgres,
 * and fail there when `REQUIRE_POSTGRES=1`.
 *
 * @module
 */
import type { Check, Problems } from "./check/check.ts";
import { databaseTypesCheck } from "./check/database_types.ts";
import { deployCheck } from "./check/deploy.ts";
import { generatedSqlCheck } from "./check/generated_sql.ts";
import { houseCheck } from "./check/house.ts";
import { advisorsCheck, lintSqlCheck } from "./check/lint_sql.ts";
import { releasesCheck, upgradesCheck } from "./check/releases.ts";
import { openApiCheck } from "./check/openapi.ts";
import { packageCheck } from "./check/package.ts";
import { rollbackCheck } from "./check/rollback.ts";
import { sourceChecks } from "./check/source.ts";
import { missingPostgres } from "./cluster/postgres_extensions.ts";
import { readTask, taskWords, wrongUsage } from "./task.ts";

const checks: readonly Check[] = [
  ...sourceChecks,
  generatedSqlCheck,
  releasesCheck,
  houseCheck,
  openApiCheck,
  packageCheck,
  databaseTypesCheck,
  lintSqlCheck,
  advisorsCheck,
  rollbackCheck,
  upgradesCheck,
  deployCheck,
];

const KNOWN = checks.map(({ name }) => name);
const USAGE = `Usage: deno task check [NAME …]

Runs the checks that a change has to pass beside the tests, all of them by default:
${KNOWN.join(", ")}.
Those on a database are skipped where there is no Postgres, which
REQUIRE_POSTGRES=1 turns into a failure.
`;

const names = readTask("check", () => {
  const { words } = taskWords(USAGE, {});
  const unknown = words.filter((name) => !KNOWN.includes(name));
  if (unknown.length === 0) return words;
  throw wrongUsage(
    `no such check: ${unknown.join(", ")}; there are ${KNOWN.join(", ")}`,
    USAGE,
  );
});
const selected = names.length === 0
  ? checks
  : checks.filter(({ name }) => names.includes(name));
const failed: string[] = [];
const skipped: string[] = [];
const missing = missingPostgres(["plpgsql_check"]);

for (const check of selected) {
  if (check.needsPostgres && missing !== null) {
    skipped.push(check.name);
    continue;
  }
  const start = performance.now();
  const problems: Problems = await check.run().catch((error) => [
    error instanceof Error ? error.message : String(error),
  ]);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(
    `${problems.length === 0 ? "ok  " : "FAIL"} ${check.name} (${seconds} s)`,
  );
  for (const problem of problems) console.log(problem);
  if (problems.length > 0) failed.push(check.name);
}

if (skipped.length > 0) {
  console.log(`skipped: ${skipped.join(", ")} (${missing})`);
  if (Deno.env.get("REQUIRE_POSTGRES") === "1") failed.push(...skipped);
}
if (failed.length > 0) {
  console.log(`checks failed: ${failed.join(", ")}`);
  Deno.exit(1);
}
