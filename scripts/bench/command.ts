import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { findPostgres } from "../cluster/postgres.ts";
import { hasRedis } from "../cluster/redis.ts";
import { printTable } from "../table.ts";
import type { BenchRow } from "./row.ts";

const SWITCHES = {
  json: { type: "boolean", default: false },
  quick: { type: "boolean", default: false },
} as const;

/** What a bench task was told, and what it ends with where it cannot begin. */
export class BenchCommand {
  readonly json: boolean;
  readonly quick: boolean;
  readonly #values: Record<string, unknown>;

  /**
   * Reads the command line; ends the process where it is not as expected.
   *
   * @param task Such as `bench:ops`.
   * @param usage What follows the task in its usage.
   */
  constructor(
    private readonly task: string,
    private readonly usage = "[--json] [--quick]",
    options: ParseArgsOptionsConfig = {},
  ) {
    try {
      this.#values = parseArgs({ options: { ...SWITCHES, ...options } }).values;
    } catch (error) {
      this.refuse((error as Error).message);
    }
    this.json = this.#values.json === true;
    this.quick = this.#values.quick === true;
  }

  /** Numbers from 1000, separated by commas. */
  numbers(option: string): number[] {
    return String(this.#values[option]).split(",").map((text) => {
      if (/^[1-9]\d{3,8}$/.test(text)) return Number(text);
      this.refuse(`--${option} ${text}: expected numbers from 1000`);
    });
  }

  /** Ends the process where there is no server to measure. */
  needs(...servers: ("postgres" | "redis")[]): void {
    if (servers.includes("postgres") && findPostgres() === null) {
      this.fail(
        "no Postgres server of version 15 or newer was found; on Debian: apt-get install postgresql-15",
      );
    }
    if (servers.includes("redis") && !hasRedis()) {
      this.fail(
        "no redis-server was found; on Debian: apt-get install redis-server",
      );
    }
  }

  /** Prints what was measured, for people or for machines. */
  print(rows: readonly BenchRow[]): void {
    this.printAs(
      rows,
      ["name", "value", "unit", "baseline", "ratio"],
      (row) => [row.name, row.value, row.unit, row.baseline, row.ratio],
    );
  }

  /** Prints rows of another kind. */
  printAs<Row>(
    rows: readonly Row[],
    head: string[],
    cells: (row: Row) => unknown[],
  ): void {
    if (this.json) { for (const row of rows) console.log(JSON.stringify(row)); }
    else printTable(head, rows.map(cells));
  }

  /** Ends the process. */
  fail(message: string): never {
    console.error(`${this.task}: ${message}`);
    Deno.exit(1);
  }

  private refuse(message: string): never {
    this.fail(`${message}. Usage: deno task ${this.task} ${this.usage}`);
  }
}
