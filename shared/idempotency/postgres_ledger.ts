import { inTime, type Ledger, placeOf } from "./ledger.ts";
import {
  type CallOutcome,
  isSqlState,
  passesWithTime,
  sqlLedger,
  TRY_MS,
} from "./sql_ledger.ts";

/**
 * What the ledger needs of postgres.js: its `Sql`, or the transaction that
 * `sql.begin` gives, fits without a cast.
 */
export interface PostgresClient {
  /** Runs a statement; with `prepare`, as a named prepared one. */
  unsafe(
    statement: string,
    parameters: (string | number | boolean | null)[],
    options: { prepare: true },
  ): PromiseLike<readonly unknown[]>;
  /** What a client has and a transaction has not. */
  readonly begin?: unknown;
  /** What a reserved connection has and a transaction has not. */
  readonly release?: unknown;
}

/** What the ledger needs of a pool of `pg`, which fits without a cast. */
export interface PostgresPool {
  /** Runs a statement as a named prepared one. */
  query(
    statement: { name: string; text: string; values: unknown[] },
  ): PromiseLike<{ rows: unknown[] }>;
  /** What a pool has and a client has not, which may be in a transaction. */
  readonly totalCount: number;
}

/**
 * What the ledger needs of `@supabase/server`'s `ctx.postgres` (calls go out as
 * the caller) and `ctx.postgresAdmin` (as the connection's role). Behind a
 * pooler in transaction mode, which keeps no named statements, a pool of `pg`
 * becomes one in a line:
 * `{ queryRaw: async (text, params) => (await pool.query(text, params)).rows }`.
 * A client in a transaction does not: calls are sent again, and limit its locks.
 * Make that one once, not for each request: by it a database is known as down.
 */
export interface QueryClient {
  /** Runs a statement with its parameters apart. */
  queryRaw(statement: string, params: unknown[]): PromiseLike<unknown[]>;
}

/**
 * The ledger over a direct Postgres connection: one prepared statement, and so
 * one trip, for each transition. It acts as the role of the connection; the
 * owner of the tables and the service role may name any user.
 *
 * Given the transaction of `sql.begin`, claim, effect and completion are
 * committed together, or not at all: an attempt that fails, also by an answer
 * that is not final, ends it. It is over with its first error, so there no call
 * is sent again: send all of it again. Replays in it are in no statistics.
 *
 * Leave the client's names of columns as they are (no `transform`). Give
 * postgres.js `backoff: () => 0.5` (in s): its own grows to 20 s, and an answer
 * is not recorded while it waits.
 *
 * @throws {TypeError} When it is no such client.
 * @throws {LedgerUnavailableError} From each method, when the database could
 * not be reached; worth another try later.
 * @throws {LedgerMisconfiguredError} From each method, when the database
 * refused the call: the role may not, or the migration is missing.
 *
 * @example
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import postgres from "postgres";
 * import { LedgerUnavailableError } from "./errors.ts";
 * import { postgresLedger } from "./postgres_ledger.ts";
 *
 * const sql = postgres("postgres://postgres@127.0.0.1:9/postgres");
 * const ledger = postgresLedger(sql);
 * await assertRejects(
 *   () => ledger.read({ userId: null, scope: "orders", key: "order-17" }),
 *   LedgerUnavailableError,
 * );
 * ```
 */
export function postgresLedger(
  client: PostgresClient | PostgresPool | QueryClient,
): Ledger {
  if (
    !("queryRaw" in client || "unsafe" in client || "totalCount" in client)
  ) {
    throw new TypeError(
      "Cannot keep a ledger over this client: expected the sql of postgres.js, a pool of pg, or what has a queryRaw(text, values) that gives rows",
    );
  }
  const run = runnerOf(client);
  const isTransaction = "unsafe" in client && !("begin" in client);

  const ledger = sqlLedger(async (fn, args, withinMs) => {
    const statement = statementOf(fn, args, !isTransaction);
    const { names } = statement;
    const values = names.map((name) => {
      const value = args[name];
      return JSON_PARAMETERS.has(name) && value !== null
        ? JSON.stringify(value)
        : value as Value;
    });
    try {
      // In a transaction a duplicate waits for the other one to commit, and a
      // call that is given up here would still take effect in it.
      const answer = run(statement, values);
      const rows = await (isTransaction ? answer : inTime(answer, withinMs));
      return { data: fn in SETS ? rows : answerOf(rows[0]), error: null };
    } catch (error) {
      return failure(error);
    }
  }, isTransaction ? { retries: false } : calledBy(client));
  if (!isTransaction) return ledger;
  // Sent a second later, they would find somebody else's transaction on the
  // connection.
  const { countReplays: _, ...held } = ledger;
  return "release" in client ? held : allOrNothing(held, client);
}

