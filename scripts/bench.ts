/**
 * Measures the ledger beside the floor of the same run: `deno task bench --help`.
 *
 * @module
 */
import { startCluster } from "./cluster/postgres.ts";
import { migratedCluster } from "./cluster/supabase_cluster.ts";
import { BenchCommand } from "./bench/command.ts";
import { benchDirect, benchLatency } from "./bench/direct.ts";
import { benchHttp } from "./bench/http.ts";
import type { BenchRow } from "./bench/row.ts";
import { benchSql } from "./bench/sql.ts";

const command = new BenchCommand(
  "bench",
  "Measures the ledger beside the floor of the same run, in SQL, over a direct\nconnection and over HTTP, on Postgres clusters of its own.",
);
const { json, quick } = command;
command.needs("postgres");
if (!json) {
  console.log("Ratios to bare statements and to doing nothing, same run.");
}

command.print([...await sqlRows(), ...await httpRows()]);

async function sqlRows(): Promise<BenchRow[]> {
  await using cluster = await migratedCluster();
  return [
    ...await benchSql(cluster.url, quick ? { rounds: 3, seconds: 1 } : {}),
    ...await benchDirect(
      cluster.url,
      quick ? { rounds: 3, operations: 500 } : {},
    ),
    ...await benchLatency(cluster.url, quick ? 100 : 500),
  ];
}

async function httpRows(): Promise<BenchRow[]> {
  const cluster = await startCluster();
  try {
    return await benchHttp(cluster.url, quick ? { requests: 50 } : {});
  } finally {
    await cluster.close();
  }
}
