/**
 * Runs every test there is: `deno task test [PART OF A NAME]`.
 *
 * What needs Postgres starts a cluster of its own. Where there is no Postgres,
 * or no browser, what needs it is skipped, which `REQUIRE_POSTGRES=1` and
 * `REQUIRE_BROWSER=1` turn into a failure; what needs an extension that the
 * Postgres from npm cannot have is skipped either way. The last line is
 * `N passed, N failed`.
 *
 * @module
 */
import { findPostgres, useTemplates } from "./cluster/postgres.ts";
import { missingPostgres } from "./cluster/postgres_extensions.ts";
import { readTask, taskOptions, wrongUsage } from "./task.ts";
import { missingChromium } from "./test/chromium.ts";
import { outcomeOf, type Phase } from "./test/phase.ts";
import { phases } from "./test/phases.ts";
import { useScratchMemory } from "./test/scratch.ts";

const USAGE = `Usage: deno task test [PART OF A NAME]

Runs every test, or those whose names hold this part. What needs Postgres starts a
cluster of its own; where there is none, or no browser, what needs it is skipped,
which REQUIRE_POSTGRES=1 and REQUIRE_BROWSER=1 turn into a failure.
`;

// Two more than the smallest machine this has to be quick on has cores: the parts
// that cut connections and let leases lapse mostly wait. With three, a sixth of the
// processors is idle.
const LANES = 4;

const filter = readTask("test", readArguments);
useScratchMemory();

const needs = [
  {
    skipped: phases.filter(({ postgres }) =>
      postgres !== null && missingPostgres(postgres) !== null
    ),
    missing: () => missingPostgres(["pg_cron", "pgtap"]),
    // Nobody can add an extension to it, root or not.
    required: findPostgres()?.fromNpm ? null : "REQUIRE_POSTGRES",
  },
  {
    skipped: phases.filter(({ browser }) =>
      browser === true && missingChromium() !== null
    ),
    missing: missingChromium,
    required: "REQUIRE_BROWSER",
  },
];
const queue = phases.filter((phase) =>
  !needs.some(({ skipped }) => skipped.includes(phase))
);
const parts = queue.length;
const running = new Set<string>();
let done = 0;
let passed = 0;
let failed = 0;

// Some parts take minutes: who watches sees that it goes on, and what is slow.
const PROGRESS_MS = 20_000;
const progress = setInterval(() => {
  console.log(
    `… ${done} of ${parts} done; running: ${[...running].join(", ")}`,
  );
}, PROGRESS_MS);

async function report(phase: Phase): Promise<void> {
  const start = performance.now();
  running.add(phase.name);
  const outcome = await outcomeOf(phase, filter);
  running.delete(phase.name);
  done += 1;
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

{
  await using _ = await useTemplates();
  await Promise.all(Array.from({ length: LANES }, lane));
}
clearInterval(progress);

for (const { skipped, missing, required } of needs) {
  if (skipped.length === 0) continue;
  const names = skipped.map(({ name }) => name).join(", ");
  console.log(`skipped: ${names} (${missing()})`);
  if (required === null || Deno.env.get(required) !== "1") continue;
  console.log(`${required}=1: each part that was skipped is a failure`);
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

function readArguments(): string | undefined {
  // The name of a test may begin with a dash.
  const isOption = (arg: string) => arg.startsWith("--");
  taskOptions(USAGE, {}, Deno.args.filter(isOption));
  const [part, ...more] = Deno.args.filter((arg) => !isOption(arg));
  if (more.length === 0) return part;
  throw wrongUsage("Cannot look for more than one part: quote it", USAGE);
}