function runnerOf(client: PostgresClient | PostgresPool | QueryClient) {
  return ({ name, text }: Statement, values: Value[]) => {
    if ("queryRaw" in client) return client.queryRaw(text, values);
    // The client's own `prepare: false`, for a pooler in transaction mode,
    // outweighs this.
    if ("unsafe" in client) {
      return client.unsafe(text, values, { prepare: true });
    }
    return client.query({ name, text, values }).then(({ rows }) => rows);
  };
}

/**
 * Ends a transaction in which an attempt failed: what the attempt did would
 * commit with its failure, and the next attempt would do it again.
 */
function allOrNothing(ledger: Ledger, client: PostgresClient): Ledger {
  const claimed = new Set<string>();
  const refused = new Set<string>();
  const endIfOne = async (failed: readonly { ownerToken: string }[]) => {
    if (!failed.some(({ ownerToken }) => claimed.has(ownerToken))) return;
    await client.unsafe(END_TRANSACTION, [], { prepare: true });
  };
  return {
    ...ledger,
    // Nobody sees its lease before it commits; duplicates wait for the row.
    renew: () => Promise.resolve({ outcome: "recorded" }),
    async claim(identity, terms) {
      const { ownerToken } = terms;
      try {
        const result = await ledger.claim(identity, terms);
        if ("fence" in result) claimed.add(ownerToken);
        return result;
      } catch (error) {
        refused.add(ownerToken);
        throw error;
      }
    },
    async claimMany(userId, scope, requests, terms) {
      const results = await ledger.claimMany!(userId, scope, requests, terms);
      results.forEach((result, n) => {
        if ("fence" in result) claimed.add(requests[n]!.ownerToken);
      });
      return results;
    },
    async fail(identity, ownerToken, ...rest) {
      // Nothing is to be given back: with that error the transaction was over.
      if (refused.has(ownerToken)) return { outcome: "lost" };
      await endIfOne([{ ownerToken }]);
      return await ledger.fail(identity, ownerToken, ...rest);
    },
    async settleMany(userId, scope, settlements, ttlSeconds) {
      await endIfOne(settlements.filter((ended) => "failure" in ended));
      return await ledger
        .settleMany!(userId, scope, settlements, ttlSeconds);
    },
  };
}

const END_TRANSACTION = `do $$ begin
  raise exception 'Cannot commit this transaction: an attempt in it threw or gave an answer that is not final, and what it did would be done again by the next one'
    using hint = 'Throw what the caller has to be told, and answer outside of the transaction.';
end $$`;

/**
 * The database that a client calls, as far as it is known. `@supabase/server`
 * makes a client for each request, all on SUPABASE_DB_URL: what is known of its
 * health must outlive them. They alone have `query` and `queryRaw`; of pools
 * there may be two.
 */
function calledBy(
  client: PostgresClient | PostgresPool | QueryClient,
): { place?: string; health: string | object } {
  return "queryRaw" in client && "query" in client
    ? { health: "the database of the pipeline's context" }
    : { place: placeOf(client), health: client };
}

type Value = string | number | boolean | null;

// What the functions give that answer with other than one idempotency_answer.
// Drivers read a bigint as a string; a double holds 2^53 fences.
const BATCH_ANSWER =
  "outcome, attempt, fence::float8 as fence, retry_after_seconds, status_code, response, response_encoding, response_headers, steps, error_code, error_message";
const SETS: Readonly<Record<string, string>> = {
  cleanup_expired_idempotency_keys:
    "cleanup_expired_idempotency_keys::float8 as deleted",
  get_idempotency_status:
    "status, attempt, is_stuck, is_expired, status_code, response, response_encoding, response_headers, created_at, claimed_at, completed_at, expires_at, finished_steps",
  idempotency_claim_many: BATCH_ANSWER,
  idempotency_count_replays: "true as counted",
  idempotency_notify: "true as notified",
  idempotency_settle_many: BATCH_ANSWER,
};

/** The answer of a transition: of its function, or as the look-up found it. */
function answerOf(row: unknown): unknown {
  const { answer } = row as { answer: unknown };
  return answer ?? { ...row as object, outcome: "replay" };
}

const JSON_PARAMETERS = new Set([
  "p_metadata",
  "p_requests",
  "p_response_headers",
  "p_result",
  "p_settlements",
]);

// The server gives up waiting for a lock before this side gives up waiting for
// the server: what it answers is certain, and its connection is free again.
const LOCK_MARGIN_MS = 400;
const RECORDS = new Set([
  "idempotency_checkpoint",
  "idempotency_complete",
  "idempotency_fail",
  "idempotency_settle_many",
]);

/** A statement, and the parameters that it takes, in their order. */
interface Statement {
  /** To the server: no other statement's, whoever else uses the connection. */
  readonly name: string;
  readonly text: string;
  readonly names: readonly string[];
}

