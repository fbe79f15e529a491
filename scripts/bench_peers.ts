/**
 * Measures the ledger beside the packages that do the same, and beside what
 * people write by hand, on one Redis and one Postgres of its own:
 * `deno task bench:peers [--json] [--quick]`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import postgres from "postgres";
import { benchPeers } from "./bench/peer_contests.ts";
import { TABLES } from "./bench/peers.ts";
import { findPostgres } from "./cluster/postgres.ts";
import { hasRedis, startRedis } from "./cluster/redis.ts";
import { migratedCluster } from "./cluster/supabase_cluster.ts";
import { printTable } from "./table.ts";

const USAGE = "Usage: deno task bench:peers [--json] [--quick]";

const { json, quick } = readArguments();
if (findPostgres() === null) {
  fail(
    "bench:peers: no Postgres server of version 15 or newer was found; on Debian: apt-get install postgresql-15",
  );
}
if (!hasRedis()) {
  fail(
    "bench:peers: no redis-server was found; on Debian: apt-get install redis-server",
  );
}

await using cluster = await migratedCluster();
await using redis = await startRedis();
const sql = postgres(cluster.url, { max: 1, onnotice: () => {} });
await sql.unsafe(TABLES);
await sql.end();
const rows = await benchPeers(
  { postgres: cluster.url, redis: redis.url },
  quick ? { rounds: 3, operations: 500, races: 3 } : {},
);
if (json) {
  for (const row of rows) console.log(JSON.stringify(row));
} else {
  printTable(
    ["name", "value", "unit", "baseline", "ratio"],
    rows.map((row) => [row.name, row.value, row.unit, row.baseline, row.ratio]),
  );
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
    fail(`bench:peers: ${(error as Error).message}. ${USAGE}`);
  }
}

function fail(message: string): never {
  console.error(message);
  Deno.exit(1);
}
