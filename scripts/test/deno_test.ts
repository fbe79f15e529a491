import { printed, runDeno } from "../check/command.ts";
import type { Outcome } from "./phase.ts";

// Several times what the whole run may take: a part takes ten minutes where twenty
// processes share two cores. Only a test that hangs gets here.
const TIMEOUT_MS = 30 * 60_000;

// The local stack's Auth API hashes passwords for a tenth of a second each; those
// of tests protect nobody.
const CHEAP_PASSWORDS = { LITE_AUTH_BCRYPT_COST: "4" };

// Among hundreds of these the failure would be hard to find.
const PASSED_LINE = /^.* \.\.\. ok \(\S+\)\n/gm;

function attribute(text: string, name: string): number {
  return Number(new RegExp(` ${name}="(\\d+)"`).exec(text)?.[1] ?? 0);
}

/** Counts what a JUnit report lists; tests ignored or filtered out are left out. */
function countTests(report: string): { passed: number; failed: number } {
  let passed = 0;
  let failed = 0;
  for (const [suite] of report.matchAll(/<testsuite [^>]*>/g)) {
    const bad = attribute(suite, "failures") + attribute(suite, "errors");
    failed += bad;
    passed += attribute(suite, "tests") - attribute(suite, "disabled") - bad;
  }
  return { passed, failed };
}

/** Runs `deno test` with further arguments and counts the tests and steps. */
export async function runDenoTest(
  args: readonly string[],
  filter: string | undefined,
  env: Record<string, string> = {},
): Promise<Outcome> {
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    const result = await runDeno([
      "test",
      "--allow-all",
      "--quiet",
      "--permit-no-files",
      // Types are for `deno task check`.
      "--no-check",
      `--junit-path=${report}`,
      ...(filter === undefined ? [] : [`--filter=${filter}`]),
      ...args,
    ], { env: { ...CHEAP_PASSWORDS, ...env }, timeoutMs: TIMEOUT_MS });
    const counts = countTests(await Deno.readTextFile(report));
    // A module that does not load fails the run without a test to blame.
    const failed = result.code === 0 ? 0 : Math.max(counts.failed, 1);
    const output = printed(result).replaceAll(PASSED_LINE, "");
    return { passed: counts.passed, failed, output };
  } finally {
    await Deno.remove(report);
  }
}