const statements = new Map<string, Statement>();

// A route's terms are few; whoever makes them anew for each key sends them as
// parameters instead of filling the server with prepared statements.
const MOST_STATEMENTS = 100;

/**
 * @param isBounded Whether the statement limits its own waiting for locks. The
 * limit ends with the statement's transaction, so one of the user's own must
 * not get it.
 */
function statementOf(
  fn: string,
  args: Readonly<Record<string, unknown>>,
  isBounded: boolean,
): Statement {
  const {
    p_lease_seconds: lease,
    p_ttl_seconds: ttl,
    p_on_abandoned: policy,
    p_max_attempts: most,
    p_third_party: isForeign,
    p_metadata: metadata,
  } = args;
  // Each by its type: what is written must not be able to say anything else.
  const isPlain = Number.isSafeInteger(lease) && Number.isSafeInteger(ttl) &&
    (policy === "retry" || policy === "refuse") &&
    Number.isSafeInteger(most) && typeof isForeign === "boolean";
  const general = `${fn} ${isBounded}`;
  // What a route always sends alike is part of the text: that is parsed and
  // planned once, a parameter travels each time.
  const own = isPlain
    ? `${general} ${lease},${ttl},${policy},${most},${isForeign},${
      metadata === null
    }`
    : general;
  const known = statements.get(own);
  if (known !== undefined) return known;
  const isWritten = isPlain && statements.size < MOST_STATEMENTS;
  const name = isWritten ? own : general;
  const statement = statements.get(name) ?? {
    name: `idempotency_${crypto.randomUUID()}`,
    ...write(fn, args, isBounded, isWritten),
  };
  statements.set(name, statement);
  return statement;
}

const TERMS = new Set([
  "p_lease_seconds",
  "p_max_attempts",
  "p_on_abandoned",
  "p_third_party",
  "p_ttl_seconds",
]);

function write(
  fn: string,
  args: Readonly<Record<string, unknown>>,
  isBounded: boolean,
  isWritten: boolean,
): Omit<Statement, "name"> {
  const names: string[] = [];
  const place = (name: string) => {
    if (!names.includes(name)) names.push(name);
    return `$${names.indexOf(name) + 1}`;
  };
  const lockMs = TRY_MS[RECORDS.has(fn) ? "record" : "ask"] - LOCK_MARGIN_MS;
  const valueOf = (name: string, value: unknown) => {
    const isTerm = TERMS.has(name) || name === "p_metadata" && value === null;
    if (isTerm && isWritten) {
      return typeof value === "string" ? `'${value}'` : String(value);
    }
    const parameter = place(name);
    // As text: one driver writes a list as an array of Postgres, not as JSON.
    if (JSON_PARAMETERS.has(name)) return `${parameter}::text::jsonb`;
    if (name !== "p_scope" || !isBounded) return parameter;
    // Arguments come before the call, whatever the planner makes of it; a
    // second statement would be a second trip.
    return `case when set_config('lock_timeout', '${lockMs}', true) <> '' then ${parameter}::text end`;
  };
  const list = Object.entries(args)
    .map(([name, value]) => `${name} => ${valueOf(name, value)}`);
  const call = `public.${fn}(${list.join(", ")})`;
  if (fn in SETS) return { text: `select ${SETS[fn]} from ${call}`, names };
  if (fn !== "idempotency_claim") {
    return { text: `select row_to_json(${call}) as answer`, names };
  }
  // Where an answer is recorded, the claim is not even called: such a replay
  // costs little more than reading the row, and the claim would say the same.
  const text =
    `select k.status_code::integer as status_code, k.response, k.response_encoding, k.response_headers,
  case when k.owner is null then row_to_json(${call}) end as answer
from (values (1)) as one
left join public.idempotency_keys as k
  on k.owner = ${place("p_owner")} and k.scope = ${place("p_scope")}
  and k.idempotency_key = ${place("p_idempotency_key")}
  and k.request_fingerprint = ${place("p_fingerprint")}
  and k.status = 'completed' and k.expires_at > clock_timestamp()`;
  return { text, names };
}

/**
 * Whatever has no SQLSTATE comes from the driver or the network: try again. All
 * that Supabase's pooler has to say, such as that no connection is left or that
 * the database restarts, is XX000, and ends the session; an internal error of
 * Postgres ends the statement.
 */
function failure(error: unknown): CallOutcome {
  const { code = "", severity_local, severity = severity_local } = error as {
    code?: string;
    severity?: string;
    severity_local?: string;
  };
  const message = error instanceof Error ? error.message : String(error);
  return {
    error: { message, code },
    isTransient: !isSqlState(code) || passesWithTime(code) ||
      code === "XX000" && severity === "FATAL",
  };
}
