/**
 * Deletes expired keys until none is left, for schedulers other than pg_cron:
 * `deno task cleanup [--database-url URL]`.
 *
 * Without a database URL it goes through the API, with `SUPABASE_URL` and
 * `SUPABASE_SECRET_KEY` from the environment.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import type { Database } from "../shared/database.types.ts";
import { cleanupExpiredKeys } from "../shared/idempotency.ts";

const USAGE = "Usage: deno task cleanup [--database-url URL]";

/** Deletes until a call finds nothing; each call stops after 5 seconds. */
async function repeat(deleteSome: () => Promise<number>): Promise<number> {
  let total = 0;
  for (let deleted = await deleteSome(); deleted > 0;) {
    total += deleted;
    deleted = await deleteSome();
  }
  return total;
}

async function overDatabase(url: string): Promise<number> {
  const sql = postgres(url, { max: 1, connect_timeout: 10 });
  try {
    return await repeat(async () => {
      const [row] = await sql<{ deleted: number }[]>`
        select public.cleanup_expired_idempotency_keys()::int as deleted`;
      return row?.deleted ?? 0;
    });
  } finally {
    await sql.end({ timeout: 5 });
  }
}

async function overApi(): Promise<number> {
  const url = Deno.env.get("SUPABASE_URL");
  const secretKey = Deno.env.get("SUPABASE_SECRET_KEY");
  if (!url || !secretKey) {
    const missing = url ? "SUPABASE_SECRET_KEY" : "SUPABASE_URL";
    throw new Error(`clean up over the API: ${missing} is not set. ${USAGE}`);
  }
  const supabase = createClient<Database>(url, secretKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  return await repeat(() => cleanupExpiredKeys(supabase));
}

try {
  const { values } = parseArgs({
    args: Deno.args,
    options: { "database-url": { type: "string" } },
  });
  const databaseUrl = values["database-url"];
  const deleted = databaseUrl === undefined
    ? await overApi()
    : await overDatabase(databaseUrl);
  console.log(`${deleted} expired ${deleted === 1 ? "key" : "keys"} deleted`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  Deno.exit(1);
}
