import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { startPgBouncer } from "../cluster/pgbouncer.ts";
import { OPERATOR_QUERIES } from "./ops.ts";
import { pgbench, type PgbenchOptions, type Transaction } from "./pgbench.ts";
import { PLAIN } from "./plain_table.ts";
import { type BenchRow, median, percentile } from "./row.ts";
import { fillKeys, usersFor } from "./scale/fill.ts";

/** How large {@link benchScale} makes the ledger, and how long it presses. */
export interface ScaleBenchOptions {
  /** Sizes to measure at, in keys. */
  keys: readonly number[];
  /**
   * Keys that have expired when cleanup begins, beside those; not more than there are of those.
   *
   * @default {1_000_000}
   */
  expired?: number;
  /**
   * Rounds of what takes turns.
   *
   * @default {5}
   */
  rounds?: number;
  /**
   * Seconds of one of them; the longer looks take six times as long.
   *
   * @default {3}
   */
  seconds?: number;
  /**
   * Keys that are claimed and completed to see what one takes.
   *
   * @default {40_000}
   */
  grown?: number;
  /** Told what is being done. */
  onProgress?: (line: string) => void;
  /** Given each figure as soon as it is there. */
  onRow: (row: BenchRow) => void;
}

const FOLDER = fileURLToPath(new URL("./scale/", import.meta.url));
const CLIENTS = 4;
const POOL = 16;
// What two busy cores carry with room to spare: latency, not a queue, is looked at.
const TRAFFIC = 200;
const FEWEST_TO_CLEAN_UP = 100_000;
const BODY = JSON.stringify({
  orderId: "ord_8f14e45fceea167a",
  status: "confirmed",
  total: { amount: 12900, currency: "EUR" },
  lines: [
    { sku: "SKU-2041-BLK", quantity: 2, price: 4950 },
    { sku: "SKU-0077-GRN", quantity: 1, price: 3000 },
  ],
  shipping: { method: "standard", estimate: "2026-03-14", city: "Utrecht" },
  createdAt: "2026-03-10T09:41:27.113Z",
});
const VARIABLES = {
  body: BODY,
  fingerprint: "a".repeat(64),
  headers: '{"content-type":"application/json"}',
  token: "00000000-0000-4000-9000-000000000000",
  reads: 0,
  turn: 0,
  turn_bare: 0,
};

/**
 * How the ledger's cost grows with the number of keys and of sessions. Each
 * figure stands beside the same of bare statements, or of the smallest case, in
 * the same run.
 *
 * @param url A Postgres server of the bench's own, with the migrations applied
 * and writes that are durable.
 */
export async function benchScale(
  url: string,
  options: ScaleBenchOptions,
): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await new ScaleBench(url, sql, options).run();
  } finally {
    await sql.end();
  }
}

class ScaleBench {
  #url;
  #sql;
  #options;
  #users;
  #keys = 0;
  /** Bytes that a key takes, completed at once; of the log without pages that are written whole. */
  #wal = 0;
  #disk = 0;

