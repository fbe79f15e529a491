import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";

const StuckKey = z.object({
  user_id: z.string().nullable(),
  scope: z.string(),
  idempotency_key: z.string(),
  attempt: z.int(),
  claimed_at: z.coerce.date(),
  lease_expires_at: z.coerce.date(),
  expires_at: z.coerce.date(),
  metadata: z.record(z.string(), z.unknown()).nullable(),
  steps: z.record(z.string(), z.unknown()).nullable(),
});

/** A key whose last attempt was interrupted. */
export type StuckKey = z.output<typeof StuckKey>;

const Resolved = z.object({
  outcome: z.enum(["completed", "failed", "replay", "stale"]),
  attempt: z.int().nullable(),
  status_code: z.int().nullable(),
});

/** What became of a resolution; see `idempotency_resolve`. */
export type Resolved = z.output<typeof Resolved>;

/** What an operator found out about an interrupted attempt. */
export interface Resolution {
  readonly userId: string | null;
  readonly scope: string;
  readonly key: string;
  readonly as: "completed" | "failed";
  /** HTTP status of the answer; `null` where it failed. */
  readonly status: number | null;
  /** Body of the answer; `null` where there is none to give. */
  readonly body: string | null;
  /** Headers of the answer, names in lower case. */
  readonly headers: Record<string, string> | null;
  readonly note: string | null;
}

/** What an operator can do to the keys of all users. */
export interface Operator extends AsyncDisposable {
  /** Keys that wait for an operator, the one that waits longest first. */
  stuckKeys(limit: number): Promise<StuckKey[]>;
  /** Ends an interrupted attempt. */
  resolve(resolution: Resolution): Promise<Resolved>;
}

/** Works through the API, with the project's secret key. */
export function operatorOverApi(url: string, secretKey: string): Operator {
  const supabase = createClient<Database>(url, secretKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  return {
    async stuckKeys(limit) {
      const { data } = await supabase
        .rpc("idempotency_stuck_keys", { p_limit: limit }).throwOnError();
      return z.array(StuckKey).parse(data);
    },
    async resolve({ userId, scope, key, as, status, body, headers, note }) {
      const parameters = {
        p_user_id: userId,
        p_scope: scope,
        p_idempotency_key: key,
        p_resolution: as,
        p_status_code: status,
        p_response: body,
        p_response_headers: headers,
        p_note: note,
      };
      // The generated types know no parameter that may be null.
      type Parameters =
        Database["public"]["Functions"]["idempotency_resolve"]["Args"];
      const { data } = await supabase
        .rpc("idempotency_resolve", parameters as Parameters).throwOnError();
      return Resolved.parse(data);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Works on the database itself, as its owner or the service role. */
export function operatorOverDatabase(url: string): Operator {
  const sql = postgres(url, { max: 1, connect_timeout: 10 });
  return {
    async stuckKeys(limit) {
      return z.array(StuckKey).parse(
        await sql`select * from public.idempotency_stuck_keys(${limit})`,
      );
    },
    async resolve({ userId, scope, key, as, status, body, headers, note }) {
      const [row] = await sql`
        select * from public.idempotency_resolve(
          ${userId}, ${scope}, ${key}, ${as}, ${status}, ${body}, 'text',
          ${headers && sql.json(headers)}, ${note})`;
      return Resolved.parse(row);
    },
    [Symbol.asyncDispose]: () => sql.end({ timeout: 5 }),
  };
}
