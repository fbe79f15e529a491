/**
 * Measures how the ledger's cost grows with the number of keys and sessions:
 * `deno task bench:scale --help`.
 *
 * @module
 */
import { BenchCommand } from "./bench/command.ts";
import type { BenchRow } from "./bench/row.ts";
import { benchScale } from "./bench/scale.ts";
import { findPostgres, startCluster } from "./cluster/postgres.ts";
import { migrate } from "./cluster/supabase_cluster.ts";

const DURABLE = {
  fsync: "on",
  synchronous_commit: "on",
  full_page_writes: "on",
};
const QUICK = { rounds: 1, seconds: 2, grown: 8000 };

const command = new BenchCommand(
  "bench:scale",
  "Measures how the ledger's cost grows with the number of keys and sessions, in a\nPostgres cluster of its own whose writes are durable. The two sizes take a\nquarter of an hour; ten million keys take 20 GB of disk and as much time again.",
  {
    keys: { value: "N,N", default: "10000,1000000", help: "sizes to measure" },
    expired: { value: "N", default: "1000000", help: "keys to clean up" },
  },
);
const { json, quick } = command;
const keys = command.numbers("keys");
const [expired] = command.numbers("expired");
if (findPostgres()?.fromNpm !== false) {
  command.fail(
    "no Postgres server of version 15 or newer with pgbench was found; on Debian: apt-get install postgresql-15",
  );
}

const cluster = await startCluster({ settings: DURABLE });
try {
  await migrate(cluster.url);
  const rows: BenchRow[] = [];
  await benchScale(cluster.url, {
    keys,
    expired: expired!,
    // A machine reads along: the whole takes minutes.
    onRow: (row) => json ? command.print([row]) : rows.push(row),
    onProgress: (line) => console.error(line),
    ...(quick ? QUICK : {}),
  });
  if (!json) command.print(rows);
} finally {
  await cluster.close();
}
