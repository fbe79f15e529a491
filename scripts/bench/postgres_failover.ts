import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import type { Ledger } from "../../shared/idempotency/ledger.ts";
import { postgresLedger } from "../../shared/idempotency/postgres_ledger.ts";
import { startCluster } from "../cluster/postgres.ts";
import { slowWay } from "../cluster/slow_way.ts";
import { migrate } from "../cluster/supabase_cluster.ts";
import { load, type Toll } from "./failover.ts";

/** One way to run a Postgres with a standby that takes its place. */
export interface PostgresTrial {
  /** Whether a commit waits until the standby has it on its disk. */
  readonly synchronous: boolean;
  /** How long it takes until the standby has it, in ms. */
  readonly lagMs: number;
  /**
   * Answers before the crash, and after it.
   *
   * @default {1000}
   */
  readonly calm?: number;
}

const AT_ONCE = 16;
// What a commit promises, the disk aside: here nothing outlives the test.
const DURABLE = { synchronous_commit: "on" };
/** Asks for the next part at once; else a promotion waits for the next try. */
export const STANDBY = { wal_retrieve_retry_interval: "100ms" };

/** Crashes a Postgres under load, promotes its standby, and counts what is lost. */
export async function tryPostgres(
  { synchronous, lagMs, calm = 1_000 }: PostgresTrial,
): Promise<Toll> {
  const closing: (() => Promise<unknown> | void)[] = [];
  try {
    const primary = await startCluster({ settings: DURABLE });
    closing.push(primary.close);
    await migrate(primary.url);
    const url = new URL(primary.url);
    const way = slowWay(Number(url.port), () => lagMs);
    closing.push(way.close);
    url.port = String(way.port);
    const standby = await startCluster({
      standbyOf: url.href,
      settings: STANDBY,
    });
    closing.push(standby.close);
    const connect = (url: string) => {
      const sql = postgres(url, { max: AT_ONCE, onnotice: () => {} });
      closing.push(() => sql.end({ timeout: 1 }));
      return sql;
    };
    const before = connect(primary.url);
    const streams = async () => {
      const [row] = await before`select from pg_stat_replication
        where state = 'streaming'`;
      return row !== undefined;
    };
    while (!await streams()) await sleep(20);
    if (synchronous) {
      await before.unsafe("alter system set synchronous_standby_names = '*'");
      await before`select pg_reload_conf()`;
    }
    // What a name that leads to the primary does when another takes its place.
    let current = postgresLedger(before);
    const ledger: Ledger = {
      claim: (...args) => current.claim(...args),
      renew: (...args) => current.renew(...args),
      checkpoint: (...args) => current.checkpoint(...args),
      complete: (...args) => current.complete(...args),
      fail: (...args) => current.fail(...args),
      read: (...args) => current.read(...args),
    };
    const running = load(ledger, AT_ONCE);
    while (running.told < calm) await sleep(20);
    running.strike();
    await primary.crash();
    const after = connect(standby.url);
    await after`select pg_promote()`;
    current = postgresLedger(after);
    const told = running.told;
    while (running.told < told + calm) await sleep(20);
    return await running.settle();
  } finally {
    for (const close of closing.reverse()) await close();
  }
}
