import type postgres from "postgres";
import { Tally } from "../trial.ts";

const CLEANUP_EVERY_MS = 3_000;
// Cleanup comes every few seconds here; a busy machine takes its time.
const MOST_LATE_SECONDS = 60;

/**
 * Does beside the traffic what runs by itself in a project, cleanup and
 * statistics, and looks at what operators look at, until it is over.
 */
export async function keepHouse(
  sql: postgres.Sql,
  isOver: () => boolean,
): Promise<Tally[]> {
  const views = new Tally("operators' views answer");
  const cleanup = new Tally("cleanup leaves nothing that expired long ago");
  const stuck = new Tally("no key of a living attempt is listed as stuck");
  do {
    await pause(CLEANUP_EVERY_MS, isOver);
    await sql`select public.cleanup_expired_idempotency_keys()`;
    await sql`select public.idempotency_refresh_statistics()`;
    const [upkeep] = await sql<[{ late: number | null }]>`
      select extract(epoch from clock_timestamp() - oldest_expired_at)::float8 as late
      from public.idempotency_upkeep()`;
    cleanup.count(
      (upkeep.late ?? 0) < MOST_LATE_SECONDS,
      () => `a key expired ${upkeep.late} s ago`,
    );
    const listed = await sql`
      select scope, idempotency_key from public.idempotency_stuck_keys()`;
    stuck.count(listed.length === 0, () => JSON.stringify(listed));
    for (const [name, look] of Object.entries(VIEWS)) {
      const error = await look(sql).then(() => null, (error) => error);
      views.count(error === null, () => `${name}: ${error}`);
    }
  } while (!isOver());
  return [views, cleanup, stuck];
}

const VIEWS: Record<
  string,
  (sql: postgres.Sql) => Promise<unknown>
> = {
  statistics: (sql) => sql`select * from public.v_idempotency_stats`,
  scopes: (sql) => sql`select * from public.idempotency_scope_statistics()`,
  hours: (sql) => sql`select * from public.idempotency_hourly_statistics()`,
  recent: (sql) => sql`select * from public.idempotency_recent_keys()`,
  status: (sql) =>
    sql`
      select s.* from public.idempotency_recent_keys(p_limit => 1) as k
      cross join lateral
        public.get_idempotency_status(k.idempotency_key, k.scope, k.owner) as s`,
};

async function pause(ms: number, isOver: () => boolean): Promise<void> {
  const until = performance.now() + ms;
  while (!isOver() && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
