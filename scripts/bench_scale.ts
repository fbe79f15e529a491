/**
 * Measures how the ledger's cost grows with the number of keys and sessions, in
 * a Postgres cluster of its own whose writes are durable:
 * `deno task bench:scale [--keys 10000,1000000] [--expired N] [--json] [--quick]`.
 * The two sizes take a quarter of an hour; ten million keys take 20 GB of disk
 * and as much time again.
 *
 * @module
 */
import { parseArgs } from "node:util";
import type { BenchRow } from "./bench/row.ts";
import { benchScale } from "./bench/scale.ts";
import { findPostgres, startCluster } from "./cluster/postgres.ts";
import { migrate } from "./cluster/supabase_cluster.ts";
import { printTable } from "./table.ts";

const USAGE =
  "Usage: deno task bench:scale [--keys 10000,1000000] [--expired 1000000] [--json] [--quick]";
const DURABLE = {
  fsync: "on",
  synchronous_commit: "on",
  full_page_writes: "on",
};
const QUICK = { rounds: 1, seconds: 2, grown: 8000 };

const { keys, expired, json, quick } = readArguments();
if (findPostgres()?.fromNpm !== false) {
  fail(
    "bench:scale: no Postgres server of version 15 or newer with pgbench was found; on Debian: apt-get install postgresql-15",
  );
}

const cluster = await startCluster({ settings: DURABLE });
try {
  await migrate(cluster.url);
  const rows: BenchRow[] = [];
  await benchScale(cluster.url, {
    keys,
    expired,
    onRow: (row) => json ? console.log(JSON.stringify(row)) : rows.push(row),
    onProgress: (line) => console.error(line),
    ...(quick ? QUICK : {}),
  });
  if (!json) {
    printTable(
      ["name", "value", "unit", "baseline", "ratio"],
      rows.map((row) => [
        row.name,
        row.value,
        row.unit,
        row.baseline,
        row.ratio,
      ]),
    );
  }
} finally {
  await cluster.close();
}

function readArguments() {
  try {
    const { keys, expired, json, quick } = parseArgs({
      options: {
        keys: { type: "string", default: "10000,1000000" },
        expired: { type: "string", default: "1000000" },
        json: { type: "boolean", default: false },
        quick: { type: "boolean", default: false },
      },
    }).values;
    return {
      keys: keys.split(",").map((each) => readNumber("--keys", each)),
      expired: readNumber("--expired", expired),
      json,
      quick,
    };
  } catch (error) {
    fail(`bench:scale: ${(error as Error).message}. ${USAGE}`);
  }
}

function readNumber(option: string, text: string): number {
  if (!/^[1-9]\d{3,8}$/.test(text)) {
    throw new Error(`${option} ${text}: expected numbers from 1000`);
  }
  return Number(text);
}

function fail(message: string): never {
  console.error(message);
  Deno.exit(1);
}
