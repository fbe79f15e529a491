import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { type Stack, startStack } from "../../scripts/stack/stack.ts";
import type { Database } from "../../shared/database.types.ts";

// One for all files of a run that imports several of them: starting it costs
// more than most files' tests.
let starting: Promise<Stack> | undefined;
let files = 0;

/**
 * Starts the local stack for the test file that calls it, and closes it after
 * the last test: on the embedded database, or with `STACK=postgres` on the
 * server at `DATABASE_URL`.
 *
 * @returns The running stack, for use inside the tests.
 */
export function withStack(): () => Stack {
  let stack: Stack | undefined;
  Deno.test.beforeAll(async () => {
    files++;
    starting ??= startStack({ port: 0, probe: true, ...databaseOptions() });
    stack = await starting;
  });
  // The embedded Postgres sets the exit status of this process at initdb and at
  // each SQL error, which the test runner takes for a failed test.
  Deno.test.beforeEach(() => void (Deno.exitCode = 0));
  Deno.test.afterEach(() => void (Deno.exitCode = 0));
  Deno.test.afterAll(async () => {
    if (--files === 0) await stack?.close();
  });
  return () => {
    if (stack === undefined) throw new Error("The stack has not started yet");
    return stack;
  };
}

/** Somebody who uses the stack. */
export interface Actor {
  readonly client: SupabaseClient<Database>;
  /** `null` for the project itself and for who is not signed in. */
  readonly userId: string | null;
  /** What to send with a request of one's own making. */
  readonly headers: Record<string, string>;
}

/** Signs up a new user. */
export async function signUp(
  { apiUrl, publishableKey }: Pick<Stack, "apiUrl" | "publishableKey">,
): Promise<Actor & { userId: string }> {
  const client = createClient<Database>(apiUrl, publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const { data, error } = await client.auth.signUp({
    email: `${crypto.randomUUID()}@example.com`,
    password: crypto.randomUUID(),
  });
  if (error) throw error;
  if (!data.user || !data.session) throw new Error("Signed up, not signed in");
  return {
    client,
    userId: data.user.id,
    headers: {
      apikey: publishableKey,
      Authorization: `Bearer ${data.session.access_token}`,
    },
  };
}

/** The project itself: whoever holds the secret key. */
export function project({ apiUrl, secretKey }: Stack): Actor {
  return {
    client: createClient<Database>(apiUrl, secretKey, {
      auth: { persistSession: false, autoRefreshToken: false },
    }),
    userId: null,
    headers: { apikey: secretKey },
  };
}

/** Whoever has the publishable key, which is everybody. */
export function anonymous({ apiUrl, publishableKey }: Stack): Actor {
  return {
    client: createClient<Database>(apiUrl, publishableKey, {
      auth: { persistSession: false, autoRefreshToken: false },
    }),
    userId: null,
    headers: { apikey: publishableKey },
  };
}

/** The database that the surroundings of the test run name. */
export function databaseOptions(): { memory: true } | { databaseUrl: string } {
  if (Deno.env.get("STACK") !== "postgres") return { memory: true };
  const databaseUrl = Deno.env.get("DATABASE_URL");
  if (!databaseUrl) throw new Error("STACK=postgres needs DATABASE_URL");
  return { databaseUrl };
}
