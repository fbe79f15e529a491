import postgres from "postgres";
import {
  type Ledger,
  type OperationRun,
  postgresLedger,
  withIdempotency,
} from "../../../shared/idempotency.ts";
import {
  type Answer,
  type Identity,
  identityName,
} from "../../../shared/idempotency/ledger.ts";
import { redisLedger } from "../../../shared/idempotency/redis_ledger.ts";
import {
  isSqlState,
  passesWithTime,
} from "../../../shared/idempotency/sql_ledger.ts";

/**
 * Four ways to have an effect, by what may be claimed of it when a process or a
 * server is taken away at any moment:
 *
 * - `transaction`: claim, effect and completion commit together. Exactly once.
 * - `steps`: the effect is a provider's, which is handed the step's derived key
 *   and honours it. It may be called again until the step is kept, and does it
 *   exactly once.
 * - `refuse`: a provider that ignores keys, on a route that does not guess. At
 *   most once; a key whose outcome is unknown waits for an operator.
 * - `retry`: the same on a route that retries. Once an attempt: an attempt that
 *   was killed, or lost its lease, between effect and completion is repeated.
 *   No more than that can be claimed of such an effect.
 */
export const MODES = ["transaction", "steps", "refuse", "retry"] as const;

/** See {@link MODES}. */
export type Mode = typeof MODES[number];

/** Where the effects of `transaction` leave their traces. */
export const TABLES = `
create table public.crash_effects (key text not null, attempt integer not null);
`;

/** The shortest there is: a killed worker's keys are free a second later. */
export const LEASE_SECONDS = 1;

const TTL_SECONDS = 3600;
// The same few keys are interrupted over and over here.
const MAX_ATTEMPTS = 100;

/** What makes an operation slower by a moment, for kills to fall into. */
export type Pause = () => Promise<void>;

/** A ledger, and what goes with it. */
export interface Access extends AsyncDisposable {
  readonly ledger: Ledger;
  /** Where the ledger is a database. */
  readonly sql: postgres.Sql | null;
  readonly modes: readonly Mode[];
  /**
   * Settles a key whose outcome is unknown, as operators do.
   *
   * @param answer What it came to; `null` where it did not take effect.
   * @returns Whether they find the key where they look for such ones.
   */
  settle(asked: Asked, answer: string | null): Promise<boolean>;
}

/** A key of a route. */
export interface Asked {
  readonly mode: Mode;
  readonly key: string;
}

/**
 * Connects as a worker does.
 *
 * @param url Of a Postgres, or of a Redis.
 */
export async function connect(url: string): Promise<Access> {
  return url.startsWith("redis:")
    ? await connectRedis(url)
    : connectPostgres(url);
}

async function connectRedis(url: string): Promise<Access> {
  // What most workers have no use for takes them as long as all the rest.
  const { createClient } = await import("redis");
  const redis = await createClient({ url }).connect();
  const ledger = redisLedger((command) => redis.sendCommand(command));
  return {
    ledger,
    sql: null,
    modes: MODES.filter((mode) => mode !== "transaction"),
    async settle({ mode, key }, answer) {
      const identity = identityOf(mode, key);
      const name = `idempotency:${identityName(identity)}`;
      const owner = await redis.hGet(name, "owner");
      if (owner === null) return false;
      await (answer === null
        ? ledger.fail(identity, owner, { message: "", status: null }, 3600)
        : ledger.complete(identity, owner, answerOf(answer), TTL_SECONDS));
      return true;
    },
    [Symbol.asyncDispose]: async () => void await redis.destroy(),
  };
}

