import { connect } from "../project.ts";
import { printStatistics } from "../stats/print.ts";
import { readStatistics } from "../stats/statistics.ts";
import { shownJson } from "../table.ts";
import {
  type Command,
  commandLine,
  COMMON_OPTIONS,
  parseOptions,
} from "./command.ts";

const EVERY_MS = 5000;

async function run(args: readonly string[]): Promise<void> {
  const { values: options } = parseOptions(args, {
    json: { type: "boolean", default: false },
    watch: { type: "boolean", default: false },
    recount: { type: "boolean", default: false },
  });
  await using project = connect(options["database-url"], options.project);
  if (options.recount && !options["dry-run"]) {
    await project.call("idempotency_recount_statistics");
  }
  while (true) {
    const statistics = await readStatistics(project);
    if (options.json) {
      console.log(shownJson(statistics, options.watch ? 0 : 2));
    } else {
      if (options.watch) console.clear();
      printStatistics(statistics);
    }
    if (!options.watch) return;
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

/** Live keys, rates, durations, backlog and jobs in the terminal. */
export const stats: Command = {
  summary: "live keys, rates, durations, backlog and jobs",
  usage: () =>
    `Usage: ${commandLine("stats")} [--json] [--watch] [--recount]

What each figure means: docs/operating.md.

  --json               one object
  --watch              again every five seconds
  --recount            count everything anew
${COMMON_OPTIONS}`,
  run,
};
