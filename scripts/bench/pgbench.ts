import { join } from "node:path";
import { runCommand } from "../check/command.ts";
import { findPostgres } from "../cluster/postgres.ts";

/** What {@link pgbench} is to run. */
export interface PgbenchOptions {
  /** Files; each transaction picks one, by the weights where there are any. */
  scripts: readonly string[];
  weights?: readonly number[];
  clients: number;
  /** How long, in whole seconds; or how much, in transactions of each client. */
  seconds?: number;
  transactions?: number;
  /** Transactions per second to offer; what is late counts as slow. */
  rate?: number;
  variables?: Readonly<Record<string, string | number>>;
  /** @default {"prepared"} */
  protocol?: "prepared" | "extended";
  /** Of the sessions, beside the role. */
  settings?: Readonly<Record<string, string>>;
  /** Whether to keep each transaction. @default {false} */
  log?: boolean;
}

/** A transaction that pgbench ran. */
export interface Transaction {
  /** Which of the scripts, from 0. */
  script: number;
  client: number;
  /** From its begin, or from when it was due, to its end. */
  ms: number;
  /** When it ended, in ms since 1970. */
  endedAt: number;
}

/** What pgbench measured. */
export interface PgbenchResult {
  tps: number;
  /** In the order of each client; empty without `log`. */
  transactions: Transaction[];
}

/**
 * Runs pgbench as the service role.
 *
 * @throws {Error} When it fails, or a statement of it does.
 */
export async function pgbench(
  url: string,
  options: PgbenchOptions,
): Promise<PgbenchResult> {
  const folder = options.log
    ? await Deno.makeTempDir({ prefix: "pgbench-" })
    : null;
  try {
    const { scripts, weights, variables = {}, settings = {} } = options;
    const printed = await run("pgbench", [
      "--no-vacuum",
      `--protocol=${options.protocol ?? "prepared"}`,
      `--client=${options.clients}`,
      "--jobs=2",
      ...(options.transactions === undefined
        ? [`--time=${options.seconds}`]
        : [`--transactions=${options.transactions}`]),
      ...(options.rate === undefined ? [] : [`--rate=${options.rate}`]),
      ...(folder === null ? [] : ["--log", `--log-prefix=${folder}/log`]),
      ...scripts.map((file, n) => `--file=${file}@${weights?.[n] ?? 1}`),
      ...Object.entries(variables).map(([name, value]) =>
        `--define=${name}=${value}`
      ),
      url,
    ], {
      PGOPTIONS: Object.entries({ role: "service_role", ...settings })
        .map(([name, value]) => `-c ${name}=${value}`).join(" "),
    });
    const tps = /^tps = ([\d.]+)/m.exec(printed)?.[1];
    if (tps === undefined) {
      throw new Error(
        `reading what pgbench printed for ${scripts}: no tps in ${printed}`,
      );
    }
    const transactions = folder === null ? [] : await readLog(folder);
    return { tps: Number(tps), transactions };
  } finally {
    if (folder !== null) await Deno.remove(folder, { recursive: true });
  }
}

// https://www.postgresql.org/docs/15/pgbench.html, "Per-Transaction Logging"
async function readLog(folder: string): Promise<Transaction[]> {
  const transactions: Transaction[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    const text = await Deno.readTextFile(join(folder, name));
    for (const line of text.trimEnd().split("\n")) {
      const [client, , micros, script, seconds, rest] = line.split(" ").map(
        Number,
      );
      transactions.push({
        client: client!,
        script: script!,
        ms: micros! / 1000,
        endedAt: seconds! * 1000 + rest! / 1000,
      });
    }
  }
  return transactions;
}

/** Runs psql as the superuser, and stops at the first statement that fails. */
export async function psql(url: string, args: string[]): Promise<void> {
  await run("psql", [
    "--quiet",
    "--no-psqlrc",
    "--set=ON_ERROR_STOP=1",
    ...args,
    url,
  ]);
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
