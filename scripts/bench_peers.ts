/**
 * Measures the ledger beside the packages that do the same, and beside what
 * people write by hand: `deno task bench:peers --help`.
 *
 * @module
 */
import postgres from "postgres";
import { BenchCommand } from "./bench/command.ts";
import { benchPeers } from "./bench/peer_contests.ts";
import { TABLES } from "./bench/peers.ts";
import { startRedis } from "./cluster/redis.ts";
import { migratedCluster } from "./cluster/supabase_cluster.ts";

const command = new BenchCommand(
  "bench:peers",
  "Measures the ledger beside the packages that do the same, and beside what\npeople write by hand, on one Redis and one Postgres of its own.",
);
command.needs("postgres", "redis");

await using cluster = await migratedCluster();
await using redis = await startRedis();
const sql = postgres(cluster.url, { max: 1, onnotice: () => {} });
await sql.unsafe(TABLES);
await sql.end();
command.print(
  await benchPeers(
    { postgres: cluster.url, redis: redis.url },
    command.quick ? { rounds: 3, operations: 500, races: 3 } : {},
  ),
);
