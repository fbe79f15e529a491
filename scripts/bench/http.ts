import { createClient } from "@supabase/supabase-js";
import { startStack } from "../stack/stack.ts";
import { type BenchRow, percentile, takeTurns } from "./row.ts";

/** How long {@link benchHttp} takes. */
export interface HttpBenchOptions {
  /**
   * Requests of each kind; they take turns, so that noise meets them alike.
   *
   * @default {300}
   */
  requests?: number;
}

// What is called beside it, by the same function: nothing, and the two
// statements of those who write a key and its answer themselves.
const BARE = [
  "create table public.bench_rows (key text primary key, answer text)",
  "grant select, insert, update on public.bench_rows to service_role",
  "create function public.bench_nothing() returns integer language sql as 'select 1'",
  "create function public.bench_insert(key text) returns void language sql as 'insert into public.bench_rows values ($1)'",
  "create function public.bench_update(key text) returns void language sql as 'update public.bench_rows set answer = repeat(''x'', 300) where bench_rows.key = $1'",
  "grant execute on function public.bench_nothing, public.bench_insert, public.bench_update to service_role",
];

/**
 * The latency that a key adds to a function, over HTTP, on a local stack and
 * one request at a time: of a first run and of a replay, against the same
 * function without a key, which calls the database itself or does nothing.
 *
 * @param databaseUrl A Postgres server of the bench's own.
 */
export async function benchHttp(
  databaseUrl: string,
  { requests = 300 }: HttpBenchOptions = {},
): Promise<BenchRow[]> {
  const stack = await startStack({ port: 0, databaseUrl, probe: true });
  try {
    for (const statement of BARE) await stack.sql(statement);
    const headers = await signUp(stack);
    const call = async (
      key?: string,
      calls: object[] = [],
    ): Promise<void> => {
      const response = await fetch(`${stack.apiUrl}/functions/v1/probe`, {
        method: "POST",
        headers: key ? { ...headers, "Idempotency-Key": key } : headers,
        body: JSON.stringify({ calls }),
      });
      await response.body?.cancel();
      if (!response.ok) {
        throw new Error(`the function answered ${response.status}`);
      }
    };
    const kinds = {
      nothing: () => call(),
      noOp: () => call(undefined, [{ fn: "bench_nothing" }]),
      bare: () => {
        const args = { key: crypto.randomUUID() };
        return call(undefined, [
          { fn: "bench_insert", args },
          { fn: "bench_update", args },
        ]);
      },
      firstRun: () => call(crypto.randomUUID()),
      replay: () => call("replayed-key"),
    };
    const times = await takeTurns(kinds, requests);
    return [50, 99].flatMap((p) => {
      const at = {
        nothing: percentile(times.nothing, p),
        noOp: percentile(times.noOp, p),
        bare: percentile(times.bare, p),
        firstRun: percentile(times.firstRun, p),
        replay: percentile(times.replay, p),
      };
      const row = (name: string, value: number, baseline: number) => ({
        name: `http ${name}, p${p}`,
        value,
        unit: "ms",
        baseline,
        ratio: value / baseline,
      });
      const adds = at.firstRun - at.nothing;
      return [
        row("first run against no key", at.firstRun, at.nothing),
        row("replay against no key", at.replay, at.nothing),
        row(
          "first run adds, against a no-op RPC",
          adds,
          at.noOp - at.nothing,
        ),
        row(
          "first run adds, against RPCs that insert and update a row",
          adds,
          at.bare - at.nothing,
        ),
        row(
          "replay against a no-op RPC in the same function",
          at.replay,
          at.noOp,
        ),
      ];
    });
  } finally {
    await stack.close();
  }
}

async function signUp(
  { apiUrl, publishableKey }: { apiUrl: string; publishableKey: string },
): Promise<Record<string, string>> {
  const client = createClient(apiUrl, publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const { data, error } = await client.auth.signUp({
    email: "bench@example.com",
    password: crypto.randomUUID(),
  });
  if (error) throw error;
  return {
    "apikey": publishableKey,
    "Authorization": `Bearer ${data.session?.access_token}`,
    "Content-Type": "application/json",
  };
}
