/**
 * Measures what the operators' page asks for, over ten million keys in a
 * Postgres cluster of its own: `deno task bench:ops [--keys N] [--json]`.
 * Ten million take 8 GB of disk and some minutes.
 *
 * @module
 */
import { BenchCommand } from "./bench/command.ts";
import { benchOps } from "./bench/ops.ts";
import { migratedCluster } from "./cluster/supabase_cluster.ts";

const command = new BenchCommand("bench:ops", "[--keys N] [--json]", {
  keys: { type: "string", default: "10000000" },
});
const [keys] = command.numbers("keys");
command.needs("postgres");

await using cluster = await migratedCluster();
const rows = await benchOps(cluster.url, {
  keys: keys!,
  onProgress: (line) => console.error(line),
});
command.printAs(
  rows,
  ["query", "median, ms", "p99, ms", "processor, ms"],
  (row) => [row.query, row.medianMs, row.p99Ms, row.processorMs],
);
