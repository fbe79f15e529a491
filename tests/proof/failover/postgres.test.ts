import { assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { STANDBY } from "../../../scripts/bench/postgres_failover.ts";
import {
  type PostgresCluster,
  startCluster,
} from "../../../scripts/cluster/postgres.ts";
import { migrate } from "../../../scripts/cluster/supabase_cluster.ts";
import { LedgerMisconfiguredError } from "../../../shared/idempotency/errors.ts";
import type {
  ClaimTerms,
  Identity,
} from "../../../shared/idempotency/ledger.ts";
import { runOperation } from "../../../shared/idempotency/operation.ts";
import { postgresLedger } from "../../../shared/idempotency/postgres_ledger.ts";

const ADA = "6f0c0000-0000-4000-8000-000000000001";
const BODY = new TextEncoder().encode("paid");
const ANSWER = { status: 201, headers: {}, body: BODY };

const terms = (): ClaimTerms => ({
  fingerprint: "a".repeat(64),
  ownerToken: crypto.randomUUID(),
  leaseSeconds: 60,
  ttlSeconds: 3600,
  onAbandoned: "retry",
  maxAttempts: 5,
  metadata: null,
});

let primary: PostgresCluster;
let standby: PostgresCluster;
let onPrimary: postgres.Sql;
let onStandby: postgres.Sql;

Deno.test.beforeAll(async () => {
  primary = await startCluster();
  await migrate(primary.url);
  standby = await startCluster({ standbyOf: primary.url, settings: STANDBY });
  onPrimary = postgres(primary.url, { max: 4, onnotice: () => {} });
  onStandby = postgres(standby.url, { max: 4, onnotice: () => {} });
});
Deno.test.afterAll(async () => {
  await onPrimary.end({ timeout: 1 });
  await onStandby.end({ timeout: 1 });
  await standby.close();
  await primary.close();
});

/** Until the standby has all that the primary has. */
async function untilReplayed(): Promise<void> {
  const [{ lsn }] = await onPrimary<[{ lsn: string }]>`
    select pg_current_wal_insert_lsn()::text as lsn`;
  for (;;) {
    const [{ has }] = await onStandby<[{ has: boolean }]>`
      select pg_last_wal_replay_lsn() >= ${lsn}::pg_lsn as has`;
    if (has) return;
    await pause();
  }
}

Deno.test("a read replica knows less than was promised, and more than is left", async () => {
  await onPrimary`insert into auth.users (id) values (${ADA})`;
  const [ledger, replica] = [
    postgresLedger(onPrimary),
    postgresLedger(onStandby),
  ];
  const complete = async (identity: Identity) => {
    const { ownerToken, ...rest } = terms();
    await ledger.claim(identity, { ownerToken, ...rest });
    await ledger.complete(identity, ownerToken, ANSWER, 3600);
  };
  const old = { userId: ADA, scope: "replica", key: "order-17" };
  const fresh = { ...old, key: "order-18" };
  await complete(old);
  await untilReplayed();
  await onStandby`select pg_wal_replay_pause()`;
  const isPaused = async () => {
    const [{ state }] = await onStandby<[{ state: string }]>`
      select pg_get_wal_replay_pause_state() as state`;
    return state === "paused";
  };
  while (!await isPaused()) await pause();
  await complete(fresh);
  await onPrimary`delete from auth.users where id = ${ADA}`;

  // Paid: whoever takes this for "not yet" pays again.
  assertEquals(await replica.read(fresh), null);
  // The account is gone, and everything of it: this is somebody's data.
  assertEquals(await ledger.read(old), null);
  assertEquals((await replica.claim(old, terms())).outcome, "replay");
  // A claim has to be written.
  await assertRejects(
    () => replica.claim(fresh, terms()),
    LedgerMisconfiguredError,
  );
  await onStandby`select pg_wal_replay_resume()`;
});

Deno.test("an asynchronous standby that takes over repeats what it did not get, and refuse holds what it knows was begun", async () => {
  const payments: string[] = [];
  const pay = async (
    sql: postgres.Sql,
    key: string,
    onAbandoned: "retry" | "refuse",
    meanwhile = () => Promise.resolve(),
  ) => {
    const { status, body, replayed } = await runOperation<{ code?: string }>({
      store: postgresLedger(sql),
      userId: null,
      route: "failover",
      key,
      onAbandoned,
      leaseSeconds: 1,
    }, async () => {
      payments.push(key);
      await meanwhile();
      return { status: 201, body: {} };
    });
    return [status, replayed ? "replayed" : body.code];
  };
  const untilLapsed = async (key: string, policy: "retry" | "refuse") => {
    for (;;) {
      const told = await pay(onStandby, key, policy);
      if (told[1] !== "REQUEST_IN_PROGRESS") return told;
      await pause();
    }
  };

  // The claims get through; then the link breaks, and nobody notices.
  let begun = 0;
  const broken = Promise.withResolvers<void>();
  const breakLink = async () => {
    if (++begun === 2) {
      await untilReplayed();
      await disconnect();
      broken.resolve();
    }
    await broken.promise;
  };
  const told = await Promise.all(
    (["retry", "refuse"] as const).map((policy) =>
      pay(onPrimary, policy, policy, breakLink)
    ),
  );
  told.push(await pay(onPrimary, "unheard-of", "refuse"));
  assertEquals(told, Array(3).fill([201, undefined]));
  for (const key of ["retry", "refuse", "unheard-of"]) {
    assertEquals(await pay(onPrimary, key, "refuse"), [201, "replayed"]);
  }
  assertEquals(payments.splice(0).sort(), ["refuse", "retry", "unheard-of"]);

  await primary.crash();
  await onStandby`select pg_promote()`;
  assertEquals(
    await untilLapsed("refuse", "refuse"),
    [409, "OUTCOME_UNKNOWN"],
  );
  assertEquals(await untilLapsed("retry", "retry"), [201, undefined]);
  // Nothing is left of this one, so no policy can hold it.
  assertEquals(
    await pay(onStandby, "unheard-of", "refuse"),
    [201, undefined],
  );
  assertEquals(payments.sort(), ["retry", "unheard-of"]);
});

/** From here on the standby hears nothing, and the primary does not wait for it. */
async function disconnect(): Promise<void> {
  await onStandby.unsafe("alter system set primary_conninfo = ''");
  await onStandby`select pg_reload_conf()`;
  while ((await onPrimary`select from pg_stat_replication`).length > 0) {
    await pause();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}
