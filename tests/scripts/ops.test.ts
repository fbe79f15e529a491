import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { once } from "node:events";
import { request } from "node:http";
import { join } from "node:path";
import { migratedCluster } from "../../scripts/cluster/supabase_cluster.ts";
import { missingPostgres } from "../../scripts/cluster/postgres_extensions.ts";
import { startStack } from "../../scripts/stack/stack.ts";

const SCRIPT = join(import.meta.dirname!, "../../scripts/cli.ts");

/** Starts the command, and answers its link once it is printed. */
async function startOps(args: string[], env: Record<string, string> = {}) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", SCRIPT, "ops", ...args],
    env: { SUPABASE_URL: "", SUPABASE_SECRET_KEY: "", ...env },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let printed = "";
  while (!printed.includes("Ctrl-C")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`ops ended: ${printed}`);
    printed += value;
  }
  const link = new URL(/http\S+/.exec(printed)![0]);
  const token = new URLSearchParams(link.hash.slice(1)).get("token")!;
  return {
    printed,
    get: (path: string) => fetch(link.origin + path),
    /** The status of a request as a site sends it whose name points here. */
    async statusFor(host: string, path: string) {
      const asked = request(link, { path, headers: { host } }).end();
      const [{ statusCode }] = await once(asked, "response");
      asked.destroy();
      return statusCode;
    },
    ask: (what: string, about: unknown) =>
      fetch(`${link.origin}/api/${what}`, {
        method: "POST",
        headers: { "x-ops-token": token, "content-type": "application/json" },
        body: JSON.stringify(about),
      }),
    async stop() {
      child.kill("SIGTERM");
      await reader.cancel();
      return (await child.status).code;
    },
  };
}

Deno.test("ops serves the page of the project that URL and secret key name, and tells neither", async () => {
  const stack = await startStack({ port: 0, memory: true });
  try {
    const { apiUrl, secretKey } = stack;
    const ops = await startOps([], {
      SUPABASE_URL: apiUrl,
      SUPABASE_SECRET_KEY: secretKey,
    });
    assertStringIncludes(ops.printed, new URL(apiUrl).host);
    assertEquals(ops.printed.includes(secretKey), false);
    const page = await ops.get("/");
    assertMatch(page.headers.get("content-type") ?? "", /^text\/html/);
    assertStringIncludes(await page.text(), 'src="ops.js"');
    const recent = await ops.ask("recent", { limit: 5 });
    assertEquals(await recent.json(), { keys: [], below: null });
    for (const path of ["/", "//127.0.0.1/", "//localhost", "/ops.js"]) {
      const status = await ops.statusFor("evil.example:80", path);
      assertEquals([path, status], [path, 403]);
    }
    assertEquals(await ops.statusFor("localhost:80", "/"), 200);
    assertEquals(await ops.stop(), 0);
  } finally {
    await stack.close();
  }
});

Deno.test({
  name: "ops reads and resolves over a database's own URL too",
  ignore: missingPostgres([]) !== null,
  async fn() {
    await using cluster = await migratedCluster();
    const ops = await startOps(["--database-url", cluster.url]);
    const key = { owner: "", scope: "orders", key: "order-17" };
    const { default: postgres } = await import("postgres");
    const sql = postgres(cluster.url, { max: 1 });
    await sql`select public.idempotency_claim('', 'orders', 'order-17', ${
      "a".repeat(64)
    }, gen_random_uuid(), 60, 3600)`;
    await sql`update public.idempotency_keys set lease_expires_at = now() - interval '1 second'`;
    await sql.end();

    const look = await ops.ask("statistics", { hours: 24, scope: null });
    const { total, stuck_keys, project } = await look.json();
    assertEquals([total.stuck_count, stuck_keys.length], [1, 1]);
    assertEquals(project.includes("@"), false);
    const resolution = {
      ...{ userId: null, scope: "orders", key: "order-17", as: "completed" },
      ...{ status: 201, body: "{}", headers: null, note: "found" },
    };
    const resolved = await (await ops.ask("resolve", resolution)).json();
    assertEquals(resolved.outcome, "completed");
    const story = await (await ops.ask("key", key)).json();
    assertEquals([story.status_code, story.response], [201, "{}"]);
    assertEquals(story.metadata.note, "found");
    const recent = await ops.ask("recent", { status: "completed", limit: 5 });
    assertEquals((await recent.json()).keys[0].idempotency_key, "order-17");
    assertEquals(await ops.stop(), 0);
  },
});

Deno.test("ops says what it lacks, and what it does not know", async () => {
  const run = async (...args: string[]) => {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", SCRIPT, "ops", ...args],
      env: { SUPABASE_URL: "", SUPABASE_SECRET_KEY: "" },
    }).output();
    return [code, new TextDecoder().decode(stderr)] as const;
  };
  for (
    const [args, said] of [
      [[], "SUPABASE_URL is not set"],
      [["--port", "99999"], "--port 99999"],
      [["--colour"], "--colour"],
    ] as const
  ) {
    const [code, stderr] = await run(...args);
    assertEquals(code, 2);
    assertStringIncludes(stderr, said);
    assertStringIncludes(stderr, "Usage: deno task ops");
  }
});
