/**
 * Measures what the operators' page asks for, over ten million keys in a
 * Postgres cluster of its own: `deno task bench:ops [--keys N] [--json]`.
 * Ten million take 8 GB of disk and some minutes.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { benchOps } from "./bench/ops.ts";
import { missingPostgres } from "./cluster/postgres_extensions.ts";
import { migratedCluster } from "./cluster/supabase_cluster.ts";
import { printTable } from "./table.ts";

const USAGE = "Usage: deno task bench:ops [--keys N] [--json]";

const { keys, json } = readArguments();
const missing = missingPostgres([]);
if (missing !== null) fail(`bench:ops: ${missing}`);

await using cluster = await migratedCluster();
const rows = await benchOps(cluster.url, {
  keys,
  onProgress: (line) => console.error(line),
});
if (json) {
  for (const row of rows) console.log(JSON.stringify(row));
} else {
  printTable(
    ["query", "median, ms", "p99, ms", "processor, ms"],
    rows.map((row) => [row.query, row.medianMs, row.p99Ms, row.processorMs]),
  );
}

function readArguments() {
  try {
    const { keys, json } = parseArgs({
      options: {
        keys: { type: "string", default: "10000000" },
        json: { type: "boolean", default: false },
      },
    }).values;
    if (!/^[1-9]\d{3,8}$/.test(keys)) {
      throw new Error(`--keys ${keys}: expected a number from 1000`);
    }
    return { keys: Number(keys), json };
  } catch (error) {
    fail(`bench:ops: ${(error as Error).message}. ${USAGE}`);
  }
}

function fail(message: string): never {
  console.error(message);
  Deno.exit(1);
}
