import type { Check, Problems } from "./check.ts";
import { withExamples } from "../examples.ts";
import { printed, runDeno } from "./command.ts";

async function deno(...args: string[]): Promise<Problems> {
  const result = await runDeno(args);
  return result.code === 0 ? [] : [printed(result)];
}

/** Checks of the source text, the quickest first. */
export const sourceChecks: readonly Check[] = [
  {
    name: "fmt",
    needsPostgres: false,
    run: () => deno("fmt", "--check"),
  },
  {
    name: "lint",
    needsPostgres: false,
    run: () => deno("lint"),
  },
  {
    name: "check",
    needsPostgres: false,
    run: async () => [
      ...await deno("check"),
      ...await withExamples((args) => deno("check", "--doc", ...args)),
    ],
  },
  {
    // That a request can be followed is the first thing to go, unnoticed.
    name: "trace",
    needsPostgres: false,
    run: () => deno("run", "--allow-all", "scripts/trace.ts"),
  },
];
