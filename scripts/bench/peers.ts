import {
  IdempotencyConfig,
  makeIdempotent,
} from "@aws-lambda-powertools/idempotency";
import { CachePersistenceLayer } from "@aws-lambda-powertools/idempotency/cache";
import { Idempotency } from "@node-idempotency/core";
import { RedisStorageAdapter } from "@node-idempotency/storage-adapter-redis";
import pg from "pg";
import postgres from "postgres";
import { createClient } from "redis";
import {
  type Ledger,
  postgresLedger,
  redisLedger,
  withIdempotency,
} from "../../shared/idempotency.ts";

/** The handler that a peer protects: has its effect, and says what to answer. */
export type Handler = () => Promise<string>;

/** A worker of one of those that are compared, with a connection of its own. */
export interface Worker {
  /**
   * Runs the handler once for the user's key, or answers as it did.
   *
   * @throws {Error} When the key is somebody else's just now.
   */
  run(user: string, key: string, handler: Handler): Promise<string>;
  close(): Promise<unknown>;
}

/** Where the stores of a run are. */
export interface Stores {
  readonly redis: string;
  readonly postgres: string;
}

/** One of those that are compared. */
export interface Peer {
  readonly store: "redis" | "postgres";
  /**
   * Starts a worker.
   *
   * @param options.connections To Postgres; clients of Redis have one for all.
   * @param options.leaseMs Whoever does not end in this time counts as dead.
   */
  start(
    stores: Stores,
    options: { connections: number; leaseMs: number },
  ): Promise<Worker>;
}

/** Several: one may have 10,000 keys. */
export const USERS = Array.from(
  { length: 16 },
  (_, n) => `00000000-0000-4000-8000-1${String(n).padStart(11, "0")}`,
);

const SCOPE = "orders";
const PAYLOAD = { product: "tea", quantity: 3 };
const DAY_SECONDS = 86_400;

/** What is compared, by name. */
export const PEERS = {
  "redisLedger": {
    store: "redis",
    async start({ redis }, { leaseMs }) {
      const client = await createClient({ url: redis }).connect();
      const ledger = redisLedger((command) => client.sendCommand(command));
      return ours(ledger, leaseMs, () => client.close());
    },
  },
  "Powertools, Redis": {
    store: "redis",
    async start({ redis }, { leaseMs }) {
      const client = await createClient({ url: redis }).connect();
      const persistenceStore = new CachePersistenceLayer({ client });
      const config = new IdempotencyConfig({
        eventKeyJmesPath: "key",
        expiresAfterSeconds: DAY_SECONDS,
      });
      // Its lease is what the platform says is left of a run.
      config.registerLambdaContext(
        { getRemainingTimeInMillis: () => leaseMs } as Parameters<
          typeof config.registerLambdaContext
        >[0],
      );
      return {
        run: (user, key, handler) =>
          makeIdempotent((_event: unknown) => handler(), {
            persistenceStore,
            config,
            // Of the store, not of the call: no place for the user.
            keyPrefix: SCOPE,
          })({ key: `${user}:${key}`, ...PAYLOAD }),
        close: () => client.close(),
      };
    },
  },
  "node-idempotency, Redis": {
    store: "redis",
    async start({ redis }, { leaseMs }) {
      const storage = new RedisStorageAdapter({ url: redis });
      await storage.connect();
      // It knows no lease: whoever dies keeps the key for as long as it lives.
      const idempotency = new Idempotency(storage, {
        cacheTTLMS: leaseMs < 10_000 ? leaseMs : DAY_SECONDS * 1000,
      });
      return {
        async run(user, key, handler) {
          const request = {
            method: "POST",
            path: `/${user}/${SCOPE}`,
            headers: { "idempotency-key": key },
            body: PAYLOAD,
          };
          const found = await idempotency.onRequest<string, never>(request);
          if (found !== undefined) return found.body!;
          const body = await handler();
          await idempotency.onResponse(request, { body });
          return body;
        },
        close: () => storage.disconnect(),
      };
    },
  },
  "postgresLedger, postgres.js": {
    store: "postgres",
    async start({ postgres: url }, { connections, leaseMs }) {
      const sql = await postgresJs(url, connections);
      return ours(postgresLedger(sql), leaseMs, () => sql.end());
    },
  },
  "postgresLedger, pg": {
    store: "postgres",
    async start({ postgres: url }, { connections, leaseMs }) {
      const pool = await pgPool(url, connections);
      return ours(postgresLedger(pool), leaseMs, () => pool.end());
    },
  },
  "by hand, postgres.js": {
    store: "postgres",
    async start({ postgres: url }, { connections }) {
      const sql = await postgresJs(url, connections);
      return byHand(
        (text, values) => sql.unsafe(text, values, { prepare: true }),
        () => sql.end(),
      );
    },
  },
  "by hand, pg": {
    store: "postgres",
    async start({ postgres: url }, { connections }) {
      const pool = await pgPool(url, connections);
      return byHand(
        async (text, values) =>
          (await pool.query({ name: text.slice(0, 20), text, values })).rows,
        () => pool.end(),
      );
    },
  },
} satisfies Record<string, Peer>;

/** The name of one of those that are compared. */
export type PeerName = keyof typeof PEERS;

/** What the hand-written ones need beside the migrations. */
export const TABLES = `
insert into auth.users (id)
  select unnest('{${USERS}}'::uuid[]) on conflict do nothing;
create table if not exists bench_by_hand (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  scope text not null,
  key text not null,
  payload text not null,
  status text not null default 'processing',
  response text,
  created_at timestamptz not null default now(),
  unique (user_id, scope, key)
);`;

function ours(
  ledger: Ledger,
  leaseMs: number,
  close: () => Promise<unknown>,
): Worker {
  return {
    async run(user, key, handler) {
      const { status, body } = await withIdempotency({
        store: ledger,
        userId: user,
        route: SCOPE,
        key,
        payload: PAYLOAD,
        leaseSeconds: leaseMs / 1000,
      }, async () => ({ status: 200, body: await handler() }));
      if (status !== 200) throw new Error(`refused with ${status}`);
      return body;
    },
    close,
  };
}

type Query = (
  text: string,
  values: string[],
) => PromiseLike<readonly Record<string, unknown>[]>;

/** What people write: look, insert, work, update. */
function byHand(query: Query, close: () => Promise<unknown>): Worker {
  const payload = JSON.stringify(PAYLOAD);
  return {
    async run(user, key, handler) {
      const found = await query(
        "select status, payload, response from bench_by_hand where user_id = $1 and scope = $2 and key = $3",
        [user, SCOPE, key],
      );
      if (found[0] !== undefined) {
        if (found[0]["payload"] !== payload) throw new Error("another payload");
        if (found[0]["status"] !== "completed") throw new Error("in progress");
        return JSON.parse(String(found[0]["response"]));
      }
      await query(
        "insert into bench_by_hand (user_id, scope, key, payload) values ($1, $2, $3, $4)",
        [user, SCOPE, key, payload],
      );
      const body = await handler();
      await query(
        "update bench_by_hand set status = 'completed', response = $4 where user_id = $1 and scope = $2 and key = $3",
        [user, SCOPE, key, JSON.stringify(body)],
      );
      return body;
    },
    close,
  };
}

async function postgresJs(url: string, max: number): Promise<postgres.Sql> {
  const sql = postgres(url, { max, onnotice: () => {} });
  await sql`select 1`;
  return sql;
}

async function pgPool(connectionString: string, max: number): Promise<pg.Pool> {
  const pool = new pg.Pool({ connectionString, max });
  await pool.query("select 1");
  return pool;
}
