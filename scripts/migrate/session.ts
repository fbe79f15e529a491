import pg from "pg";
import type { RunQuery } from "../stack/database.ts";
import type { ResolvedOptions } from "./arguments.ts";
import {
  adviceFor,
  MigrationRefusedError,
  RunnerBusyError,
  sqlStateOf,
  StatementError,
} from "./errors.ts";
import { MIGRATION_LOCK } from "./history.ts";
import type { Statement } from "./statements.ts";

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
const APPLICATION_NAME = "deno task migrate";

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

/** Runs `work` in a session that holds the lock, and ends the session. */
export async function withLockedSession<T>(
  options: ResolvedOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { databaseUrl, waitMs, log } = options;
  const session = await openSession(
    databaseUrl,
    (notice) => log(`           ${notice}`),
  );
  try {
    await takeLock(
      session,
      waitMs,
      (holder) => log(`waiting    for another runner: ${holder}`),
    );
    return await work(session);
  } finally {
    await session.close();
  }
}

/** A statement and where it stands. */
export interface PlacedStatement {
  file: string;
  statement: Statement;
  /** Which of the file's statements it is, from 1. */
  number: number;
}

/**
 * Runs one statement of a file.
 *
 * @throws {StatementError} with file, line, SQLSTATE and what to do
 */
export async function runStatement<T>(
  session: Session,
  placed: PlacedStatement,
): Promise<T[]> {
  try {
    return await session.query<T>(placed.statement.text);
  } catch (error) {
    throw placedError(placed, error);
  }
}

function placedError(
  { file, statement, number }: PlacedStatement,
  error: unknown,
): StatementError {
  const { message, position, detail, hint, where } = error as {
    message: string;
    position?: string;
    detail?: string;
    hint?: string;
    where?: string;
  };
  const line = statement.line + linesBefore(statement.text, position);
  const state = sqlStateOf(error);
  const advice = adviceFor(error);
  const text = [
    `${file}, statement ${number}, line ${line}: ${message}${
      state === undefined ? "" : ` (SQLSTATE ${state})`
    }`,
    `  statement: ${firstLine(statement.text)}`,
    detail && `  detail: ${detail}`,
    hint && `  hint: ${hint}`,
    where && `  where: ${where.split("\n").join(", ")}`,
    advice && `  what to do: ${advice}`,
  ].filter(Boolean).join("\n");
  return new StatementError(
    { file, statement: number, line },
    state,
    text,
    error,
  );
}

/** The server counts characters from 1, and says nothing about runtime errors. */
function linesBefore(text: string, position: string | undefined): number {
  const until = position === undefined
    ? text.length - withoutComments(text).length
    : Number(position) - 1;
  return [...text].slice(0, until).filter((each) => each === "\n").length;
}

function withoutComments(text: string): string {
  return text.replace(/^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/, "");
}

function firstLine(text: string): string {
  const line = withoutComments(text).split("\n")[0]!;
  return line.length > 100 ? `${line.slice(0, 99)}…` : line;
}

/** Starts a clock; what it returns tells the time since, for a person. */
export function timed(): () => string {
  const start = performance.now();
  return () => `${((performance.now() - start) / 1000).toFixed(2)} s`;
}
