/**
 * Measures the ledger beside the floor of the same run, on a Postgres cluster of
 * its own: `deno task bench [--json] [--quick]`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { findPostgres, startCluster } from "./cluster/postgres.ts";
import { migratedCluster } from "./cluster/supabase_cluster.ts";
import { benchDirect, benchLatency } from "./bench/direct.ts";
import { benchHttp } from "./bench/http.ts";
import type { BenchRow } from "./bench/row.ts";
import { benchSql } from "./bench/sql.ts";
import { printTable } from "./table.ts";

const USAGE = "Usage: deno task bench [--json] [--quick]";

const { json, quick } = readArguments();
if (findPostgres() === null) {
  fail(
    "bench: no Postgres server of version 15 or newer was found; on Debian: apt-get install postgresql-15",
  );
}
if (!json) {
  console.log("Ratios to bare statements and to doing nothing, same run.");
}

const rows = [...await sqlRows(), ...await httpRows()];
if (json) {
  for (const row of rows) console.log(JSON.stringify(row));
} else {
  printTable(
    ["name", "value", "unit", "baseline", "ratio"],
    rows.map((row) => [row.name, row.value, row.unit, row.baseline, row.ratio]),
  );
}

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

function readArguments() {
  try {
    return parseArgs({
      options: {
        json: { type: "boolean", default: false },
        quick: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    fail(`bench: ${(error as Error).message}. ${USAGE}`);
  }
}

function fail(message: string): never {
  console.error(message);
  Deno.exit(1);
}
