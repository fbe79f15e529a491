import type { Check } from "./check.ts";
import { printed, runDeno } from "./command.ts";

/** A check that one call of Deno makes. */
function denoCheck(name: string, args: readonly string[]): Check {
  return {
    name,
    needsPostgres: false,
    async run() {
      const result = await runDeno(args);
      return result.code === 0 ? [] : [printed(result)];
    },
  };
}

/** Checks of the source text, the quickest first. */
export const sourceChecks: readonly Check[] = [
  denoCheck("fmt", ["fmt", "--check"]),
  denoCheck("lint", ["lint"]),
  denoCheck("check", ["check"]),
];
