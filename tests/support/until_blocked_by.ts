import type postgres from "postgres";

const EVERY_MS = 25;
const TRIES = 200;

/** Waits until a session waits for a lock that another one holds. */
export async function untilBlockedBy(
  sql: postgres.Sql,
  pid: number,
): Promise<void> {
  for (let tried = 0; tried < TRIES; tried++) {
    const blocked = await sql`select from pg_stat_activity
      where ${pid} = any (pg_blocking_pids(pid))`;
    if (blocked.length > 0) return;
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
  throw new Error(`No session has come to wait for session ${pid}`);
}
