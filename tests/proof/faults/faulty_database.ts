import postgres from "postgres";
import { claim } from "../../../shared/idempotency/claim.ts";
import { type Stack, startStack } from "../../../scripts/stack/stack.ts";
import {
  type IdempotencyConfig,
  resolveConfig,
} from "../../../shared/idempotency/config.ts";
import type { Identity, Ledger } from "../../../shared/idempotency/ledger.ts";
import { postgresLedger } from "../../../shared/idempotency/postgres_ledger.ts";
import { supabaseLedger } from "../../../shared/idempotency/supabase_ledger.ts";
import {
  type PostgresCluster,
  startCluster,
} from "../../../scripts/cluster/postgres.ts";
import { surviveLateWrites } from "../../support/late_writes.ts";
import { project } from "../../support/stack.ts";

/** A database whose faults a test decides, and both ways to reach it. */
export interface FaultyDatabase extends AsyncDisposable {
  readonly cluster: PostgresCluster;
  /** Serves the probe on it. */
  readonly stack: Stack;
  /** What no fault cuts. */
  readonly sql: postgres.Sql;
  readonly ledgers: {
    readonly "supabase-js": Ledger;
    readonly "a direct connection": Ledger;
  };
  /** Lets nobody but the test touch a key, also one that is not there yet. */
  lock(identity: Identity): Promise<Lock>;
  /** Ends each statement that takes longer, in ms; 0 ends none. */
  limitStatements(ms: number): Promise<void>;
  /** Does what is to be done once. */
  takeEffect(identity: Identity): Promise<void>;
  /** How often that was done. */
  effects(identity: Identity): Promise<number>;
}

/** A key that is locked. */
export interface Lock {
  /** Waits until a call waits for the lock, and cuts its connection. */
  cutWhoWaits(): Promise<void>;
  release(): Promise<void>;
}

/** Starts it. */
export async function startFaultyDatabase(): Promise<FaultyDatabase> {
  const stopSurviving = surviveLateWrites();
  const cluster = await startCluster();
  let stack: Stack | undefined;
  // A connection of its own for each: what cuts must not be cut.
  const options = {
    max: 3,
    onnotice: () => {},
    // As docs/operating.md advises: it may wait for longer than a record.
    backoff: () => 0.5,
    // Cut while it reads them, the driver throws outside any call.
    fetch_types: false,
  };
  const direct = postgres(cluster.url, options);
  const control = postgres(cluster.url, {
    ...options,
    // Each lock has one to itself.
    max: 6,
    connection: { statement_timeout: 0 },
  });
  const close = async () => {
    await direct.end({ timeout: 1 });
    await control.end({ timeout: 1 });
    await stack?.close();
    await cluster.close();
    stopSurviving();
  };
  try {
    stack = await startStack({
      port: 0,
      databaseUrl: cluster.url,
      probe: true,
    });
    await control`create table public.fault_effects (name text not null)`;
    return {
      cluster,
      stack,
      sql: control,
      ledgers: {
        "supabase-js": supabaseLedger(project(stack).client),
        "a direct connection": postgresLedger(direct),
      },
      lock: (identity) => lock(control, identity),
      async limitStatements(ms) {
        await control.unsafe(`alter system set statement_timeout = ${ms}`);
        await control`select pg_reload_conf()`;
        // Each session reads it before its next statement.
        await new Promise((resolve) => setTimeout(resolve, 200));
      },
      takeEffect: async ({ scope, key }) =>
        void await control`
          insert into public.fault_effects values (${`${scope}/${key}`})`,
      async effects({ scope, key }) {
        const rows = await control`
          select from public.fault_effects where name = ${`${scope}/${key}`}`;
        return rows.length;
      },
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function lock(
  control: postgres.Sql,
  { scope, key }: Identity,
): Promise<Lock> {
  const session = await control.reserve();
  const [self] = await session<
    { pid: number }[]
  >`select pg_backend_pid() as pid`;
  await session`begin`;
  // One or the other: an insert of the same key waits for this one to end.
  const found = await session`
    select from public.idempotency_keys
    where scope = ${scope} and idempotency_key = ${key} for update`;
  if (found.length === 0) {
    await session`
      insert into public.idempotency_keys (
        owner, scope, idempotency_key, request_fingerprint, owner_token,
        lease_expires_at, expires_at
      ) values (
        '', ${scope}, ${key}, ${
      "c".repeat(64)
    }, ${crypto.randomUUID()}, now(), now()
      )`;
  }
  return {
    async cutWhoWaits() {
      for (;;) {
        const cut = await control`
          select pg_terminate_backend(pid) from pg_stat_activity
          where ${self!.pid} = any (pg_blocking_pids(pid))`;
        if (cut.length > 0) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async release() {
      await session`rollback`;
      session.release();
    },
  };
}

/** What a client of {@link perform} gets. */
export interface Performed {
  readonly body: string;
  /** `replayed`: the recorded answer of an earlier run. */
  readonly as: "stored" | "unstored" | "replayed";
}

/** Performs an operation the way the middleware does, with an effect in it. */
export async function perform(
  database: FaultyDatabase,
  ledger: Ledger,
  identity: Identity,
  options: IdempotencyConfig & { between?: () => Promise<void> } = {},
): Promise<Performed> {
  const { between, ...config } = options;
  const begun = await claim(ledger, identity, {
    fingerprint: "a".repeat(64),
    config: resolveConfig(config),
  });
  if (begun.kind === "answer") {
    return {
      body: new TextDecoder().decode(begun.answer.body!),
      as: "replayed",
    };
  }
  const { attempt } = begun;
  await database.takeEffect(identity);
  await between?.();
  const body = new TextEncoder().encode(`attempt ${attempt.number}`);
  const { answer, as } = await attempt.respond({
    status: 200,
    headers: {},
    body,
  });
  return { body: new TextDecoder().decode(answer.body!), as };
}
