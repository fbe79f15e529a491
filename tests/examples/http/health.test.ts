import { assert, assertEquals } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import { checkHealth } from "../../../functions/health/check_health.ts";
import type { Health } from "../../../functions/health/health.ts";
import { unique } from "../../support/probe.ts";
import { anonymous, project, signUp, withStack } from "../../support/stack.ts";

const stack = withStack();

const ask = (method = "GET", headers: HeadersInit = {}) =>
  fetch(`${stack().apiUrl}/functions/v1/health`, { method, headers });

const check = (): Promise<Health> => checkHealth(project(stack()).client);

async function insertKeys(
  count: number,
  columns: string,
  values: string,
): Promise<string> {
  const scope = unique("health");
  await stack().sql(
    `insert into public.idempotency_keys
       (owner, scope, idempotency_key, request_fingerprint, owner_token, ${columns})
     select '', $1, 'key-' || n, repeat('a', 64), gen_random_uuid(), ${values}
     from generate_series(1, ${count}) as n`,
    [scope],
  );
  return scope;
}

/** Takes away what earlier tests left, so that the rest can be counted. */
const tidyUp = () =>
  stack().sql(
    "delete from public.idempotency_keys where expires_at <= now() or status = 'processing'",
  );

const forget = (scope: string) =>
  stack().sql("delete from public.idempotency_keys where scope = $1", [scope]);

Deno.test("health is told to anybody, without a key or a token", async () => {
  const response = await ask();
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("content-type"), "application/health+json");
  assertEquals(response.headers.get("cache-control"), "no-store");
  const { status, checks } = await response.json();
  assert(["pass", "warn"].includes(status));
  assertEquals(Object.keys(checks), [
    "database:responseTime",
    "schema:version",
    "cleanup:lastRun",
    "idempotencyKeys:expired",
    "idempotencyKeys:stuck",
  ]);
  assert(checks["database:responseTime"].observedValue >= 0);
});

Deno.test("the schema version is that of the newest migration", async () => {
  const versions: string[] = [];
  for await (
    const { name } of Deno.readDir(
      new URL("../../../supabase/migrations", import.meta.url),
    )
  ) versions.push(name.split("_")[0]!);
  const { checks } = await check();
  assertEquals(
    checks["schema:version"]?.observedValue,
    versions.sort().at(-1),
  );
});

Deno.test("HEAD gets the same answer without its body", async () => {
  const response = await ask("HEAD");
  assertEquals([response.status, await response.text()], [200, ""]);
  assertEquals(response.headers.get("content-type"), "application/health+json");
});

Deno.test("other methods are refused", async () => {
  const response = await ask("POST");
  assertEquals(response.status, 405);
  assertEquals(response.headers.get("allow"), "GET, HEAD, OPTIONS");
  await response.body?.cancel();
});

Deno.test("expired keys are counted, and from a thousand on they are a warning", async () => {
  await tidyUp();
  const few = await insertKeys(
    3,
    "lease_expires_at, expires_at",
    "now() - interval '2 hours', now() - interval '1 hour'",
  );
  const before = await check();
  assertEquals(before.checks["idempotencyKeys:expired"]?.observedValue, 3);
  assertEquals(before.checks["idempotencyKeys:expired"]?.status, "pass");
  const many = await insertKeys(
    1_500,
    "lease_expires_at, expires_at, status, status_code, completed_at, response_encoding",
    "null, now() - interval '1 hour', 'completed', 200, now(), 'none'",
  );
  const after = await check();
  assertEquals(after.status, "warn");
  assertEquals(after.checks["idempotencyKeys:expired"]?.observedValue, 1_000);
  await Promise.all([few, many].map(forget));
});

Deno.test("stuck keys are a warning, running ones are not", async () => {
  await tidyUp();
  const running = await insertKeys(
    2,
    "lease_expires_at, expires_at",
    "now() + interval '1 minute', now() + interval '1 hour'",
  );
  const before = await check();
  assertEquals(before.checks["idempotencyKeys:stuck"]?.status, "pass");
  const stuck = await insertKeys(
    2,
    "lease_expires_at, expires_at",
    "now() - interval '1 minute', now() + interval '1 hour'",
  );
  const { status, checks } = await check();
  assertEquals(status, "warn");
  assertEquals(checks["idempotencyKeys:stuck"]?.observedValue, 2);
  await Promise.all([running, stuck].map(forget));
});

