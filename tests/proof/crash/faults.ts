import postgres from "postgres";
import { STANDBY } from "../../../scripts/bench/postgres_failover.ts";
import {
  hasPgBouncer,
  startPgBouncer,
} from "../../../scripts/cluster/pgbouncer.ts";
import {
  type PostgresCluster,
  startCluster,
} from "../../../scripts/cluster/postgres.ts";
import { missingPostgres } from "../../../scripts/cluster/postgres_extensions.ts";
import { hasRedis, startRedis } from "../../../scripts/cluster/redis.ts";
import {
  missingSmallDisk,
  mountSmallDisk,
} from "../../../scripts/cluster/small_disk.ts";
import { prepareProject } from "../../../scripts/cluster/supabase_cluster.ts";
import type { Random } from "../simulation/random.ts";
import type { Load } from "./load.ts";
import { LEASE_SECONDS, TABLES } from "./operations.ts";

/** Something that is taken away under load, again and again. */
export interface Fault {
  /** Of its trial. */
  readonly name: string;
  /** What happened, in words. */
  readonly strike: string;
  /** What this machine lacks for it, or `null`. */
  missing(): string | null;
  /**
   * @param ending Ends what is opened.
   * @param seconds How long all of it is to take.
   */
  open(ending: AsyncDisposableStack, seconds: number): Promise<Stage>;
}

/** Where it happens. */
export interface Stage {
  /** Makes ready for a round, and says where the ledger is. */
  prepare(): Promise<string>;
  /** Takes something away, and gives it back. */
  strike(load: Load, random: Random): Promise<void>;
  /** After how many a round ends. */
  readonly mostStrikes: number;
}

// What a commit promises, the disk aside: here nothing outlives the trial.
const DURABLE = { synchronous_commit: "on" };
const MOST_LIFE_MS = 250;
const MOST_FROZEN_MS = 20_000;
const MOST_DOWN_MS = 1_500;
const MOST_FULL_MS = 4_000;
const DISK_MEGABYTES = 192;
const POOL = 10;

async function killOne(load: Load, random: Random): Promise<void> {
  const victim = await load.victim();
  await sleep(random.below(MOST_LIFE_MS));
  if (random.chance(0.1)) {
    // A zombie: it loses its leases, and goes on for a moment all the same.
    victim.signal("SIGSTOP");
    await sleep(LEASE_SECONDS * 1_500);
    victim.signal("SIGCONT");
    await sleep(random.below(MOST_LIFE_MS));
  }
  victim.signal("SIGKILL");
  await victim.ended;
}

