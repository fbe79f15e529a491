/** How well something is: `warn` still works and wants somebody to look. */
export type Verdict = "pass" | "warn" | "fail";

/** One thing that was looked at. */
export interface HealthCheck {
  readonly status: Verdict;
  /** What was found, where it is a figure, a version or a time. */
  readonly observedValue?: number | string | null;
  readonly observedUnit?: string;
  /** What it means, for whoever is woken by it. */
  readonly output?: string;
  /** When it was looked at, ISO 8601. */
  readonly time: string;
}

/** How well the whole is, by name of what was looked at. */
export interface Health {
  readonly status: Verdict;
  readonly checks: Readonly<Record<string, HealthCheck>>;
}

/** What the database tells about itself. */
export interface DatabaseReport {
  /** The newest migration; `null` where nobody keeps the books. */
  readonly schemaVersion: string | null;
  /**
   * Of the last run; `never` where none is known, `overdue` where keys wait for one
   * all the same, `unknown` where cleanup is not run by pg_cron.
   */
  readonly cleanupStatus: string;
  readonly cleanedUpAt: Date | null;
  /** At most {@link BACKLOG_LIMIT}. */
  readonly expiredKeys: number;
  /** Among the newest {@link KEYS_LOOKED_AT}. */
  readonly stuckKeys: number;
}

/** Expired keys are counted up to here: more is no other news. */
export const BACKLOG_LIMIT = 1_000;

/** Stuck keys are looked for among so many of the newest. */
export const KEYS_LOOKED_AT = 10_000;

// The job runs each hour; one run may fail.
const MAX_CLEANUP_AGE_MS = 3 * 3_600_000;

/** Judges what the database told. */
export function healthOf(
  report: DatabaseReport,
  { durationMs, now }: { durationMs: number; now: Date },
): Health {
  const time = now.toISOString();
  const checks: Record<string, HealthCheck> = {
    "database:responseTime": {
      status: "pass",
      observedValue: durationMs,
      observedUnit: "ms",
      time,
    },
    "schema:version": schemaCheck(report, time),
    "cleanup:lastRun": cleanupCheck(report, now),
    "idempotencyKeys:expired": {
      ...warnIf(
        report.expiredKeys >= BACKLOG_LIMIT,
        `${BACKLOG_LIMIT} expired keys or more wait for cleanup: see that it runs`,
      ),
      observedValue: report.expiredKeys,
      observedUnit: "keys",
      time,
    },
    "idempotencyKeys:stuck": {
      ...warnIf(
        report.stuckKeys > 0,
        `Of the newest ${KEYS_LOOKED_AT} keys some were left by attempts that ended without a word: see deno task keys`,
      ),
      observedValue: report.stuckKeys,
      observedUnit: "keys",
      time,
    },
  };
  return { status: worst(Object.values(checks)), checks };
}

/** The health of a database that did not tell. */
export function unhealthy(
  failed: "database:responseTime" | "schema:version",
  output: string,
  { durationMs, now }: { durationMs: number; now: Date },
): Health {
  const time = now.toISOString();
  const responseTime = {
    observedValue: durationMs,
    observedUnit: "ms",
    time,
  } as const;
  return {
    status: "fail",
    checks: failed === "database:responseTime"
      ? { [failed]: { status: "fail", output, ...responseTime } }
      : {
        "database:responseTime": { status: "pass", ...responseTime },
        [failed]: { status: "fail", output, time },
      },
  };
}

function schemaCheck(
  { schemaVersion }: DatabaseReport,
  time: string,
): HealthCheck {
  return {
    ...warnIf(
      schemaVersion === null,
      "No migration is recorded: nobody can tell which are applied",
    ),
    observedValue: schemaVersion,
    time,
  };
}

function cleanupCheck(
  { cleanupStatus, cleanedUpAt }: DatabaseReport,
  now: Date,
): HealthCheck {
  const time = now.toISOString();
  if (cleanupStatus === "unknown") {
    return {
      status: "pass",
      observedValue: null,
      output: "Not run by pg_cron, so not known here",
      time,
    };
  }
  const age = now.getTime() - (cleanedUpAt?.getTime() ?? -Infinity);
  return {
    ...(cleanupStatus === "never"
      // A new project has to wait for the hour to strike.
      ? { status: "pass" as const, output: "Has not run yet" }
      : warnIf(
        cleanupStatus !== "succeeded" || age > MAX_CLEANUP_AGE_MS,
        "The job cleanup-expired-idempotency-keys failed, or has not run for three hours",
      )),
    observedValue: cleanedUpAt?.toISOString() ?? null,
    time,
  };
}

function warnIf(
  isWorth: boolean,
  output: string,
): Pick<HealthCheck, "status" | "output"> {
  return isWorth ? { status: "warn", output } : { status: "pass" };
}

function worst(checks: readonly HealthCheck[]): Verdict {
  return checks.some(({ status }) => status === "warn") ? "warn" : "pass";
}