  constructor(url: string, sql: postgres.Sql, options: ScaleBenchOptions) {
    this.#url = url;
    this.#sql = sql;
    this.#users = usersFor(Math.max(...options.keys));
    this.#options = {
      expired: 1_000_000,
      rounds: 5,
      seconds: 3,
      grown: 40_000,
      onProgress: () => {},
      ...options,
    };
  }

  async run(): Promise<void> {
    const sizes = this.#options.keys.toSorted((a, b) => a - b);
    await this.#timed("what a key takes", () => this.#growth());
    await this.#timed("days in a hurry", () => this.#days());
    for (const keys of sizes) {
      // Fewer are gone before a percentile has been seen.
      const expired = keys < FEWEST_TO_CLEAN_UP
        ? 0
        : Math.min(keys, this.#options.expired);
      await this.#timed(
        `fill up to ${keys} keys, and ${expired} that have expired`,
        () =>
          fillKeys(this.#sql, {
            from: this.#keys,
            keys,
            users: this.#users,
            expired,
            body: BODY,
          }),
      );
      this.#keys = keys;
      await this.#timed("replays", () => this.#replays());
      await this.#timed("latencies", () => this.#latencies());
      await this.#timed("queries", () => this.#queries());
      if (keys === sizes[0]) {
        await this.#timed("sessions", () => this.#sessions());
      }
      if (expired > 0) {
        await this.#timed("cleanup", () => this.#cleanup(expired));
      }
    }
  }

  /** What a key takes on disk and in the log, and how many updates stay heap-only. */
  async #growth(): Promise<void> {
    const sql = this.#sql;
    await sql`insert into auth.users (id)
      select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid
      from generate_series(0, 999) as n on conflict do nothing`;
    await sql.unsafe(PLAIN);
    const ledger = { script: "grow", table: "public.idempotency_keys" };
    const plain = { script: "grow_plain", table: "public.bench_plain" };
    // Neither is of a key: a page that is written whole after a checkpoint, and what a vacuum logs
    // when it happens to come by.
    await sql`alter system set full_page_writes = off`;
    for (const { table } of [ledger, plain]) {
      await sql.unsafe(`alter table ${table} set (autovacuum_enabled = off)`);
    }
    await sql`select pg_reload_conf()`;
    for (const open of [0, 1000]) {
      const floor = await this.#grow(plain, open);
      const cost = await this.#grow(ledger, open);
      if (open === 0) {
        this.#wal = cost.WAL;
        this.#disk = cost.heap + cost.indexes;
      }
      const when = open === 0 ? "completed at once" : `${open} at work`;
      for (const name of ["heap", "indexes", "WAL"] as const) {
        this.#add(`a key, ${when}: ${name}`, cost[name], "bytes", floor[name]);
      }
      this.#add(
        `a key, ${when}: heap-only completions`,
        cost.hot,
        "share",
        floor.hot,
      );
    }
    await sql`alter system reset full_page_writes`;
    await sql`select pg_reload_conf()`;
    await sql`drop table public.bench_plain`;
    await sql`truncate public.idempotency_keys`;
    await sql`alter table public.idempotency_keys reset (autovacuum_enabled)`;
  }

  /**
   * Five days of a ledger whose day is short: what it takes in the end, beside
   * what docs/scale.md reckons. Cleanup comes 24 times a day, autovacuum as by
   * default: once a fifth of the table is dead.
   */
  async #days(): Promise<void> {
    const sql = this.#sql;
    const ttl = 6 * this.#options.seconds;
    await sql`alter system set autovacuum_naptime = '1s'`;
    await sql`select pg_reload_conf()`;
    let over = false;
    const traffic = this.#pgbench(["day"], {
      seconds: 5 * ttl,
      rate: TRAFFIC,
      variables: { users: 1000, ttl },
    }).finally(() => over = true);
    while (!over) {
      await new Promise((resolve) => setTimeout(resolve, ttl / 24 * 1000));
      await sql`select public.cleanup_expired_idempotency_keys()`;
    }
    const { tps } = await traffic;
    const [{ bytes }] = await sql<[{ bytes: number }]>`
      select pg_total_relation_size('public.idempotency_keys')::float8 as bytes`;
    const kept = tps * ttl * (1 + 1 / 24);
    this.#add(
      "after five short days: size, beside keys kept × bytes a key × 1.2",
      bytes,
      "bytes",
      Math.round(kept * this.#disk * 1.2),
    );
    await sql`alter system reset autovacuum_naptime`;
    await sql`select pg_reload_conf()`;
    await sql`truncate public.idempotency_keys`;
  }

  async #grow(what: { script: string; table: string }, open: number) {
    const sql = this.#sql;
    const most = Math.ceil(this.#options.grown / CLIENTS);
    await sql.unsafe(`truncate ${what.table}`);
    await sql`checkpoint`;
    const before = await this.#updates(what.table);
    const lsn = await this.#lsn();
    const each = open / CLIENTS;
    await this.#pgbench([what.script], {
      transactions: most + each,
      variables: { users: 1000, most, open: each, i: 0 },
      // What is written does not depend on when it is flushed.
      settings: { synchronous_commit: "off" },
    });
    const wal = await this.#walSince(lsn);
    const [{ heap, indexes }] = await sql<
      [{ heap: number; indexes: number }]
    >`select
        pg_relation_size(${what.table})::float8 as heap,
        pg_indexes_size(${what.table})::float8 as indexes`;
    const after = await this.#updates(what.table);
    const keys = most * CLIENTS;
    return {
      heap: Math.round(heap / keys),
      indexes: Math.round(indexes / keys),
      WAL: Math.round(wal / keys),
      hot: (after.hot - before.hot) / (after.all - before.all),
    };
  }

  async #lsn(): Promise<string> {
    const [{ lsn }] = await this.#sql<[{ lsn: string }]>`
      select pg_current_wal_insert_lsn() as lsn`;
    return lsn;
  }

  /** Bytes written to the log since then. */
  async #walSince(lsn: string): Promise<number> {
    const [{ bytes }] = await this.#sql<[{ bytes: number }]>`
      select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), ${lsn}::pg_lsn)::float8 as bytes`;
    return bytes;
  }

  async #updates(table: string): Promise<{ all: number; hot: number }> {
    // A backend that has gone has handed over what it counted.
    await this.#sql`select pg_stat_force_next_flush()`;
    const [row] = await this.#sql<[{ all: number; hot: number }]>`
      select n_tup_upd::float8 as all, n_tup_hot_upd::float8 as hot
      from pg_stat_user_tables where relid = ${table}::regclass`;
    return row;
  }

  /** Any of the keys, again and again, beside a bare select of its row. */
  async #replays(): Promise<void> {
    const { rounds, seconds } = this.#options;
    const rates: Record<string, number[]> = { replay: [], replay_bare: [] };
    for (let round = 0; round < rounds; round++) {
      const turns = Object.keys(rates);
      for (const script of round % 2 ? turns.reverse() : turns) {
        const { tps } = await this.#pgbench([script], { seconds });
        rates[script]!.push(tps);
      }
    }
    this.#add(
      this.#named("replay beside a bare select"),
      Math.round(median(rates["replay"]!)),
      "transactions/s",
      Math.round(median(rates["replay_bare"]!)),
      median(rates["replay"]!.map((tps, n) => tps / rates["replay_bare"]![n]!)),
    );
  }

  /** All kinds in one run: noise, cache and log meet them alike. */
  async #latencies(): Promise<void> {
    const sql = this.#sql;
    await sql`checkpoint`;
    const lsn = await this.#lsn();
    const { transactions } = await this.#pgbench(
      ["replay", "replay_bare", "write", "write_bare"],
      { weights: [1, 1, 2, 2], seconds: 6 * this.#options.seconds, log: true },
    );
    const [claim, complete] = inTurns(transactions, 2);
    const [insert, update] = inTurns(transactions, 3);
    const wal = await this.#walSince(lsn);
    this.#add(
      this.#named("WAL a key, from a checkpoint on, ledger and bare alike"),
      Math.round(wal / (claim.length + insert.length)),
      "bytes",
      this.#wal,
    );
    const of = (script: number) =>
      transactions.filter((t) => t.script === script);
    const pairs: [string, Transaction[], Transaction[]][] = [
      ["replay beside a bare select", of(0), of(1)],
      ["claim beside a bare insert", claim, insert],
      ["complete beside a bare update", complete, update],
    ];
    for (const [name, ledger, bare] of pairs) {
      for (const p of [50, 99]) {
        this.#add(
          this.#named(`${name}, p${p}`),
          percentile(ledger.map((t) => t.ms), p),
          "ms",
          percentile(bare.map((t) => t.ms), p),
        );
      }
    }
  }

  /** What users and operators ask. */
  async #queries(): Promise<void> {
    const sql = this.#sql;
    const count = async () => {
      await new Promise((resolve) => setTimeout(resolve, 110));
      const [row] = await sql<[{ behind: number }]>`
        select behind::int from public.idempotency_refresh_statistics(1000000)`;
      return row.behind;
    };
    while (await count() > 0);
    await sql`vacuum analyze`;
    await sql`select idempotency.keep_statistics()`;
    const user = "00000000-0000-4000-8000-000000000007";
    const asUser = `set local role authenticated;
      select set_config('request.jwt.claims', '{"sub":"${user}"}', true);`;
    const queries: [string, string, number][] = [
      ...Object.entries(OPERATOR_QUERIES).map((
        [name, text],
      ): [string, string, number] => [name, text, 9]),
      [
        "get_idempotency_status, as a user",
        `${asUser} select * from public.get_idempotency_status('${
          "7".padStart(36, "0")
        }')`,
        9,
      ],
      [
        "v_idempotency_stats, as a user",
        `${asUser} select * from public.v_idempotency_stats`,
        9,
      ],
      [
        "v_idempotency_stats, as the service role",
        "set local role service_role; select * from public.v_idempotency_stats",
        9,
      ],
      [
        "counting for v_idempotency_stats",
        "select * from idempotency.count_statistics()",
        this.#keys > 1_000_000 ? 1 : 3,
      ],
    ];
    for (const [name, text, times] of queries) {
      const took: number[] = [];
      const floor: number[] = [];
      for (let n = 0; n < times; n++) {
        took.push(await this.#asked(text));
        floor.push(await this.#asked("select 1"));
      }
      this.#add(this.#named(name), median(took), "ms", median(floor));
    }
  }

  async #asked(text: string): Promise<number> {
    const startedAt = performance.now();
    await this.#sql.unsafe(`begin; ${text}; commit`);
    return performance.now() - startedAt;
  }

  /** The job's way of cleaning up, beside traffic that was there before it. */
  async #cleanup(expired: number): Promise<void> {
    const sql = this.#sql;
    const before = 6 * this.#options.seconds * 1000;
    // What the queries before left to write is none of the calm.
    await sql`checkpoint`;
    const stop = new AbortController();
    // Rather too long: it is cut off when cleanup has ended.
    const traffic = this.#traffic(expired, stop.signal);
    await new Promise((resolve) => setTimeout(resolve, before));
    const startedAt = Date.now();
    await sql.unsafe(`do $$
      begin
        while idempotency.delete_expired(1000) >= 1000 loop
          commit;
        end loop;
      end;
      $$`);
    const endedAt = Date.now();
    // Enough of them for a percentile, where there was little to delete.
    stop.abort();
    const transactions = await traffic;
    const dead = await this.#deadTuples();
    this.#add(
      this.#named("cleanup, keys deleted"),
      Math.round(expired / (endedAt - startedAt) * 1000),
      "keys/s",
      expired,
    );
    const [claim, complete] = inTurns(transactions, 1);
    const kinds: [string, Transaction[]][] = [
      ["replay", transactions.filter((t) => t.script === 0)],
      ["claim", claim],
      ["complete", complete],
      ["claim of an expired key", transactions.filter((t) => t.script === 2)],
    ];
    for (const [name, of] of kinds) {
      const [calm, busy] = [
        of.filter((t) => t.endedAt < startedAt),
        of.filter((t) => t.endedAt >= startedAt && t.endedAt - t.ms < endedAt),
      ].map((some) => some.map((t) => t.ms));
      for (const p of [50, 99, 100]) {
        this.#add(
          this.#named(
            `${name} beside cleanup, ${p === 100 ? "longest" : `p${p}`}`,
          ),
          percentile(busy!, p),
          "ms",
          percentile(calm!, p),
        );
      }
    }
    this.#add(this.#named("dead rows after cleanup"), dead, "rows", expired);
    const vacuumedAt = performance.now();
    await sql`vacuum analyze public.idempotency_keys`;
    this.#add(
      this.#named("dead rows after the vacuum that follows"),
      await this.#deadTuples(),
      "rows",
      expired,
    );
    this.#add(
      this.#named("that vacuum"),
      Math.round(performance.now() - vacuumedAt),
      "ms",
      endedAt - startedAt,
    );
  }

  /** Runs in slices, because pgbench cannot be told to stop without losing what it measured. */
  async #traffic(expired: number, signal: AbortSignal): Promise<Transaction[]> {
    const transactions: Transaction[] = [];
    let slices = 0;
    while (!signal.aborted) {
      const slice = await this.#pgbench(["replay", "write", "reclaim"], {
        weights: [10, 10, 1],
        clients: 2 * CLIENTS,
        rate: TRAFFIC,
        seconds: 2 * this.#options.seconds,
        variables: { expired },
        log: true,
      });
      // Each slice begins with a claim.
      for (const each of slice.transactions) {
        transactions.push({ ...each, client: each.client + slices * 1000 });
      }
      slices++;
    }
    return transactions;
  }

  async #deadTuples(): Promise<number> {
    const [{ dead }] = await this.#sql<[{ dead: number }]>`
      select n_dead_tup::float8 as dead from pg_stat_user_tables
      where relid = 'public.idempotency_keys'::regclass`;
    return dead;
  }

  /** Whole first runs by few sessions and many, of many users and of one. */
  async #sessions(): Promise<void> {
    const users = this.#users;
    await this.#sql`insert into auth.users (id)
      select ('00000000-0000-4000-8000-' || lpad((${users}::int + n)::text, 12, '0'))::uuid
      from generate_series(0, 999) as n on conflict do nothing`;
    await using pooler = await startPgBouncer(this.#url, POOL);
    if (pooler === null) {
      this.#options.onProgress(
        "no pgbouncer: left out; on Debian: apt-get install pgbouncer",
      );
    }
    interface Case {
      name: string;
      clients: number;
      users?: number;
      through?: string;
    }
    const direct: Case[] = [
      { name: "16 sessions", clients: 16 },
      { name: "4 sessions", clients: 4 },
      { name: "64 sessions", clients: 64 },
      { name: "200 sessions", clients: 200 },
      { name: "16 sessions of one user", clients: 16, users: 1 },
      { name: "64 sessions of one user", clients: 64, users: 1 },
    ];
    const through = pooler?.url;
    const cases = through === undefined ? direct : [
      ...direct,
      { name: "16 sessions through pgbouncer", clients: 16, through },
      { name: "200 sessions through pgbouncer", clients: 200, through },
    ];
    const rates: number[][] = cases.map(() => []);
    for (let round = 0; round < Math.min(3, this.#options.rounds); round++) {
      for (const [n, each] of cases.entries()) {
        await this
          .#sql`delete from public.idempotency_keys where scope = 'bench-sessions'`;
        // Else each finds more dead rows than the one before it.
        await this.#sql`vacuum public.idempotency_keys`;
        const { transactions } = await this.#pgbench(["first_run"], {
          url: each.through ?? this.#url,
          clients: each.clients,
          // The same work for few and many, below the most keys that one user may have.
          transactions: Math.max(
            20,
            Math.ceil(this.#options.grown / 10 / each.clients),
          ),
          // Prepared statements do not survive a change of connection.
          protocol: "extended",
          variables: { users: each.users ?? 1000, user_from: users },
          log: true,
        });
        rates[n]!.push(rateOfAll(transactions));
      }
    }
    const floor = rates[0]!;
    for (const [n, { name }] of cases.entries()) {
      this.#add(
        this.#named(`first runs, ${name}, beside 16 sessions of many users`),
        Math.round(median(rates[n]!)),
        "first runs/s",
        Math.round(median(floor)),
        median(rates[n]!.map((tps, round) => tps / floor[round]!)),
      );
    }
  }

  #pgbench(
    scripts: string[],
    { url = this.#url, variables, ...options }:
      & Partial<PgbenchOptions>
      & { url?: string },
  ) {
    return pgbench(url, {
      clients: CLIENTS,
      ...options,
      scripts: scripts.map((name) => `${FOLDER}${name}.sql`),
      variables: {
        ...VARIABLES,
        keys: this.#keys,
        users: this.#users,
        ...variables,
      },
    });
  }

  #named(name: string): string {
    return `${this.#keys} keys: ${name}`;
  }

  #add(
    name: string,
    value: number,
    unit: string,
    baseline: number,
    ratio = value / baseline,
  ): void {
    this.#options.onRow({ name, value, unit, baseline, ratio });
  }

  async #timed(what: string, work: () => Promise<unknown>): Promise<void> {
    const startedAt = performance.now();
    await work();
    const seconds = (performance.now() - startedAt) / 1000;
    this.#options.onProgress(`${what}: ${seconds.toFixed(1)} s`);
  }
}

/** Of a script whose turns alternate: each client's first, third, … and the others. */
function inTurns(
  transactions: readonly Transaction[],
  script: number,
): [Transaction[], Transaction[]] {
  const turns = new Map<number, number>();
  const both: [Transaction[], Transaction[]] = [[], []];
  for (const each of transactions) {
    if (each.script !== script) continue;
    const turn = turns.get(each.client) ?? 0;
    both[turn % 2]!.push(each);
    turns.set(each.client, turn + 1);
  }
  return both;
}

/**
 * Transactions per second while all clients were at it: between the last of
 * their first ones, which waits for what a new session has to load, and the
 * first of their last ones.
 */
function rateOfAll(transactions: readonly Transaction[]): number {
  const clients = Map.groupBy(transactions, ({ client }) => client);
  const ends = [...clients.values()].map((of) => of.map((t) => t.endedAt));
  const from = Math.max(...ends.map((of) => Math.min(...of)));
  const to = Math.min(...ends.map((of) => Math.max(...of)));
  const within = transactions.filter(({ endedAt }) =>
    endedAt > from && endedAt <= to
  );
  return within.length / (to - from) * 1000;
}
