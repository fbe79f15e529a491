import type postgres from "postgres";
import {
  type OperationOutcome,
  postgresLedger,
  withIdempotency,
} from "../../../shared/idempotency.ts";

/**
 * Four ways to take effect, by how often an effect may happen where nobody dies:
 *
 * - `transaction`: claim, effect and completion commit together. Once.
 * - `refuse`: on a route that does not guess. Once.
 * - `retry`: on one that retries. Once an attempt, and there is a second attempt
 *   only where the database's clock ended a lease.
 * - `steps`: the same by a provider that is handed the step's derived key. Once.
 */
export const ROUTES = ["transaction", "refuse", "retry", "steps"] as const;

/** See {@link ROUTES}; `long` is `retry` for work that outlasts its lease. */
export type Route = typeof ROUTES[number] | "long";

/** The tables in which effects leave their traces. */
export const TABLES = `
create table public.clock_effects (
  route text not null, key text not null, attempt integer not null
);
create table public.clock_jobs (
  id bigint generated always as identity primary key,
  provider_key text not null unique
);
-- what refuses writers with an older fence than it has seen
create table public.clock_fenced (
  key text primary key, fence bigint not null
);`;

/** Longer than the clocks here are wrong, so that no key expires by it. */
export const TTL_SECONDS = 30 * 86_400;

/** What an operation is told. */
export interface Terms {
  readonly leaseSeconds: number;
  /** How long its work takes, in ms. */
  readonly workMs: number;
  /** Throws on the first attempt, before it takes effect. */
  readonly fails: boolean;
}

/** What came of an operation: what it did, or why it was refused. */
export type Outcome = OperationOutcome<{ did: string; code?: string }>;

/**
 * Performs the operation of a key, or has it replayed.
 *
 * @throws {Failed} Where it was told to fail.
 */
export async function perform(
  sql: postgres.Sql,
  route: Route,
  key: string,
  { leaseSeconds, workMs, fails }: Terms,
): Promise<Outcome> {
  const run = (client: postgres.Sql | postgres.TransactionSql) =>
    withIdempotency<{ did: string }>({
      store: postgresLedger(client),
      userId: null,
      route,
      key,
      leaseSeconds,
      ttlSeconds: TTL_SECONDS,
      onAbandoned: route === "refuse" ? "refuse" : "retry",
      maxAttempts: 100,
    }, async ({ attempt, fence, step }) => {
      if (fails && attempt === 1) throw new Failed();
      await sleep(workMs / 2);
      let did = `attempt ${attempt}`;
      if (route === "steps") {
        did = await step("train", async ({ idempotencyKey }) => {
          const [job] = await client<[{ id: string }]>`
            insert into public.clock_jobs (provider_key) values (${idempotencyKey})
            on conflict (provider_key) do update set provider_key = excluded.provider_key
            returning id`;
          return `job ${job.id}`;
        });
      }
      await client`
        insert into public.clock_effects values (${route}, ${key}, ${attempt})`;
      await client`
        insert into public.clock_fenced as f values (${`${route} ${key}`}, ${fence})
        on conflict (key) do update set fence = excluded.fence where f.fence <= excluded.fence`;
      await sleep(workMs / 2);
      return { status: 200, body: { did } };
    }) as Promise<Outcome>;
  // A transaction that ends in a refusal has written nothing.
  return route === "transaction"
    ? await sql.begin(run) as Outcome
    : await run(sql);
}

/** The work went wrong before it took effect. */
export class Failed extends Error {}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
