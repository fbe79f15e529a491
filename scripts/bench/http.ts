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

/**
 * The latency that a key adds to a function, over HTTP, on a local stack and
 * one request at a time: of a first run and of a replay, against the same
 * function without a key and against a remote procedure call that does nothing.
 *
 * @param databaseUrl A Postgres server of the bench's own.
 */
export async function benchHttp(
  databaseUrl: string,
  { requests = 300 }: HttpBenchOptions = {},
): Promise<BenchRow[]> {
  const stack = await startStack({ port: 0, databaseUrl, probe: true });
  try {
    await stack.sql(
      "create or replace function public.bench_nothing() returns integer language sql as 'select 1'",
    );
    await stack.sql(
      "grant execute on function public.bench_nothing() to authenticated",
    );
    const headers = await signUp(stack);
    const call = async (path: string, key?: string): Promise<void> => {
      const response = await fetch(stack.apiUrl + path, {
        method: "POST",
        headers: key ? { ...headers, "Idempotency-Key": key } : headers,
        body: "{}",
      });
      await response.body?.cancel();
      if (!response.ok) {
        throw new Error(`POST ${path} answered ${response.status}`);
      }
    };
    const kinds = {
      nothing: () => call("/rest/v1/rpc/bench_nothing"),
      noKey: () => call("/functions/v1/probe"),
      firstRun: () => call("/functions/v1/probe", crypto.randomUUID()),
      replay: () => call("/functions/v1/probe", "replayed-key"),
    };
    const times = await takeTurns(kinds, requests);
    return [50, 99].flatMap((p) => {
      const at = {
        nothing: percentile(times.nothing, p),
        noKey: percentile(times.noKey, p),
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
      return [
        row("first run against no key", at.firstRun, at.noKey),
        row("replay against no key", at.replay, at.noKey),
        row(
          "first run adds, against a no-op RPC",
          at.firstRun - at.noKey,
          at.nothing,
        ),
        row("replay against a no-op RPC", at.replay, at.nothing),
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
