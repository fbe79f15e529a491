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
    const usage = usageOf(task, does, [
      ...own.map(([name, { value, help, default: used }]) =>
        [`--${name} ${value}`, `${help}; ${used} by default`] as const
      ),
      ...hasQuick ? [["--quick", QUICK] as const] : [],
      ["--json", JSON_LINES],
    ]);
    const numbersOf = (name: string, text: string) =>
      text.split(",").map((number) => {
        if (/^[1-9]\d{3,8}$/.test(number)) return Number(number);
        throw wrongUsage(
          `--${name} ${number}: expected numbers from 1000`,
          usage,
        );
      });
    const given = readTask(task, () => {
      const { json, quick, ...texts }: Record<string, unknown> = taskOptions(
        usage,
        {
          json: { type: "boolean" },
          ...hasQuick && { quick: { type: "boolean" } },
          ...Object.fromEntries(
            own.map(([name, { default: used }]) =>
              [name, { type: "string", default: used }] as const
            ),
          ),
        },
      );
      const chosen = own.map(([name]) => [
        name,
        numbersOf(name, String(texts[name])),
      ]);
      return { json, quick, numbers: Object.fromEntries(chosen) };
    });
    this.json = given.json === true;
    this.quick = given.quick === true;
    this.#numbers = given.numbers;
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

function usageOf(
  task: string,
  does: string,
  options: readonly (readonly [option: string, help: string])[],
): string {
  const brief = options.map(([option]) => `[${option}]`).join(" ");
  const lines = options.map(([option, help]) =>
    `  ${option.padEnd(20)} ${help}`
  );
  return `Usage: deno task ${task} ${brief}\n\n${does}\n\n${lines.join("\n")}`;
}
