import { z } from "zod";
import { type StuckKey, stuckKeys } from "../keys/operator.ts";
import type { Project } from "../project.ts";
import {
  type RefreshOptions,
  refreshStatistics,
} from "../../functions/cleanup-idempotency/clean_up.ts";

// Whole numbers: the API sends numbers, a connection text.
const Count = z.coerce.number().int();
const Duration = z.number().nullable();

const Scope = z.object({
  scope: z.string().nullable(),
  processing_count: Count,
  stuck_count: Count,
  completed_count: Count,
  failed_count: Count,
  execution_count: Count,
  failure_count: Count,
  replay_count: Count,
  replay_rate: z.number().nullable(),
  duration_p50_ms: Duration,
  duration_p95_ms: Duration,
});

const Hour = z.object({
  hour: z.coerce.date(),
  executions: Count,
  failures: Count,
  replays: Count,
});

const Upkeep = z.object({
  expired_count: Count,
  expired_is_more: z.boolean(),
  oldest_expired_at: z.coerce.date().nullable(),
  about_keys: Count,
  table_bytes: Count,
});

const JobRun = z.object({
  job: z.string(),
  /** `null` where it is not scheduled. */
  schedule: z.string().nullable(),
  active: z.boolean(),
  status: z.string().nullable(),
  message: z.string().nullable(),
  started_at: z.coerce.date().nullable(),
  ended_at: z.coerce.date().nullable(),
});

/** Live keys by status, and the last hours, of one scope. */
export type ScopeStatistics = z.output<typeof Scope>;

/** What happened in one hour. */
export type HourStatistics = z.output<typeof Hour>;

/** What operators look at, at one moment; names as in SQL. */
export interface Statistics {
  /** Claims granted before are counted; stuck and processing keys are of now. */
  readonly as_of: Date | null;
  /** At most this many claims are not counted yet. */
  readonly behind: number;
  /** What `total` and `scopes` span. */
  readonly hours: number;
  readonly total: ScopeStatistics;
  /** The one that was asked for, then the busiest. */
  readonly scopes: readonly ScopeStatistics[];
  /** The oldest first. */
  readonly chart: readonly HourStatistics[];
  /** At most 100; `total.stuck_count` says how many there are. */
  readonly stuck_keys: readonly StuckKey[];
  readonly upkeep: z.output<typeof Upkeep>;
  /** Empty without pg_cron. */
  readonly job_runs: readonly z.output<typeof JobRun>[];
}

/** How many scopes {@link readStatistics} tells unless it is told otherwise. */
export const SCOPES = 50;

/** What {@link readStatistics} reads. */
export interface StatisticsOptions extends RefreshOptions {
  /**
   * How many hours the sums span, at most 192.
   *
   * @default {24}
   */
  hours?: number;
  /**
   * How many hours the chart has, at most 192.
   *
   * @default {48}
   */
  hoursOfChart?: number;
  /**
   * Whose hours the chart has, and which scope comes first.
   *
   * @default {all scopes together}
   */
  scope?: string | null;
  /**
   * How many scopes, at most 1000.
   *
   * @default {50}
   */
  scopes?: number;
}

/** Counts what is new and reads what operators look at. */
export async function readStatistics(
  project: Project,
  {
    hours = 24,
    hoursOfChart = 48,
    scope = null,
    scopes: limit = SCOPES,
    ...refresh
  }: StatisticsOptions = {},
): Promise<Statistics> {
  const { asOf, behind } = await refreshStatistics(project, refresh);
  const [[total, ...scopes], chart, stuck_keys, [upkeep], job_runs] =
    await Promise.all([
      project.call("idempotency_scope_statistics", {
        p_hours: hours,
        p_limit: limit,
        p_scope: scope,
      }).then((rows) => z.tuple([Scope], Scope).parse(rows)),
      project.call("idempotency_hourly_statistics", {
        p_hours: hoursOfChart,
        p_scope: scope,
      }).then((rows) => z.array(Hour).parse(rows)),
      stuckKeys(project, 100),
      project.call("idempotency_upkeep")
        .then((rows) => z.tuple([Upkeep]).parse(rows)),
      project.call("idempotency_job_runs", { p_limit: 5 })
        .then((rows) => z.array(JobRun).parse(rows)),
    ]);
  const read = { total, scopes, chart, stuck_keys, upkeep, job_runs };
  return { as_of: asOf, behind, hours, ...read };
}
