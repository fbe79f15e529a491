import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pgbench, psql } from "./pgbench.ts";
import { PLAIN } from "./plain_table.ts";
import { type BenchRow, median } from "./row.ts";

/** How long {@link benchSql} takes, and how hard it presses. */
export interface SqlBenchOptions {
  /**
   * Runs of each script; functions and bare statements take turns, so that noise meets them alike.
   *
   * @default {7}
   */
  rounds?: number;
  /**
   * Whole seconds of one run.
   *
   * @default {3}
   */
  seconds?: number;
}

const FOLDER = fileURLToPath(new URL("./sql/", import.meta.url));
const CLIENTS = 4;
// On one key the question is what a crowd does, not what two cores can do.
const RACE_CLIENTS = 16;

const USERS = [0, 1, 2, 3].map((n) =>
  `00000000-0000-4000-8000-00000000000${n}`
);
const VARIABLES: Record<string, string> = {
  ...Object.fromEntries(USERS.map((user, n) => [`user${n}`, user])),
  body: "x".repeat(300),
  fingerprint: "a".repeat(64),
  headers: '{"content-type":"application/json"}',
  hot: "hot",
  owner: "00000000-0000-4000-9000-000000000000",
  picked: "0",
};

/** A script of the functions, and of the bare statements beside it. */
interface Contest {
  script: string;
  bare: string;
  name: string;
  clients: number;
}

const CONTESTS: Contest[] = [
  {
    script: "replay",
    bare: "replay_bare",
    name: "sql: replay",
    clients: CLIENTS,
  },
  {
    script: "replay_call",
    bare: "replay_bare",
    name: "sql: replay, as PostgREST calls it",
    clients: CLIENTS,
  },
  {
    script: "first_run",
    bare: "first_run_bare",
    name: "sql: claim+complete",
    clients: CLIENTS,
  },
  {
    script: "first_run",
    bare: "first_run_plain",
    name: "sql: claim+complete, against a plain table with one key",
    clients: CLIENTS,
  },
  { script: "renew", bare: "renew_bare", name: "sql: renew", clients: CLIENTS },
  {
    script: "race",
    bare: "race_bare",
    name: "sql: race for one key",
    clients: RACE_CLIENTS,
  },
];

/**
 * The throughput of the ledger's functions beside that of bare statements on
 * the same table, and on a plain one, by pgbench with prepared statements and 300-byte bodies, as
 * the service role. Each row is the median of the interleaved runs; the ratio
 * is the median of each run over its neighbour.
 *
 * The cluster should run with `synchronous_commit = off`: otherwise waiting for
 * the disk hides what the functions cost.
 *
 * @param url A Postgres server of the bench's own, with the migrations applied.
 */
export async function benchSql(
  url: string,
  { rounds = 7, seconds = 3 }: SqlBenchOptions = {},
): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const contest of CONTESTS) {
    const { script, name, clients } = contest;
    const functions: number[] = [];
    const bare: number[] = [];
    for (let round = 0; round < rounds; round++) {
      // Each run on a table of the same size; and who goes first alternates.
      const turns: [string, number[]][] = [
        [contest.bare, bare],
        [script, functions],
      ];
      for (const [file, results] of round % 2 ? turns.reverse() : turns) {
        await psql(url, ["--file", join(FOLDER, "prepare.sql")]);
        await psql(url, ["--command", PLAIN]);
        await psql(url, [
          "--command",
          "vacuum analyze public.idempotency_keys",
        ]);
        const { tps } = await pgbench(url, {
          scripts: [join(FOLDER, `${file}.sql`)],
          clients,
          seconds,
          variables: VARIABLES,
        });
        results.push(tps);
      }
    }
    rows.push({
      name,
      value: Math.round(median(functions)),
      unit: "transactions/s",
      baseline: Math.round(median(bare)),
      ratio: median(functions.map((value, round) => value / bare[round]!)),
    });
  }
  return rows;
}
