/**
 * For operators: the page of a project, on this machine: `deno task ops`. See
 * docs/operating.md.
 *
 * @module
 */
import process from "node:process";
import { run, USAGE } from "./ops/run.ts";
import { explain, UnknownProjectError } from "./project.ts";

try {
  process.exit(await run(process.argv.slice(2)));
} catch (error) {
  console.error(`ops: ${explain(error)}`);
  if (error instanceof TypeError || error instanceof UnknownProjectError) {
    console.error(USAGE);
  }
  process.exit(1);
}