/** Everything that is taken away. */
export const faults: readonly Fault[] = [
  {
    name: "kills",
    strike: "an instance was killed",
    missing: needsPostgres,
    async open(ending) {
      const { prepare } = await openCluster(ending);
      return { prepare, strike: killOne, mostStrikes: 40 };
    },
  },
  {
    name: "redis kills",
    strike: "an instance was killed",
    missing: () => hasRedis() ? null : "no redis-server",
    async open(ending) {
      const { url } = ending.use(await startRedis());
      return {
        prepare: () => Promise.resolve(url),
        strike: killOne,
        mostStrikes: 40,
      };
    },
  },
  {
    name: "server restarts",
    strike: "the server ended at once and was started again",
    missing: needsPostgres,
    async open(ending) {
      const { cluster, prepare } = await openCluster(ending);
      return {
        prepare,
        async strike(_load, random) {
          await cluster.crash();
          await sleep(random.below(MOST_DOWN_MS));
          await cluster.start();
        },
        mostStrikes: 6,
      };
    },
  },
  {
    name: "server freezes",
    strike: "the whole server stood still",
    missing: () =>
      Deno.build.os === "linux"
        ? needsPostgres()
        : "processes are listed otherwise than on Linux",
    async open(ending, seconds) {
      const { cluster, prepare } = await openCluster(ending);
      const mostMs = Math.min(MOST_FROZEN_MS, seconds * 250);
      return {
        prepare,
        async strike(_load, random) {
          await cluster.freeze();
          await sleep(random.below(mostMs));
          await cluster.thaw();
        },
        mostStrikes: 3,
      };
    },
  },
  {
    name: "connections cut",
    strike: "connections were cut",
    missing: needsPostgres,
    async open(ending) {
      const { control, prepare } = await openCluster(ending);
      return {
        prepare,
        async strike(_load, random) {
          for (let n = random.below(4); n >= 0; n--) {
            await control`
              select pg_terminate_backend(pid) from pg_stat_activity
              where backend_type = 'client backend'
                and pid <> pg_backend_pid() and random() < 0.5`;
            await sleep(random.below(100));
          }
        },
        mostStrikes: 10,
      };
    },
  },
  {
    name: "pooler restarts",
    strike: "the pooler ended at once and was started again",
    missing: () => hasPgBouncer() ? needsPostgres() : "no pgbouncer",
    async open(ending) {
      const { cluster } = await openCluster(ending);
      const pooler = ending.use((await startPgBouncer(cluster.url, POOL))!);
      return {
        prepare: () => Promise.resolve(`${pooler.url}?prepare=false`),
        strike: () => pooler.restart(),
        mostStrikes: 10,
      };
    },
  },
  {
    name: "disk full",
    strike: "the disk was full",
    missing: () => missingSmallDisk() ?? needsPostgres(),
    async open(ending) {
      const disk = ending.use(mountSmallDisk(DISK_MEGABYTES));
      const { cluster, control, prepare } = await openCluster(
        ending,
        disk.folder,
      );
      return {
        prepare,
        async strike(_load, random) {
          await disk.fill();
          // The log has room of its own for a while; without it the server ends.
          if (random.chance(0.5)) {
            await control`select pg_switch_wal()`.catch(() => {});
          }
          await sleep(random.below(MOST_FULL_MS));
          await disk.free();
          await cluster.start();
        },
        mostStrikes: 4,
      };
    },
  },
  {
    name: "standby promoted",
    strike: "a synchronous standby took over from a server that ended at once",
    missing: needsPostgres,
    async open(ending) {
      let { cluster: primary } = await openCluster(ending);
      let standby: PostgresCluster;
      return {
        async prepare() {
          standby = await startCluster({
            standbyOf: primary.url,
            settings: { ...DURABLE, ...STANDBY },
          });
          ending.defer(standby.close);
          await withControl(primary.url, async (sql) => {
            await setSynchronous(sql, "*");
            const synchronous = () =>
              sql`select from pg_stat_replication where sync_state = 'sync'`;
            while ((await synchronous()).length === 0) await sleep(20);
          });
          // Itself it has nobody to wait for.
          await withControl(standby.url, (sql) => setSynchronous(sql, ""));
          const [first, second] = [primary, standby]
            .map(({ url }) => new URL(url).host);
          return `postgresql://postgres@${first},${second}/postgres?target_session_attrs=primary`;
        },
        async strike() {
          await primary.crash();
          await withControl(standby.url, (sql) => sql`select pg_promote()`);
          await primary.close();
          primary = standby;
        },
        mostStrikes: 1,
      };
    },
  },
];

function needsPostgres(): string | null {
  return missingPostgres([]);
}

/** A cluster with the ledger, and a connection of the superuser's to it. */
async function openCluster(ending: AsyncDisposableStack, within?: string) {
  const cluster = await startCluster({
    settings: DURABLE,
    ...(within && { within }),
  });
  ending.defer(cluster.close);
  const { url } = cluster;
  await prepareProject(url, { migrations: "parts" });
  const control = connectControl(url);
  ending.defer(() => control.end({ timeout: 1 }));
  await control.unsafe(TABLES);
  return { cluster, control, prepare: () => Promise.resolve(url) };
}

async function withControl(
  url: string,
  run: (sql: postgres.Sql) => Promise<unknown>,
): Promise<void> {
  const sql = connectControl(url);
  try {
    await run(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function setSynchronous(sql: postgres.Sql, names: string): Promise<void> {
  await sql.unsafe(`alter system set synchronous_standby_names = '${names}'`);
  await sql`select pg_reload_conf()`;
}

function connectControl(url: string): postgres.Sql {
  return postgres(url, {
    max: 1,
    onnotice: () => {},
    backoff: () => 0.1,
    // Cut while it reads them, the driver throws outside any call.
    fetch_types: false,
  });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
