/**
 * Measures what the operators' page asks for: `deno task bench:ops --help`.
 *
 * @module
 */
import { BenchCommand } from "./bench/command.ts";
import { benchOps } from "./bench/ops.ts";
import { migratedCluster } from "./cluster/supabase_cluster.ts";

const command = new BenchCommand(
  "bench:ops",
  "Measures what the operators' page asks for, in a Postgres cluster of its own.\nTen million keys take 8 GB of disk and some minutes.",
  { keys: { value: "N", default: "10000000", help: "keys in the ledger" } },
  false,
);
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
