import { setTimeout } from "node:timers/promises";
import pg from "pg";
import {
  adviceFor,
  codeOf,
  MigrationRefusedError,
  RunnerBusyError,
  sqlStateOf,
  StatementError,
} from "./errors.ts";
import { MIGRATION_LOCK, type RunQuery } from "./history.ts";
import type { Options } from "./options.ts";
import type { Statement } from "./statements.ts";
import { NO_DATABASE_URL } from "../project.ts";

/** One connection to the server, and one session there for as long as it lasts. */
export interface Session extends AsyncDisposable {
  /** @internal The driver's, whose types nobody has to have. */
  client: pg.Client;
  /** Process id of the session on the server. */
  pid: number;
  query: RunQuery;
  /** Whether the connection is gone. */
  lost(): boolean;
  close(): Promise<void>;
}

/** Shown in `pg_stat_activity`, and so to whoever has to wait for us. */
const APPLICATION_NAME = "deno task migrate";

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Connects; with TLS, unless the server is on this machine or the URL says
 * `sslmode=disable`.
 *
 * @param onNotice Receives what `raise notice` and `raise warning` say.
 * @throws {MigrationRefusedError} when there is no such database to be reached
 */
export async function openSession(
  given: string,
  onNotice: (message: string) => void = () => {},
): Promise<Session> {
  const url = URL.parse(given);
  if (url?.protocol !== "postgres:" && url?.protocol !== "postgresql:") {
    throw new MigrationRefusedError(NO_DATABASE_URL);
  }
  const here = ["127.0.0.1", "localhost", "[::1]", ""].includes(url.hostname);
  if (!url.searchParams.has("sslmode")) {
    url.searchParams.set("sslmode", here ? "disable" : "require");
  }
  // Otherwise the driver takes `require` for `verify-full`, which libpq does not.
  url.searchParams.set("uselibpqcompat", "true");
  const client = new pg.Client({
    connectionString: url.href,
    application_name: APPLICATION_NAME,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
  });
  let lost = false;
  // Without a listener a lost connection would end the process.
  client.on("error", () => lost = true);
  client.on("end", () => lost = true);
  client.on("notice", ({ severity, message }: pg.NoticeMessage) => {
    if (severity !== "DEBUG") onNotice(`${severity}: ${message}`);
  });
  const query: RunQuery = async <T>(text: string, params?: unknown[]) =>
    ((await client.query(text, params)).rows ?? []) as T[];
  const close = async () => await client.end().catch(() => {});
  try {
    await client.connect();
    const [about] = await query<{ pid: number }>(
      "select pg_backend_pid() as pid",
    );
    return {
      client,
      pid: about!.pid,
      query,
      lost: () => lost,
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    const message = (error as Error).message || codeOf(error);
    throw new MigrationRefusedError(
      `Cannot connect to ${
        url.pathname.slice(1) || "postgres"
      } at ${url.host}: ${message}${
        /does not support SSL/.test(`${message}`) ? "; ?sslmode=disable" : ""
      }`,
      { cause: error },
    );
  }
}

/**
 * Runs `work` in a transaction; any error rolls it back.
 *
 * @throws also where the server answers the commit with a rollback
 */
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
  const end = options.end ?? "commit";
  const { command } = await session.client.query(end);
  // What it says to the commit of a transaction in which a statement failed.
  if (end === "commit" && command === "ROLLBACK") {
    throw new Error(
      "Cannot commit: the server rolled it back, because a statement in it failed whose error was caught; let the error through, or use a savepoint",
    );
  }
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

const POLL_MS = 250;

const MINE =
  "locktype = 'advisory' and granted and objsubid = 1 and ((classid::bigint << 32) | objid::bigint) = $1::bigint";

/** Who holds the lock, in words; null when nobody does. */
export async function lockHolder({ query }: Session): Promise<string | null> {
  const [holder] = await query<{ words: string }>(
    `select format('pid %s (%s, role %s, from %s, connected for %s s)', a.pid,
       coalesce(nullif(a.application_name, ''), 'unnamed'), a.usename,
       coalesce(host(a.client_addr), 'the server itself'),
       floor(extract(epoch from clock_timestamp() - a.backend_start))) as words
     from pg_catalog.pg_locks as l
     join pg_catalog.pg_stat_activity as a on a.pid = l.pid
     where ${MINE}
       and l.database = (select oid from pg_catalog.pg_database where datname = current_database())`,
    [MIGRATION_LOCK],
  );
  return holder?.words ?? null;
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
    await setTimeout(Math.min(POLL_MS, Math.max(1, deadline - Date.now())));
  }
}

/**
 * Makes sure, inside a transaction, that the lock is this session's. It is not
 * behind a pooler that gives each transaction another session.
 */
export async function assertLocked(session: Session): Promise<void> {
  const [row] = await session.query<{ held: boolean }>(
    `select exists (select from pg_catalog.pg_locks where ${MINE} and pid = pg_backend_pid()) as held`,
    [MIGRATION_LOCK],
  );
  if (row?.held) return;
  throw new RunnerBusyError(
    "The lock that keeps two runners apart is not held by this session. Does the connection go through a pooler in transaction mode (port 6543)? Use the direct connection or session mode (port 5432)",
  );
}

/** Opens a session that holds the lock. */
export async function lockedSession(options: Options): Promise<Session> {
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
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}

/**
 * Runs the statements of a file in their order.
 *
 * @param onDone Is told which one is done, from 1, and what it gave.
 * @throws {StatementError} with file, line, SQLSTATE and what to do
 */
export async function runStatements(
  { query }: Session,
  file: string,
  statements: readonly Statement[],
  onDone: (number: number, rows: Record<string, unknown>[]) => void = () => {},
): Promise<void> {
  for (const [index, statement] of statements.entries()) {
    let rows: Record<string, unknown>[];
    try {
      rows = await query(statement.text);
    } catch (error) {
      throw placedError(file, index + 1, statement, error);
    }
    onDone(index + 1, rows);
  }
}

function placedError(
  file: string,
  number: number,
  statement: Statement,
  error: unknown,
): StatementError {
  const { message, position, detail, hint, where } = error as pg.DatabaseError;
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
  return new StatementError(state, text, error);
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
