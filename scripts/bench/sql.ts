import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findPostgres } from "../cluster/postgres.ts";
import { runCommand } from "../check/command.ts";
import type { BenchRow } from "./row.ts";

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
 * the same table, by pgbench with prepared statements and 300-byte bodies, as
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
        await psql(url, [
          "--command",
          "vacuum analyze public.idempotency_keys",
        ]);
        results.push(await pgbench(url, file, clients, seconds));
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

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

async function psql(url: string, args: string[]): Promise<void> {
  await run("psql", [
    "--quiet",
    "--no-psqlrc",
    "--set=ON_ERROR_STOP=1",
    ...args,
    url,
  ]);
}

async function pgbench(
  url: string,
  script: string,
  clients: number,
  seconds: number,
): Promise<number> {
  const printed = await run("pgbench", [
    "--no-vacuum",
    "--protocol=prepared",
    `--client=${clients}`,
    "--jobs=2",
    `--time=${seconds}`,
    `--file=${join(FOLDER, `${script}.sql`)}`,
    ...Object.entries(VARIABLES).map(([name, value]) =>
      `--define=${name}=${value}`
    ),
    url,
  ], { PGOPTIONS: "-c role=service_role" });
  const tps = /^tps = ([\d.]+)/m.exec(printed)?.[1];
  if (tps === undefined) {
    throw new Error(
      `reading what pgbench printed for ${script}: no tps in ${printed}`,
    );
  }
  return Number(tps);
}

async function run(
  program: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<string> {
  const postgres = findPostgres();
  if (!postgres) {
    throw new Error(
      `running ${program}: no Postgres of version 15 or later found`,
    );
  }
  const result = await runCommand(join(postgres.binDir, program), args, {
    env,
  });
  if (result.code !== 0) {
    throw new Error(
      `running ${program}: exit code ${result.code}: ${result.stderr}`,
    );
  }
  return result.stdout;
}
