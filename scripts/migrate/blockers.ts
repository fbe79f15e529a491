import { openSession, type Session } from "./session.ts";

const LOOK_EVERY_MS = 400;

const WHO = `
select a.pid, a.application_name as application, a.usename as role, a.state,
  floor(extract(epoch from clock_timestamp() - a.xact_start))::int as seconds
from unnest(pg_blocking_pids($1)) as b(pid)
join pg_catalog.pg_stat_activity as a on a.pid = b.pid`;

interface Blocker {
  pid: number;
  application: string;
  role: string;
  state: string;
  seconds: number | null;
}

/** Looks from a second session at whom the first one waits for. */
export interface BlockerWatch {
  /** Whom it last waited for, in words; null when for nobody. */
  last(): string | null;
  stop(): Promise<void>;
}

/** Watches a session while it waits. Failing to watch is no reason to fail. */
export function watchBlockers(url: string, session: Session): BlockerWatch {
  let last: string | null = null;
  let stopped = false;
  const wake = Promise.withResolvers<void>();
  const pauseOrStop = () =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, LOOK_EVERY_MS);
      wake.promise.then(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  const watching = (async () => {
    // Most files never wait: no connection before one has had the time to.
    await pauseOrStop();
    if (stopped) return;
    const watcher = await openSession(url);
    try {
      while (!stopped) {
        const blockers = await watcher.query<Blocker>(WHO, [session.pid]);
        if (blockers.length > 0) last = blockers.map(inWords).join(" and ");
        await pauseOrStop();
      }
    } finally {
      await watcher.close();
    }
  })().catch(() => {});
  return {
    last: () => last,
    stop: async () => {
      stopped = true;
      wake.resolve();
      await watching;
    },
  };
}

function inWords({ pid, application, role, state, seconds }: Blocker): string {
  return `pid ${pid} (${
    application || "unnamed"
  }, role ${role}, ${state}, in a transaction for ${
    seconds ?? 0
  } s; select pg_terminate_backend(${pid}) ends it)`;
}
