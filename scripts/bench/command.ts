import { findPostgres } from "../cluster/postgres.ts";
import { hasRedis } from "../cluster/redis.ts";
import { printTable } from "../table.ts";
import { readTask, taskOptions, wrongUsage } from "../task.ts";
import type { BenchRow } from "./row.ts";

/** An option of a bench task that takes numbers. */
export interface BenchNumbers {
  /** What stands for its value in the usage, such as `N,N`. */
  readonly value: string;
  readonly default: string;
  /** What it says, for people. */
  readonly help: string;
}

const QUICK = "a first look, with figures that vary more";
const JSON_LINES = "a JSON object a line in place of the table";

/** What a bench task was told, and what it ends with where it cannot begin. */
export class BenchCommand<Name extends string = never> {
  readonly json: boolean;
  readonly quick: boolean;
  readonly #numbers: Record<Name, number[]>;

  /**
   * Reads the command line; ends the process where it is not as expected.
   *
   * @param task Such as `bench:ops`.
   * @param does What it measures, for people.
   * @param numbers Its own options.
   * @param hasQuick Whether there is a quick way to do it.
   */
  constructor(
    private readonly task: string,
    does: string,
    numbers: Record<Name, BenchNumbers> = {} as Record<Name, BenchNumbers>,
    hasQuick = true,
  ) {
    const own = Object.entries<BenchNumbers>(numbers);
    const lines = [
      ...own.map(([name, { value, help, default: used }]) => [
        `--${name} ${value}`,
        `${help}; ${used} by default`,
      ]),
      ...hasQuick ? [["--quick", QUICK]] : [],
      ["--json", JSON_LINES],
    ];
    const usage = `Usage: deno task ${task} ${
      lines.map(([option]) => `[${option}]`).join(" ")
    }\n\n${does}\n\n${
      lines.map(([option, help]) => `  ${option!.padEnd(20)} ${help}`)
        .join("\n")
    }`;
    const { json, quick, chosen } = readTask(task, () => {
      const values: Record<string, unknown> = taskOptions(usage, {
        json: { type: "boolean", default: false },
        ...hasQuick && { quick: { type: "boolean", default: false } },
        ...Object.fromEntries(
          own.map(([name, { default: used }]) => [
            name,
            { type: "string", default: used } as const,
          ]),
        ),
      });
      const chosen = own.map(([name]) => [
        name,
        String(values[name]).split(",").map((text) => {
          if (/^[1-9]\d{3,8}$/.test(text)) return Number(text);
          throw wrongUsage(
            `--${name} ${text}: expected numbers from 1000`,
            usage,
          );
        }),
      ]);
      return { json: values.json, quick: values.quick, chosen };
    });
    this.json = json === true;
    this.quick = quick === true;
    this.#numbers = Object.fromEntries(chosen);
  }

  /** Numbers from 1000, as they were separated by commas. */
  numbers(option: Name): number[] {
    return this.#numbers[option];
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
}