Deno.test("the last cleanup is told where pg_cron runs it, and not known elsewhere", async () => {
  const [row] = await stack().sql<{ there: boolean }>(
    "select to_regclass('cron.job_run_details') is not null as there",
  );
  if (row!.there) await stack().sql("delete from cron.job_run_details");
  const before = (await check()).checks["cleanup:lastRun"];
  assertEquals([before?.status, before?.observedValue], ["pass", null]);
  if (!row!.there) return;
  const run = async (runId: number, status: string, hoursAgo: number) => {
    await stack().sql(
      `insert into cron.job_run_details (jobid, runid, status, start_time, end_time)
       select j.jobid, $1, $2, now(), now() - make_interval(hours => $3)
       from cron.job as j where j.jobname = 'cleanup-expired-idempotency-keys'`,
      [runId, status, hoursAgo],
    );
    const { checks } = await check();
    return checks["cleanup:lastRun"]!;
  };
  try {
    const well = await run(1_000_001, "succeeded", 1);
    assertEquals(well.status, "pass");
    const ageMs = Date.now() - Date.parse(String(well.observedValue));
    assert(Math.abs(ageMs - 3_600_000) < 60_000);
    assertEquals((await run(1_000_002, "succeeded", 4)).status, "warn");
    assertEquals((await run(1_000_003, "failed", 0)).status, "warn");
  } finally {
    await stack().sql(
      "delete from cron.job_run_details where runid between 1000001 and 1000003",
    );
  }
});

Deno.test("a database without the schema is 503, and says what to do", async () => {
  const { sql } = stack();
  await sql(
    "alter function public.health_report(integer, integer) rename to health_report_away",
  );
  try {
    const { status, checks } = await check();
    assertEquals([status, checks["schema:version"]?.status], ["fail", "fail"]);
    // Longer than an answer is given again.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const response = await ask();
    assertEquals(response.status, 503);
    assertEquals((await response.json()).status, "fail");
    const head = await ask("HEAD");
    assertEquals([head.status, await head.text()], [503, ""]);
  } finally {
    await sql(
      "alter function public.health_report_away(integer, integer) rename to health_report",
    );
    await new Promise((resolve) => setTimeout(resolve, 1_100));
  }
});

Deno.test("a database that is out of reach, or does not answer in time, fails within the deadline", async () => {
  const nobody = createClient("http://127.0.0.1:9", "key");
  assertEquals((await checkHealth(nobody)).status, "fail");
  const answer = Promise.withResolvers<Response>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => answer.promise,
  );
  const slow = createClient(`http://127.0.0.1:${server.addr.port}`, "key");
  const { status, checks } = await checkHealth(slow, 100);
  assertEquals(status, "fail");
  assertEquals(checks["database:responseTime"]?.status, "fail");
  answer.resolve(new Response("{}"));
  await server.shutdown();
});

Deno.test("what the function tells holds no address, key or word of the database's", async () => {
  const text = await (await ask()).text();
  const { apiUrl, secretKey, publishableKey } = stack();
  for (const secret of [apiUrl, secretKey, publishableKey, "postgres"]) {
    assert(!text.includes(secret));
  }
});

Deno.test("a hundred checks at once ask the database once", async () => {
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  const real = globalThis.fetch;
  let calls = 0;
  globalThis.fetch = (input, init) => {
    const { pathname } = new URL(input instanceof Request ? input.url : input);
    if (pathname.endsWith("/rpc/health_report")) calls += 1;
    return real(input, init);
  };
  try {
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => ask()),
    );
    for (const answer of answers) {
      assertEquals((await answer.json()).status, "pass");
    }
  } finally {
    globalThis.fetch = real;
  }
  assertEquals(calls, 1);
});

Deno.test("only the service role calls what is behind it", async () => {
  const ada = await signUp(stack());
  for (const { client } of [ada, anonymous(stack())]) {
    const { error } = await client.rpc("health_report");
    assertEquals(error?.code, "42501");
  }
});
