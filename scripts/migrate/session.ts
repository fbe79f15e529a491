import pg from "pg";
import type { RunQuery } from "../stack/database.ts";
import { MigrationRefusedError, sqlStateOf } from "./errors.ts";

/** One connection to the server, and one session there for as long as it lasts. */
export interface Session {
  client: pg.Client;
  /** Process id of the session on the server. */
  pid: number;
  /** Major version of the server. */
  serverVersion: number;
  query: RunQuery;
  /** Whether the connection is gone. */
  lost(): boolean;
  close(): Promise<void>;
}

/** Shown in `pg_stat_activity`, and so to whoever has to wait for us. */
export const APPLICATION_NAME = "deno task migrate";

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Connects. Like libpq, tries TLS first where the URL does not say and the
 * server is not on this machine.
 *
 * @param onNotice Receives what `raise notice` and `raise warning` say.
 * @throws {MigrationRefusedError} when there is no such database to be reached
 */
export async function openSession(
  url: string,
  onNotice: (message: string) => void = () => {},
): Promise<Session> {
  const attempts = connectionStrings(url);
  for (const connectionString of attempts) {
    const client = new pg.Client({
      connectionString,
      application_name: APPLICATION_NAME,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
    });
    try {
      return await startSession(client, onNotice);
    } catch (error) {
      await client.end().catch(() => {});
      const noTls = /does not support SSL/.test((error as Error).message);
      if (noTls && connectionString !== attempts.at(-1)) continue;
      const { host, pathname } = new URL(url);
      throw new MigrationRefusedError(
        `Cannot connect to ${pathname.slice(1) || "postgres"} at ${host}: ${
          (error as Error).message || (error as { code?: string }).code
        }`,
        { cause: error },
      );
    }
  }
  throw new Error("unreachable: there is at least one attempt");
}

async function startSession(
  client: pg.Client,
  onNotice: (message: string) => void,
): Promise<Session> {
  let lost = false;
  // Without a listener a lost connection would end the process.
  client.on("error", () => lost = true);
  client.on("end", () => lost = true);
  client.on("notice", ({ severity, message }: pg.NoticeMessage) => {
    if (severity !== "DEBUG") onNotice(`${severity}: ${message}`);
  });
  await client.connect();
  const query: RunQuery = async <T>(text: string, params?: unknown[]) => {
    const result = params === undefined
      ? await client.query(text)
      : await client.query(text, params);
    return (result.rows ?? []) as T[];
  };
  const [about] = await query<{ pid: number; version: number }>(
    "select pg_backend_pid() as pid, current_setting('server_version_num')::int / 10000 as version",
  );
  return {
    client,
    pid: about!.pid,
    serverVersion: about!.version,
    query,
    lost: () => lost,
    close: async () => await client.end().catch(() => {}),
  };
}

function connectionStrings(given: string): string[] {
  const url = URL.parse(given);
  if (url?.protocol !== "postgres:" && url?.protocol !== "postgresql:") {
    // Never the whole of it: it may hold a password.
    throw new MigrationRefusedError(
      "Cannot use the database URL: expected postgresql://user@host:port/database",
    );
  }
  const withMode = (mode: string) => {
    const copy = new URL(url);
    copy.searchParams.set("sslmode", mode);
    // Otherwise the driver takes `require` for `verify-full`, which libpq does not.
    copy.searchParams.set("uselibpqcompat", "true");
    return copy.href;
  };
  const mode = url.searchParams.get("sslmode");
  if (mode !== null && mode !== "prefer") return [withMode(mode)];
  const here = ["127.0.0.1", "localhost", "[::1]", ""].includes(url.hostname);
  return here ? [withMode("disable")] : [
    withMode("require"),
    withMode("disable"),
  ];
}

/** Runs `work` in a transaction; any error rolls it back. */
export async function inTransaction<T>(
  session: Session,
  work: () => Promise<T>,
  options: { begin?: string; end?: "commit" | "rollback" } = {},
): Promise<T> {
  await session.query(options.begin ?? "begin");
  let result: T;
  try {
    result = await work();
  } catch (error) {
    if (!session.lost()) await session.query("rollback").catch(() => {});
    throw error;
  }
  await session.query(options.end ?? "commit");
  return result;
}

/** Whether the error, or what caused it, means that the connection is gone. */
export function isConnectionLoss(session: Session, error: unknown): boolean {
  if (session.lost()) return true;
  for (let each = error; each instanceof Error; each = each.cause) {
    if (/^(08|57P)/.test(sqlStateOf(each) ?? "")) return true;
  }
  return false;
}

/** Waits. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
