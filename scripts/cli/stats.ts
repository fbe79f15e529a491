/**
 * For operators: live keys, rates, durations, backlog and jobs in the terminal:
 * `deno task stats [--json] [--watch]`. What each figure means:
 * docs/operating.md.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { connect, explain, UnknownProjectError } from "./project.ts";
import { printStatistics } from "./stats/print.ts";
import { readStatistics } from "./stats/statistics.ts";

const USAGE = `Usage: deno task stats [--json] [--watch] [--recount]
With SUPABASE_URL and SUPABASE_SECRET_KEY in the environment, or --database-url URL.`;
const EVERY_MS = 5000;

class UsageError extends Error {
  override readonly name = "UsageError";
}

function readArguments(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        "database-url": { type: "string" },
        json: { type: "boolean", default: false },
        watch: { type: "boolean", default: false },
        recount: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

async function main(args: string[]): Promise<void> {
  const options = readArguments(args);
  await using project = connect(options["database-url"]);
  if (options.recount) {
    await project.call("idempotency_recount_statistics");
  }
  while (true) {
    const statistics = await readStatistics(project);
    if (options.json) {
      console.log(JSON.stringify(statistics, null, options.watch ? 0 : 2));
    } else {
      if (options.watch) console.clear();
      printStatistics(statistics);
    }
    if (!options.watch) return;
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

try {
  await main(Deno.args);
} catch (error) {
  console.error(`stats: ${explain(error)}`);
  if (error instanceof UsageError || error instanceof UnknownProjectError) {
    console.error(USAGE);
  }
  Deno.exit(1);
}
