import { commandLine } from "../cli/command.ts";
import { printTable, toSecond } from "../table.ts";
import {
  type HourStatistics,
  SCOPES,
  type ScopeStatistics,
  type Statistics,
} from "./statistics.ts";

const BARS = " ▁▂▃▄▅▆▇█";

/** Prints statistics for a terminal. */
export function printStatistics(statistics: Statistics): void {
  const { as_of, behind, hours, total, scopes, chart } = statistics;
  const { stuck_keys, upkeep, job_runs } = statistics;
  const age = as_of === null
    ? "not counted yet"
    : `counted as of ${toSecond(as_of)}`;
  console.log(behind > 0 ? `${age}, about ${behind} claims behind` : age);
  printTable(
    [
      "scope",
      "processing",
      "stuck",
      "completed",
      "failed",
      `executions ${hours} h`,
      "failures",
      "replays",
      "replay rate",
      "p50",
      "p95",
    ],
    [...scopes, total].map(row),
  );
  if (scopes.length >= SCOPES) {
    console.log(`the ${scopes.length} busiest scopes; "all" counts every one`);
  }
  printChart(chart);
  const { expired_count, expired_is_more, oldest_expired_at } = upkeep;
  const more = expired_is_more ? "more than " : "";
  console.log(
    `\nexpired, waiting for cleanup: ${more}${expired_count}` +
      (oldest_expired_at === null
        ? ""
        : `, the oldest since ${toSecond(oldest_expired_at)}`),
  );
  console.log(
    `the ledger takes ${(upkeep.table_bytes / 2 ** 20).toFixed(1)} MiB`,
  );
  if (job_runs.length === 0) {
    console.log(
      `no jobs of pg_cron: let a scheduler run ${commandLine("cleanup")}`,
    );
  } else {
    printTable(
      ["job", "schedule", "began", "status", "message"],
      job_runs.map(({ job, schedule, active, ...run }) => [
        job,
        scheduleOf(schedule, active),
        run.started_at === null ? "never" : toSecond(run.started_at),
        run.status,
        run.message,
      ]),
    );
  }
  const stuck = total.stuck_count;
  console.log(
    stuck === 0 && stuck_keys.length === 0
      ? "no stuck keys"
      : `${stuck} stuck ${stuck === 1 ? "key" : "keys"}: see ${
        commandLine("keys list")
      }`,
  );
}

function scheduleOf(schedule: string | null, active: boolean): string {
  if (schedule === null) return "not scheduled";
  return active ? schedule : `${schedule} (not active)`;
}

function row(scope: ScopeStatistics): unknown[] {
  return [
    scope.scope ?? "all",
    scope.processing_count,
    scope.stuck_count,
    scope.completed_count,
    scope.failed_count,
    scope.execution_count,
    scope.failure_count,
    scope.replay_count,
    scope.replay_rate === null
      ? null
      : `${(100 * scope.replay_rate).toFixed(1)} %`,
    duration(scope.duration_p50_ms),
    duration(scope.duration_p95_ms),
  ];
}

/** Two digits: the figure is 5 % off at most. */
function duration(ms: number | null): string | null {
  if (ms === null) return null;
  return ms < 1000
    ? `${Number(ms.toPrecision(2))} ms`
    : `${Number((ms / 1000).toPrecision(2))} s`;
}

function printChart(hours: readonly HourStatistics[]): void {
  console.log(`\nthe last ${hours.length} hours:`);
  for (const name of ["executions", "replays", "failures"] as const) {
    const numbers = hours.map((hour) => hour[name]);
    const most = Math.max(...numbers);
    const bars = numbers.map((number) =>
      BARS[most === 0 ? 0 : Math.ceil(number / most * (BARS.length - 1))]
    );
    console.log(
      `${name.padEnd(10)} │${bars.join("")}│ at most ${most} an hour`,
    );
  }
}