function connectPostgres(url: string): Access {
  const sql = postgres(url, {
    max: 8,
    onnotice: () => {},
    // Else it is seconds after a server has come back that anybody asks it.
    backoff: () => 0.1,
  });
  return {
    ledger: postgresLedger(sql),
    sql,
    modes: MODES,
    async settle({ mode, key }, answer) {
      const stuck = await sql`
        select from public.idempotency_stuck_keys(1000)
        where scope = ${mode} and idempotency_key = ${key}`;
      if (stuck.length === 0) return false;
      await (answer === null
        ? sql`select public.idempotency_resolve('', ${mode}, ${key}, 'failed')`
        : sql`select public.idempotency_resolve(
            '', ${mode}, ${key}, 'completed', 201, ${JSON.stringify(answer)})`);
      return true;
    },
    [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }),
  };
}

/** What a client hears. */
export type Heard =
  /** An answer that is kept: no later one may differ. */
  | { readonly body: string }
  /** Why there is none that it could rely on. */
  | { readonly refused: string };

/** Performs the operation of a key, or has it replayed. */
export async function operate(
  { ledger, sql }: Access,
  provider: string,
  asked: Asked,
  pause: Pause,
): Promise<Heard> {
  if (asked.mode !== "transaction") {
    return await inOneRun(ledger, asked, LEASE_SECONDS, async (run) => {
      const said = await askProvider(provider, asked, run, pause);
      return `${asked.key} ${said} by attempt ${run.attempt}`;
    });
  }
  try {
    return await sql!.begin((transaction) =>
      inOneRun(postgresLedger(transaction), asked, 60, async ({ attempt }) => {
        await pause();
        await transaction`
          insert into crash_effects values (${asked.key}, ${attempt})`;
        await pause();
        return `${asked.key} by ${crypto.randomUUID()}`;
      })
    );
  } catch (error) {
    const { code } = error as { code?: string };
    const isAway = code !== undefined &&
      (!isSqlState(code) || passesWithTime(code));
    if (isAway) return { refused: "LEDGER_UNAVAILABLE" };
    throw error;
  }
}

async function inOneRun(
  store: Ledger,
  { mode, key }: Asked,
  leaseSeconds: number,
  run: (run: OperationRun) => Promise<string>,
): Promise<Heard> {
  const { status, body, headers, replayed } = await withIdempotency<unknown>({
    store,
    userId: null,
    route: mode,
    key,
    leaseSeconds,
    ttlSeconds: TTL_SECONDS,
    onAbandoned: mode === "refuse" ? "refuse" : "retry",
    maxAttempts: MAX_ATTEMPTS,
  }, async (running) => ({ status: 201, body: await run(running) }));
  if (replayed || headers["X-Idempotency-Stored"] === "true") {
    return { body: String(body) };
  }
  const { code } = Object(body) as { code?: string };
  return { refused: code ?? `unmarked ${status}` };
}

/** Has the effect, and says of what it may be known. */
async function askProvider(
  provider: string,
  { mode, key }: Asked,
  { attempt, step }: OperationRun,
  pause: Pause,
): Promise<string> {
  const call = { mode, key, attempt };
  await pause();
  if (mode !== "steps") {
    await tell(provider, "calls", call);
    await pause();
    return "done";
  }
  const job = await step("train", async ({ idempotencyKey }) => {
    const job = await tell(provider, "calls", { ...call, idempotencyKey });
    await pause();
    return job;
  });
  await tell(provider, "kept", call);
  await pause();
  return `job ${job}`;
}

function identityOf(mode: Mode, key: string): Identity {
  return { userId: null, scope: mode, key };
}

/** As a plain operation answers: JSON. */
function answerOf(text: string): Answer {
  const body = new TextEncoder().encode(JSON.stringify(text));
  return { status: 201, headers: {}, body };
}

/** Calls the provider, and gives back the number of the job. */
async function tell(
  provider: string,
  what: "calls" | "kept",
  call: Call,
): Promise<number> {
  const response = await fetch(`${provider}/${what}`, {
    method: "POST",
    body: JSON.stringify(call),
  });
  return await response.json();
}

/** A call of the provider. */
export interface Call {
  readonly mode: Mode;
  readonly key: string;
  readonly attempt: number;
  /** Honoured where it is given. */
  readonly idempotencyKey?: string;
}
