import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import {
  BACKLOG_LIMIT,
  type DatabaseReport,
  type Health,
  healthOf,
  KEYS_LOOKED_AT,
  unhealthy,
} from "./health.ts";

// Uptime checks give up after 5 to 10 s; a database that takes 3 s to count to a
// thousand is not well.
const DEADLINE_MS = 3_000;

// What PostgREST and Postgres say where the function is not there.
const NOT_MIGRATED = new Set(["PGRST202", "42883", "42P01"]);

const Report = z.object({
  schema_version: z.string().nullable(),
  cleanup_status: z.string(),
  cleaned_up_at: z.coerce.date().nullable(),
  expired_keys: z.int(),
  stuck_keys: z.int(),
}).transform((report): DatabaseReport => ({
  schemaVersion: report.schema_version,
  cleanupStatus: report.cleanup_status,
  cleanedUpAt: report.cleaned_up_at,
  expiredKeys: report.expired_keys,
  stuckKeys: report.stuck_keys,
}));

/**
 * Asks the database how it is: one call, at most 3 s. Never throws for what the
 * database does or leaves undone, and tells nothing of what it said.
 *
 * @param supabase A client with the secret key.
 */
export async function checkHealth(
  supabase: SupabaseClient<Database>,
  deadlineMs = DEADLINE_MS,
): Promise<Health> {
  const startedAt = performance.now();
  const { data, error } = await supabase.rpc("health_report", {
    p_backlog_limit: BACKLOG_LIMIT,
    p_keys_looked_at: KEYS_LOOKED_AT,
  }).abortSignal(AbortSignal.timeout(deadlineMs));
  const durationMs = Math.round(performance.now() - startedAt);
  const seen = { durationMs, now: new Date() };
  if (error !== null) {
    return NOT_MIGRATED.has(error.code)
      ? unhealthy(
        "schema:version",
        "The migrations are not there: supabase db push, with --remote to the linked project",
        seen,
      )
      : unhealthy(
        "database:responseTime",
        "The database did not answer, or not in time",
        seen,
      );
  }
  const report = Report.safeParse(data);
  return report.success ? healthOf(report.data, seen) : unhealthy(
    "schema:version",
    "The database answers for another version of this function",
    seen,
  );
}

/**
 * Lets callers share a result: whoever asks while it is being found out, or
 * within `reusedMs` after, gets the same. An error is shared, not kept.
 *
 * @param reusedMs How long a result is good for, in ms.
 */
export function recently<Input, Output>(
  findOut: (input: Input) => Promise<Output>,
  reusedMs: number,
  now: () => number = () => performance.now(),
): (input: Input) => Promise<Output> {
  let latest: Promise<Output> | undefined;
  let goodUntil = 0;

  const find = async (input: Input): Promise<Output> => {
    goodUntil = Infinity;
    try {
      const result = await findOut(input);
      goodUntil = now() + reusedMs;
      return result;
    } catch (error) {
      goodUntil = 0;
      throw error;
    }
  };

  return (input) => {
    if (latest === undefined || now() >= goodUntil) latest = find(input);
    return latest;
  };
}
