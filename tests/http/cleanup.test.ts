import { assertEquals, assertStringIncludes } from "@std/assert";
import { printed, runDeno } from "../../scripts/check/command.ts";
import type { Stack } from "../../scripts/stack/stack.ts";
import {
  type Actor,
  anonymous,
  project,
  signUp,
  withStack,
} from "../support/stack.ts";

const stack = withStack();

async function insertKeys(
  { sql }: Stack,
  userId: string,
  keys: Record<string, { expired: boolean; leased: boolean }>,
): Promise<void> {
  for (const [key, { expired, leased }] of Object.entries(keys)) {
    await sql(
      `insert into public.idempotency_keys (owner, scope, idempotency_key,
         request_fingerprint, status, owner_token, lease_expires_at, completed_at, expires_at)
       values ($1, 'cleanup', $2, repeat('0', 64), $3, gen_random_uuid(),
         case when $4::boolean then now() + interval '1 minute' end,
         case when not $4::boolean then now() end,
         now() + make_interval(hours => $5::int))`,
      [
        userId,
        key,
        leased ? "processing" : "failed",
        leased,
        expired ? -1 : 1,
      ],
    );
  }
}

async function keysOf({ sql }: Stack, userId: string): Promise<string[]> {
  const rows = await sql<{ idempotency_key: string }>(
    "select idempotency_key from public.idempotency_keys where owner = $1 order by 1",
    [userId],
  );
  return rows.map(({ idempotency_key }) => idempotency_key);
}

async function cleanUp(args: string[], env: Record<string, string> = {}) {
  const result = await runDeno(["task", "--quiet", "cleanup", ...args], {
    env,
  });
  return { code: result.code, text: printed(result) };
}

Deno.test("deno task cleanup deletes expired keys through the API and keeps the rest", async () => {
  const { userId } = await signUp(stack());
  await insertKeys(stack(), userId, {
    "expired-1": { expired: true, leased: false },
    "expired-2": { expired: true, leased: false },
    "fresh": { expired: false, leased: false },
    "running": { expired: false, leased: true },
  });
  const { apiUrl, secretKey } = stack();
  const { code, text } = await cleanUp([], {
    SUPABASE_URL: apiUrl,
    SUPABASE_SECRET_KEY: secretKey,
  });
  assertEquals([code, text], [0, "2 expired keys deleted"]);
  assertEquals(await keysOf(stack(), userId), ["fresh", "running"]);
});

Deno.test("deno task cleanup deletes expired keys over a database URL", async () => {
  const { dbUrl } = stack();
  // Only a database server can be reached from another process.
  if (dbUrl === undefined) return;
  const { userId } = await signUp(stack());
  await insertKeys(stack(), userId, {
    "expired": { expired: true, leased: false },
    "fresh": { expired: false, leased: false },
  });
  const { code, text } = await cleanUp(["--database-url", dbUrl]);
  assertEquals([code, text], [0, "1 expired key deleted"]);
  assertEquals(await keysOf(stack(), userId), ["fresh"]);
});

Deno.test("deno task cleanup says which variable is missing", async () => {
  const { code, text } = await cleanUp([], {
    SUPABASE_URL: stack().apiUrl,
    SUPABASE_SECRET_KEY: "",
  });
  assertEquals(code, 2);
  assertStringIncludes(text, "SUPABASE_SECRET_KEY is not set");
});

const cleanUpByFunction = ({ headers }: Actor, method = "POST") =>
  fetch(`${stack().apiUrl}/functions/v1/cleanup-idempotency`, {
    method,
    headers,
  });

Deno.test("cleanup-idempotency deletes expired keys and keeps the rest", async () => {
  const { userId } = await signUp(stack());
  await insertKeys(stack(), userId, {
    "expired-1": { expired: true, leased: false },
    "expired-2": { expired: true, leased: false },
    "fresh": { expired: false, leased: false },
    "running": { expired: false, leased: true },
  });
  const responses = await Promise.all([
    cleanUpByFunction(project(stack())),
    cleanUpByFunction(project(stack())),
  ]);
  assertEquals(responses.map(({ status }) => status), [200, 200]);
  const done = await Promise.all(responses.map((response) => response.json()));
  assertEquals(done.map(({ isDone }) => isDone), [true, true]);
  assertEquals(done[0].deleted + done[1].deleted, 2);
  assertEquals(await keysOf(stack(), userId), ["fresh", "running"]);
});

Deno.test("cleanup-idempotency counts what expired before it deletes it", async () => {
  const { userId } = await signUp(stack());
  const counted = async () => {
    const [row] = await stack().sql<{ executions: number }>(
      "select coalesce(sum(executions), 0)::int as executions from idempotency.hours where scope = 'cleanup'",
    );
    return row!.executions;
  };
  const before = await counted();
  await insertKeys(stack(), userId, {
    "expired": { expired: true, leased: false },
  });
  await (await cleanUpByFunction(project(stack()))).body?.cancel();
  assertEquals(await keysOf(stack(), userId), []);
  assertEquals(await counted() - before, 1);
});

Deno.test("cleanup-idempotency is for the secret key, and by POST", async () => {
  const { userId, ...ada } = await signUp(stack());
  await insertKeys(stack(), userId, {
    "expired": { expired: true, leased: false },
  });
  for (const actor of [{ userId, ...ada }, anonymous(stack())]) {
    const response = await cleanUpByFunction(actor);
    await response.body?.cancel();
    assertEquals(response.status, 401);
  }
  const response = await cleanUpByFunction(project(stack()), "GET");
  assertEquals([response.status, (await response.json()).code], [
    405,
    "METHOD_NOT_ALLOWED",
  ]);
  assertEquals(await keysOf(stack(), userId), ["expired"]);
  await (await cleanUpByFunction(project(stack()))).body?.cancel();
});
