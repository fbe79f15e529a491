import { assertEquals, assertMatch } from "@std/assert";
import { DEV_SCRIPT, startDev } from "../support/dev.ts";
import { call } from "../support/call.ts";
import { signUp } from "../support/stack.ts";
import { findPostgres, startCluster } from "../../scripts/cluster/postgres.ts";

Deno.test("deno task dev prints where it is, then ready, and ends cleanly on Ctrl-C", async () => {
  const dev = await startDev(["--port", "0", "--memory", "--probe"]);
  const settings = dev.settings();
  assertEquals([...settings.keys()], [
    "API_URL",
    "PUBLISHABLE_KEY",
    "SECRET_KEY",
  ]);
  const apiUrl = settings.get("API_URL");
  const health = await fetch(`${apiUrl}/functions/v1/_health`);
  assertEquals(await health.json(), { status: "ok", database: "pglite" });
  const counted = await fetch(`${apiUrl}/functions/v1/probe?effect=none`);
  assertEquals(await counted.json(), { count: 0 });
  // An error that a client made is no news for the terminal.
  const refused = await fetch(`${apiUrl}/rest/v1/idempotency_keys`, {
    headers: { apikey: settings.get("PUBLISHABLE_KEY")! },
  });
  assertEquals(refused.status, 401);
  await refused.body?.cancel();
  assertEquals(await dev.stop("SIGINT"), { code: 0, stderr: "" });
});

Deno.test("deno task dev starts with what the examples need", async () => {
  const dev = await startDev(["--port", "0", "--memory"]);
  const settings = dev.settings();
  const apiUrl = settings.get("API_URL")!;
  const ada = await signUp({
    apiUrl,
    publishableKey: settings.get("PUBLISHABLE_KEY")!,
  });
  const { data: pools } = await ada.client.from("gpu_pools").select()
    .throwOnError();
  assertEquals(pools.map(({ name }) => name), ["Shared pool"]);
  const { status } = await call({ apiUrl }, ada, "reserve-gpu", {
    body: { poolId: pools[0]!.id, hours: 8 },
    key: "reserve-1",
  });
  assertEquals(status, 201);
  await dev.stop("SIGINT");
});

Deno.test({
  name:
    "deno task dev on Postgres keeps its keys over a restart and applies migrations once",
  ignore: findPostgres() === null,
  fn: async () => {
    const cluster = await startCluster();
    try {
      const args = ["--port", "0", "--database-url", cluster.url];
      const one = await startDev(args);
      assertEquals(one.settings().get("DB_URL"), cluster.url);
      assertEquals(await one.stop("SIGTERM"), { code: 0, stderr: "" });
      const two = await startDev(args);
      for (const name of ["PUBLISHABLE_KEY", "SECRET_KEY"]) {
        assertEquals(two.settings().get(name), one.settings().get(name));
      }
      assertEquals(await two.stop("SIGINT"), { code: 0, stderr: "" });
    } finally {
      await cluster.close();
    }
  },
});

Deno.test("deno task dev refuses what it cannot do in one helpful line", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const cases: [args: string[], message: RegExp][] = [
    [["--bogus"], /--bogus.*Usage: deno task dev/],
    [["extra"], /extra.*Usage/],
    [["--port", "70000"], /--port 70000: expected a number from 0 to 65535/],
    [["--memory", "--database-url", "postgres://x/y"], /does not go with/],
    [
      ["--database-url", "mysql://u:secret@x/y"],
      /expected postgresql:.*found mysql:\/\/…x/,
    ],
    [["--database-url", "nonsense"], /found no URL/],
    [
      ["--port", "0", "--database-url", "postgres://u:secret@127.0.0.1:1/x"],
      /Cannot reach the database at 127\.0\.0\.1:1/,
    ],
    [
      ["--memory", `--port=${taken.addr.port}`],
      /port is in use\. Choose another with --port/,
    ],
  ];
  await Promise.all(cases.map(async ([args, message]) => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", DEV_SCRIPT, "--port", "0", ...args],
    }).output();
    const text = new TextDecoder().decode(stderr);
    assertEquals(code, 1, text);
    assertEquals(stdout.length, 0);
    assertMatch(text, message);
    assertEquals(text.trimEnd().split("\n").length, 1, text);
    assertEquals(text.includes("secret"), false);
  }));
});
