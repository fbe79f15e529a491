// What an app may do with the types of each entry point, in an app's own words.
import type { Ledger } from "supabase-idempotency";
import {
  checkIdempotency,
  createIdempotencyKey,
  encrypted,
  memoryLedger,
  storeIdempotencyResult,
  withIdempotency,
} from "supabase-idempotency";
import {
  createApi,
  IdempotencyProblemError,
} from "supabase-idempotency/client";
import {
  type MigrationResult,
  runMigrations,
} from "supabase-idempotency/migrate";
import { postgresLedger } from "supabase-idempotency/postgres";
import { useIdempotentMutation } from "supabase-idempotency/react";
import { redisLedger } from "supabase-idempotency/redis";
import {
  type ContractCase,
  ledgerContract,
} from "supabase-idempotency/testing";
import { withTracing } from "supabase-idempotency/tracing";

export const ledgers = (
  sql: Parameters<typeof postgresLedger>[0],
  send: (command: string[]) => Promise<unknown>,
): Ledger[] => [
  memoryLedger(),
  postgresLedger(sql),
  redisLedger(send, { prefix: "app:" }),
  encrypted(memoryLedger(), {
    keys: [{ id: "k1", secret: crypto.getRandomValues(new Uint8Array(32)) }],
  }),
];

export const useSale = () =>
  useIdempotentMutation((total: number) => Promise.resolve({ total }));

export const cases: ContractCase[] = ledgerContract(() => ({
  ledger: memoryLedger(),
  users: ["ada", "bob"],
  age: () => {},
}));

export async function place(store: Ledger): Promise<number> {
  const { status, body } = await withIdempotency(
    { store, userId: "ada", route: "orders", key: "order-17" },
    async ({ step }) => ({
      status: 201,
      body: { order: await step("make", () => Promise.resolve(1)) },
    }),
  );
  return status + body.order;
}

export async function classic(ledger: Ledger): Promise<string> {
  const { cachedResponse } = await checkIdempotency(ledger, "order-17", "ada");
  if (cachedResponse) return cachedResponse.response;
  const claim = await createIdempotencyKey(ledger, "order-17", "ada");
  await storeIdempotencyResult(ledger, "order-17", "ada", {
    response: "{}",
    statusCode: 201,
  }, { claim });
  await claim[Symbol.asyncDispose]();
  return "{}";
}

export const codeOf = (error: unknown): string | undefined =>
  error instanceof IdempotencyProblemError ? error.code : undefined;

export const api: (path: string, body: unknown) => Promise<{ data: unknown }> =
  createApi({ baseUrl: "/functions/v1/" }).apiPost;

export const traced = withTracing({ name: "orders" });

export const migrate = (): Promise<MigrationResult[]> =>
  runMigrations([{
    name: "backfill-fees",
    fn: ({ query }) => query<{ id: number }>("select id from public.orders"),
    options: { backupCollections: ["orders"] },
  }], { dryRun: true });
