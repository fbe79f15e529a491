/**
 * Runs every test there is: `deno task test [PART OF A NAME]`.
 *
 * What needs Postgres starts a cluster of its own; where there is none it is
 * skipped, which `REQUIRE_POSTGRES=1` turns into a failure. The last line is
 * `N passed, N failed`.
 *
 * @module
 */
import { missingPostgres } from "./cluster/postgres_extensions.ts";
import { outcomeOf, type Phase } from "./test/phase.ts";
import { phases } from "./test/phases.ts";

// One more than the smallest machine this has to be quick on has cores: the
// parts that cut connections and let leases lapse mostly wait.
const LANES = 3;

const filter = Deno.args[0];
const skipped = phases.filter(({ postgres }) =>
  postgres !== null && missingPostgres(postgres) !== null
);
const queue = phases.filter((phase) => !skipped.includes(phase));
let passed = 0;
let failed = 0;

async function report(phase: Phase): Promise<void> {
  const start = performance.now();
  const outcome = await outcomeOf(phase, filter);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  passed += outcome.passed;
  failed += outcome.failed;
  const counts = outcome.failed === 0
    ? `${outcome.passed} passed`
    : `${outcome.passed} passed, ${outcome.failed} FAILED`;
  console.log(`${phase.name}: ${counts} (${seconds} s)`);
  if (outcome.failed > 0) console.log(outcome.output);
}

async function lane(): Promise<void> {
  for (let phase = queue.shift(); phase; phase = queue.shift()) {
    await report(phase);
  }
}

await Promise.all(Array.from({ length: LANES }, lane));

const names = skipped.map(({ name }) => name).join(", ");
const missing = missingPostgres(["pg_cron", "pgtap"]);
if (skipped.length > 0) console.log(`skipped: ${names} (${missing})`);
if (skipped.length > 0 && Deno.env.get("REQUIRE_POSTGRES") === "1") {
  console.log("REQUIRE_POSTGRES=1: each part that was skipped is a failure");
  failed += skipped.length;
}
if (passed + failed === 0) {
  console.log(
    filter === undefined
      ? "no test was found"
      : `no test has a name that contains ${JSON.stringify(filter)}`,
  );
}
console.log(`${passed} passed, ${failed} failed`);
if (failed > 0 || passed === 0) Deno.exit(1);
