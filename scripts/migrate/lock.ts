import { RunnerBusyError } from "./errors.ts";
import { MIGRATION_LOCK } from "./lock_key.ts";
import { pause, type Session } from "./session.ts";

const POLL_MS = 250;

const HOLDER = `
select a.pid, a.application_name as application, a.usename as role,
  coalesce(host(a.client_addr), 'the server itself') as address,
  floor(extract(epoch from clock_timestamp() - a.backend_start))::int as seconds
from pg_catalog.pg_locks as l
join pg_catalog.pg_stat_activity as a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted
  and ((l.classid::bigint << 32) | l.objid::bigint) = $1::bigint and l.objsubid = 1
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())`;

interface Holder {
  pid: number;
  application: string;
  role: string;
  address: string;
  seconds: number;
}

/** Who holds the lock, in words; null when nobody does. */
export async function lockHolder(session: Session): Promise<string | null> {
  const [holder] = await session.query<Holder>(HOLDER, [MIGRATION_LOCK]);
  if (holder === undefined) return null;
  const { pid, application, role, address, seconds } = holder;
  return `pid ${pid} (${
    application || "unnamed"
  }, role ${role}, from ${address}, connected for ${seconds} s)`;
}

/**
 * Takes the lock for this session. It is held by the session that also runs the
 * migrations: a runner that is killed or cut off loses both at once.
 *
 * @param waitMs How long to wait for another runner, in milliseconds.
 * @throws {RunnerBusyError} naming who holds it
 */
export async function takeLock(
  session: Session,
  waitMs: number,
  onWait: (holder: string) => void = () => {},
): Promise<void> {
  const deadline = Date.now() + waitMs;
  for (let told = false;; told = true) {
    const [row] = await session.query<{ taken: boolean }>(
      "select pg_try_advisory_lock($1::bigint) as taken",
      [MIGRATION_LOCK],
    );
    if (row?.taken) return;
    const holder = await lockHolder(session) ?? "a session that just ended";
    if (Date.now() >= deadline) {
      throw new RunnerBusyError(
        `Another runner is migrating this database: ${holder}. Waited ${
          Math.round(waitMs / 1000)
        } s for it; run this again when it is done`,
      );
    }
    if (!told) onWait(holder);
    await pause(Math.min(POLL_MS, Math.max(1, deadline - Date.now())));
  }
}

/**
 * Makes sure, inside a transaction, that the lock is this session's. It is not
 * behind a pooler that gives each transaction another session.
 */
export async function assertLocked(session: Session): Promise<void> {
  const [row] = await session.query<{ held: boolean }>(
    `select exists (
       select from pg_catalog.pg_locks
       where locktype = 'advisory' and granted and pid = pg_backend_pid() and objsubid = 1
         and ((classid::bigint << 32) | objid::bigint) = $1::bigint
     ) as held`,
    [MIGRATION_LOCK],
  );
  if (row?.held) return;
  throw new RunnerBusyError(
    "The lock that keeps two runners apart is not held by this session. Does the connection go through a pooler in transaction mode (port 6543)? Use the direct connection or session mode (port 5432)",
  );
}
