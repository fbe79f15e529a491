import { assert, assertEquals, assertMatch } from "@std/assert";
import { build } from "esbuild";
import { extname, join } from "node:path";
import postgres from "postgres";
import { emptyCluster } from "../../scripts/cluster/supabase_cluster.ts";
import { NODE, npmProgram } from "../../scripts/npm_package.ts";
import { missingChromium } from "../../scripts/test/chromium.ts";
import {
  memoryLedger,
  operationResponse,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { startServer, workerCommand } from "../runtimes/runtimes.ts";
import { withBrowser } from "../support/browser.ts";
import { type Consumer, install, type Installed } from "./installed.ts";

const SECRET = "sb_secret_of_this_test";
const ENVIRONMENT = {
  SUPABASE_URL: "http://127.0.0.1:9",
  SUPABASE_PUBLISHABLE_KEY: "sb_publishable_of_this_test",
  SUPABASE_SECRET_KEY: SECRET,
  NEXT_TELEMETRY_DISABLED: "1",
};

let installed: Installed;

Deno.test.beforeAll(async () => void (installed = await install()));
Deno.test.afterAll(async () => await installed[Symbol.asyncDispose]());

/** What is wrong with the types, less what is wrong in other packages. */
async function typeErrors(
  consumer: Consumer,
  version: "5.4" | "7",
): Promise<string[]> {
  const compiler = `typescript-${version}/bin/tsc`;
  const { output } = await installed.run(
    consumer,
    compiler,
    "--pretty",
    "false",
  );
  return output.split("\n").filter((line) =>
    / error TS\d+:/.test(line) &&
    !/^(\.\.\/)+node_modules\/(?!supabase-idempotency\/)/.test(line)
  );
}

/** An endpoint for orders, asked as a client on a bad network would. */
async function ordersOnce(url: string): Promise<void> {
  const post = async (key: string | null, item: string) => {
    const response = await fetch(url, {
      method: "POST",
      headers: {
        apikey: SECRET,
        "content-type": "application/json",
        ...(key === null ? {} : { "idempotency-key": key }),
      },
      body: JSON.stringify({ item }),
    });
    const { headers, status } = response;
    const text = await response.text();
    return {
      status,
      text,
      replay: headers.get("x-idempotency-replay"),
      // What a page on another origin may read.
      exposed: headers.has("access-control-expose-headers"),
    };
  };
  const first = await post("order-17", "tea");
  assertEquals([first.status, first.replay], [201, null], first.text);
  assertEquals(JSON.parse(first.text), { order: 1, item: "tea" });
  assertEquals(await post("order-17", "tea"), { ...first, replay: "true" });
  const reused = await post("order-17", "coffee");
  assertEquals([reused.status, reused.exposed], [422, true]);
  assertEquals(JSON.parse(reused.text).code, "IDEMPOTENCY_KEY_REUSED");
  assertEquals(JSON.parse((await post(null, "tea")).text).order, 2);
}

for (const version of ["5.4", "7"] as const) {
  Deno.test(`TypeScript ${version} takes the types of every entry point, strict`, async () => {
    assertEquals(await typeErrors("types", version), []);
  });
}

Deno.test("plain Node runs every entry point", async () => {
  const { code, output } = await installed.run("node", "main.mjs");
  assertEquals(code, 0, output);
  assertMatch(output, /^# pass \d\d/m);
});

Deno.test("the package's command puts the module into a project", async () => {
  const { bin, name, version } = JSON.parse(
    await Deno.readTextFile(join(installed.package, "package.json")),
  );
  const command = join(installed.package, bin[name]);
  const run = (...args: string[]) => installed.run("node", command, ...args);
  assertEquals(await run("--version"), { code: 0, output: version });
  const project = join(installed.folder("node"), "project");
  await Deno.mkdir(join(project, "supabase"), { recursive: true });
  const { code, output } = await run("init", "--yes", "--project", project);
  assertEquals(code, 0, output);
  const copy = "supabase/functions/_shared/idempotency.ts";
  assertEquals(
    await Deno.readTextFile(join(project, copy)),
    await Deno.readTextFile(join(installed.package, "shared/idempotency.ts")),
  );
});

Deno.test("plain Node migrates a database from code, once", async () => {
  await using cluster = await emptyCluster();
  const sql = postgres(cluster.url, { max: 1 });
  await sql`create table public.orders (id int primary key, fee int)`;
  await sql`insert into public.orders (id) values (1), (2)`;
  const { code, output } = await installed.run(
    "node",
    "migrate.mjs",
    cluster.url,
  );
  assertEquals(code, 0, output);
  const rows = await sql`select fee from public.orders`;
  assertEquals([...rows], [{ fee: 1 }, { fee: 1 }]);
  await sql.end();
});

Deno.test("a Hono server on Node keeps keys in a database with the package's SQL", async () => {
  assertEquals(await typeErrors("hono", "7"), []);
  await using cluster = await emptyCluster();
  const folder = join(installed.package, "supabase/schemas/idempotency");
  const names = Array.from(Deno.readDirSync(folder), ({ name }) => name);
  const sql = postgres(cluster.url, { max: 1, onnotice: () => {} });
  for (const name of names.sort()) await sql.file(join(folder, name));
  await using server = await startServer(
    "hono",
    installed.folder("hono"),
    { ...ENVIRONMENT, DATABASE_URL: cluster.url },
    {
      command: () => ({
        program: npmProgram("node", NODE),
        args: ["server.ts"],
      }),
      probe: "/",
    },
  );
  await ordersOnce(`${server.url}/api/orders`);
  const rows = await sql`select status from public.idempotency_keys`;
  assertEquals([...rows], [{ status: "completed" }]);
  await sql.end();
});

Deno.test("a route handler of Next.js answers once", async () => {
  assertEquals(await typeErrors("next", "7"), []);
  // What `next build` compiles takes it three times as long.
  await using server = await startServer(
    "next",
    installed.folder("next"),
    ENVIRONMENT,
    {
      command: (port) => ({
        program: npmProgram("node", NODE),
        args: [
          installed.program("next/dist/bin/next"),
          "dev",
          `--port=${port}`,
          "--hostname=127.0.0.1",
        ],
      }),
      probe: "/api/orders",
    },
  );
  await ordersOnce(`${server.url}/api/orders`);
});

Deno.test("a Worker answers once", async () => {
  assertEquals(await typeErrors("worker", "7"), []);
  const folder = installed.folder("worker");
  await build({
    absWorkingDir: folder,
    entryPoints: ["worker.ts"],
    outfile: join(folder, "app.mjs"),
    bundle: true,
    format: "esm",
    target: "es2022",
    conditions: ["workerd", "worker", "import"],
    mainFields: ["module", "main"],
    external: ["node:*", "cloudflare:*"],
    logLevel: "silent",
  });
  await using server = await startServer("workerd", folder, ENVIRONMENT, {
    command: (port) => workerCommand(folder, port, ENVIRONMENT),
    probe: "/",
  });
  await ordersOnce(`${server.url}/orders`);
});

Deno.test("an edge function with npm: answers once", async () => {
  const folder = installed.folder("deno");
  const args = ["--node-modules-dir=manual", "--no-lock", "--quiet"];
  const entry = "functions/orders/index.ts";
  await using server = await startServer("deno", folder, ENVIRONMENT, {
    command: (port) => ({
      program: Deno.execPath(),
      args: [
        "serve",
        "--check",
        "--allow-env",
        "--allow-net",
        ...args,
        "--host=127.0.0.1",
        `--port=${port}`,
        entry,
      ],
    }),
    probe: "/",
  });
  await ordersOnce(`${server.url}/orders`);
});

const isBrowserNeeded = missingChromium() === null ||
  Deno.env.get("REQUIRE_BROWSER") === "1";
const visitor = isBrowserNeeded ? withBrowser() : undefined;

Deno.test({
  name: "an app of Vite and React recovers an answer that was lost",
  ignore: visitor === undefined,
  async fn() {
    assertEquals(await typeErrors("vite-react", "7"), []);
    const built = await installed.run(
      "vite-react",
      "vite/bin/vite.js",
      "build",
      "--logLevel=warn",
    );
    assertEquals([built.code, built.output], [0, ""]);

    const store = memoryLedger();
    const keys: (string | null)[] = [];
    const order = async (request: Request) => {
      const key = request.headers.get("idempotency-key");
      keys.push(key);
      const outcome = await withIdempotency(
        { store, userId: "ada", route: "orders", key },
        () => Promise.resolve({ status: 201, body: { order: 1 } }),
      );
      return keys.length === 1
        ? new Response("the gateway lost it", { status: 502 })
        : operationResponse(outcome);
    };
    const dist = join(installed.folder("vite-react"), "dist");
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => {
        const { pathname } = new URL(request.url);
        return pathname === "/functions/v1/orders"
          ? order(request)
          : file(join(dist, pathname === "/" ? "index.html" : pathname));
      },
    );
    await using ada = await visitor!();
    const page = await ada.open(`http://127.0.0.1:${server.addr.port}/`);
    await page.getByRole("button", { name: "Order" }).click();
    await page.getByText("order 1 recovered").waitFor();
    assertEquals(keys.length, 2);
    assert(keys[0] !== null && keys[0] === keys[1]);
  },
});

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
};

async function file(path: string): Promise<Response> {
  try {
    const headers = { "content-type": TYPES[extname(path)] ?? "text/plain" };
    return new Response(await Deno.readFile(path), { headers });
  } catch {
    return new Response(null, { status: 404 });
  }
}
