import { assert, assertEquals, assertMatch } from "@std/assert";
import { decodeJwt, decodeProtectedHeader, SignJWT } from "jose";
import { dirname, join } from "node:path";
import { createClient } from "@supabase/supabase-js";
import { type Dev, startDev } from "../../support/dev.ts";

const SUPABASE_JS = "npm:@supabase/supabase-js@2.119.1";

const JWT_SECRET = crypto.randomUUID();

/**
 * A project such as people have, whose functions are of every style.
 *
 * @param port The one that functions name: nobody can have it.
 */
const files = (port: number): Record<string, string> => ({
  "config.toml": `
project_id = "theirs"

[auth]
jwt_secret = "env(THEIR_JWT_SECRET)"

[db.seed]
sql_paths = ["./seeds/*.sql"]

[functions.elsewhere]
verify_jwt = false
entrypoint = "./functions/_shared/moved.ts"

[functions.off]
enabled = false

[functions.own-map]
verify_jwt = false
import_map = "./functions/own-map/deno.json"

[functions.template]
verify_jwt = false
import_map = "./functions/template/deno.json"
entrypoint = "./functions/template/index.ts"

[functions.exported]
verify_jwt = false
[functions.options]
verify_jwt = false
[functions.object]
verify_jwt = false
[functions.careless]
verify_jwt = false
[functions.waits]
verify_jwt = false
[functions.late]
verify_jwt = false
[functions.old-std]
verify_jwt = false
[functions.neither]
verify_jwt = false
[functions.only-service]
verify_jwt = true
`,
  // With the mark that editors on Windows put first.
  "functions/.env":
    "\ufeffGREETING=good evening\nSUPABASE_URL=http://nowhere\n",
  "functions/exported/index.ts":
    `export default { fetch: () => Response.json({ greeting: Deno.env.get("GREETING") }) };`,
  "functions/_shared/moved.ts": `Deno.serve(() => new Response("moved"));`,
  "functions/off/index.ts": `Deno.serve(() => new Response("off"));`,
  "functions/neither/index.ts": `console.log("neither");`,
  "functions/options/index.ts": `
const server = Deno.serve({
  port: ${port},
  hostname: "127.0.0.1",
  onError: (error) => new Response(String(error), { status: 418 }),
}, (request, info) => {
  const { pathname, searchParams } = new URL(request.url);
  if (searchParams.has("throw")) throw new Error("told to");
  return Response.json({ pathname, port: server.addr.port, from: info.remoteAddr.hostname });
});`,
  "functions/careless/index.ts": `
Deno.serve(() => {
  (async () => { await 0; throw new Error("not awaited"); })();
  setTimeout(() => { throw new Error("not caught"); });
  return new Response("careless");
});`,
  "functions/object/index.ts": `
Deno.serve({ handler: async (request) => new Response(await request.text(), { status: 201 }) });`,
  "functions/waits/index.ts": `
await new Promise((resolve) => setTimeout(resolve, 20));
await Deno.serve(() => new Response("waits")).finished;`,
  "functions/late/index.ts": `
(async () => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  Deno.serve(() => new Response("late"));
})();`,
  // What `serve` of the standard library did up to its version 0.224.
  "functions/old-std/index.ts": `
async function serve(handler: (request: Request) => Response | Promise<Response>) {
  const listener = Deno.listen({ port: ${port}, hostname: "127.0.0.1", transport: "tcp" });
  for await (const connection of listener) {
    (async () => {
      // deno-lint-ignore no-explicit-any
      const http = (Deno as any).serveHttp(connection);
      for (let event; (event = await http.nextRequest());) {
        await event.respondWith(await handler(event.request));
      }
    })();
  }
}
serve(async (request) => new Response("old " + await request.text()));`,
  "functions/own-map/deno.json":
    `{ "imports": { "greeting": "./greeting.ts" } }`,
  "functions/own-map/greeting.ts": `export const greeting = "own";`,
  "functions/own-map/index.ts": `
import { greeting } from "greeting";
console.log("own-map says hello");
Deno.serve(async (request) => {
  const { pathname, host, searchParams } = new URL(request.url);
  if (searchParams.has("exit")) Deno.exit(3);
  if (searchParams.has("later")) {
    EdgeRuntime.waitUntil(new Promise((resolve) => setTimeout(resolve, 200)).then(() => console.log("finished later")));
  }
  return new Response(JSON.stringify({ greeting, pathname, host, body: await request.text() }), {
    status: 203,
    headers: { "content-type": "application/json", "x-own": "yes", location: "/there" },
  });
});`,
  // What `supabase functions new` makes of it.
  "functions/template/deno.json":
    `{ "imports": { "@supabase/server": "npm:@supabase/server@1.8.1", "@supabase/supabase-js": "${SUPABASE_JS}" } }`,
  "functions/template/index.ts": `
import { withSupabase } from "@supabase/server";
export default {
  fetch: withSupabase({ auth: ["publishable", "secret"] }, (_request, ctx) => Promise.resolve(Response.json(ctx.authMode))),
};`,
  "functions/legacy/index.ts": `
import { createClient } from "${SUPABASE_JS}";
Deno.serve(async (request) => {
  const authorization = request.headers.get("Authorization")!;
  const url = Deno.env.get("SUPABASE_URL")!;
  const caller = createClient(url, Deno.env.get("SUPABASE_ANON_KEY")!, {
    global: { headers: { Authorization: authorization } },
    auth: { persistSession: false },
  });
  const admin = createClient(url, Deno.env.get("SUPABASE_SERVICE_ROLE_KEY")!, {
    auth: { persistSession: false },
  });
  const user = await caller.auth.getUser(authorization.replace("Bearer ", ""));
  const mine = await caller.from("notes").insert({ body: "mine" }).select();
  const all = await admin.from("notes").select("body").order("id");
  return Response.json({ user: user.data.user?.id, mine: mine.data, all: all.data, errors: [user.error, mine.error, all.error] });
});`,
  "functions/only-service/index.ts": `
Deno.serve((request) =>
  request.headers.get("Authorization") === "Bearer " + Deno.env.get("SUPABASE_SERVICE_ROLE_KEY")
    ? new Response("welcome")
    : new Response("go away", { status: 403 })
);`,
  "migrations/20250101000000_notes.sql": `
create extension if not exists "uuid-ossp" with schema extensions;
create table public.notes (
  id bigint generated always as identity primary key,
  tag uuid not null default uuid_generate_v4(),
  user_id uuid default auth.uid(),
  body text not null
);
alter table public.notes enable row level security;
create policy own on public.notes to authenticated using (user_id = auth.uid()) with check (user_id = auth.uid());`,
  "migrations/20250102000000_grants.sql":
    `grant select, insert on public.notes to authenticated, service_role;`,
  "seeds/1.sql": `insert into public.notes (body) values ('seed one');`,
  "seeds/2.sql": `insert into public.notes (body) values ('seed two');`,
  "seed.sql": `select this is not read;`,
});

Deno.test("deno task dev --project serves another project's functions and migrations and nothing else", async (t) => {
  const project = await Deno.makeTempDir({ prefix: "project-" });
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  for (const [name, text] of Object.entries(files(port))) {
    const file = join(project, "supabase", name);
    await Deno.mkdir(dirname(file), { recursive: true });
    await Deno.writeTextFile(file, text);
  }
  let dev: Dev | undefined;
  try {
    dev = await startDev(["--port=0", "--memory", `--project=${project}`], {
      THEIR_JWT_SECRET: JWT_SECRET,
    });
    await serveProject(t, dev, port);
    const { output } = dev;
    const stopping = dev.stop("SIGTERM");
    dev = undefined;
    const { code, stderr } = await stopping;
    assertEquals(code, 0);
    assertMatch(output(), /own-map says hello\n/);
    assertMatch(output(), /finished later\n$/);
    assertMatch(
      stderr,
      /function neither did not load: .*neither exports a default with a fetch method nor calls Deno\.serve/,
    );
    assertMatch(stderr, /nobody minded: Error: not awaited\n/);
    assertMatch(stderr, /nobody caught it: Error: not caught\n/);
    assertEquals(stderr.match(/^.*Deno\.serve:.*$/m), null);
    assertEquals(
      (await Array.fromAsync(Deno.readDir(`${project}/supabase`)))
        .map(({ name }) => name).sort(),
      ["config.toml", "functions", "migrations", "seed.sql", "seeds"],
    );
  } finally {
    await dev?.stop("SIGTERM");
    await Deno.remove(project, { recursive: true });
  }
});

async function serveProject(
  t: Deno.TestContext,
  dev: Dev,
  port: number,
): Promise<void> {
  const settings = dev.settings();
  const setting = (name: string) => settings.get(name)!;
  const apiUrl = setting("API_URL");
  const call = async (name: string, init?: RequestInit) => {
    const response = await fetch(`${apiUrl}/functions/v1/${name}`, init);
    const text = await response.text();
    return { status: response.status, headers: response.headers, text };
  };

  await t.step("a function that exports fetch", async () => {
    const { status, text } = await call("exported");
    assertEquals([status, text], [200, '{"greeting":"good evening"}']);
  });

  await t.step("Deno.serve with options, and what it promises", async () => {
    const { text } = await call("options/a/b");
    assertEquals(JSON.parse(text), {
      pathname: "/options/a/b",
      port,
      from: "127.0.0.1",
    });
    const failed = await call("options?throw");
    assertEquals([failed.status, failed.text], [418, "Error: told to"]);
  });

  await t.step("every other way to serve", async () => {
    const post = { method: "POST", body: "héllo" };
    const answers = [
      ["object", 201, "héllo"],
      ["elsewhere", 200, "moved"],
      ["waits", 200, "waits"],
      ["late", 200, "late"],
      ["old-std", 200, "old héllo"],
      ["old-std", 200, "old héllo"],
    ] as const;
    for (const [name, status, text] of answers) {
      const answer = await call(name, post);
      assertEquals([name, answer.status, answer.text], [name, status, text]);
    }
  });

  await t.step("one that leaves errors to nobody takes none down", async () => {
    assertEquals((await call("careless")).text, "careless");
    await new Promise((resolve) => setTimeout(resolve, 100));
    assertEquals((await call("careless")).text, "careless");
  });

  await t.step("a function under an import map of its own", async () => {
    const post = { method: "POST", body: "héllo" };
    const { status, headers, text } = await call("own-map/x", post);
    assertEquals(JSON.parse(text), {
      greeting: "own",
      pathname: "/own-map/x",
      host: new URL(apiUrl).host,
      body: "héllo",
    });
    assertEquals(
      [status, headers.get("x-own"), headers.get("location")],
      [203, "yes", "/there"],
    );
    // One that crashed is started again.
    assertEquals((await call("own-map?exit")).status, 500);
    assertEquals((await call("own-map")).status, 203);
  });

  await t.step(
    "the template, which takes no legacy key by design",
    async () => {
      const answers = [
        ["PUBLISHABLE_KEY", 200, '"publishable"'],
        ["SECRET_KEY", 200, '"secret"'],
        ["ANON_KEY", 401, undefined],
      ] as const;
      for (const [name, status, expected] of answers) {
        const answer = await call("template", {
          headers: { apikey: setting(name) },
        });
        assertEquals(answer.status, status);
        if (expected !== undefined) assertEquals(answer.text, expected);
      }
    },
  );

  await t.step("one that serves nothing, and one that is off", async () => {
    assertEquals((await call("neither")).status, 503);
    assertEquals((await call("off")).status, 404);
    assertEquals((await call("_shared")).status, 404);
  });

  await t.step(
    "createClient with legacy keys and the caller's token",
    async () => {
      const client = createClient(apiUrl, setting("ANON_KEY"), {
        auth: { persistSession: false, autoRefreshToken: false },
      });
      const { data, error } = await client.auth.signUp({
        email: "ada@example.com",
        password: "engine no 1",
      });
      assertEquals(error, null);
      assertEquals(
        decodeProtectedHeader(data.session!.access_token).alg,
        "HS256",
      );
      const answer = await client.functions.invoke("legacy");
      assertEquals(answer.data.errors, [null, null, null]);
      assertEquals(answer.data.user, data.user!.id);
      assertEquals(answer.data.mine.length, 1);
      assertEquals(answer.data.mine[0].user_id, data.user!.id);
      assertEquals(
        answer.data.all.map(({ body }: { body: string }) => body),
        ["seed one", "seed two", "mine"],
      );
      const own = await client.from("notes").select("body");
      assertEquals(own.data, [{ body: "mine" }]);

      // Nor need the token be one of Auth's.
      const theirs = await new SignJWT({ role: "authenticated" })
        .setSubject(data.user!.id)
        .setProtectedHeader({ alg: "HS256" })
        .sign(new TextEncoder().encode(JWT_SECRET));
      const again = await client.functions.invoke("legacy", {
        headers: { Authorization: `Bearer ${theirs}` },
      });
      assertEquals(again.data.errors, [null, null, null]);
      assertEquals(again.data.mine[0].user_id, data.user!.id);
    },
  );

  await t.step(
    "legacy keys are what the CLI makes, and mean their role",
    async () => {
      for (
        const [name, role, status] of [
          ["ANON_KEY", "anon", 401],
          ["SERVICE_ROLE_KEY", "service_role", 200],
        ] as const
      ) {
        const key = setting(name);
        assertEquals(decodeJwt(key), {
          iss: "supabase-demo",
          role,
          exp: 1983812996,
        });
        for (
          const headers of [
            [["apikey", key]],
            [["apikey", key], ["authorization", `Bearer ${key}`]],
            [["apikey", setting("ANON_KEY")], [
              "authorization",
              `Bearer ${key}`,
            ]],
          ] as [string, string][][]
        ) {
          const response = await fetch(`${apiUrl}/rest/v1/notes`, { headers });
          await response.body?.cancel();
          assertEquals(response.status, status);
        }
      }
      const forged = setting("ANON_KEY").replace(/[^.]+$/, "A".repeat(43));
      const refused = await fetch(`${apiUrl}/rest/v1/notes`, {
        headers: { apikey: forged },
      });
      await refused.body?.cancel();
      assertEquals(refused.status, 401);
    },
  );

  await t.step(
    "verify_jwt takes a legacy key, and a function compares it",
    async () => {
      const as = (key: string) =>
        call("only-service", { headers: { authorization: `Bearer ${key}` } });
      assertEquals((await as(setting("SERVICE_ROLE_KEY"))).text, "welcome");
      assertEquals((await as(setting("ANON_KEY"))).status, 403);
      assertEquals((await as("nonsense")).status, 401);
    },
  );

  await t.step("nothing of this repository is there", async () => {
    assertEquals((await call("process-document")).status, 404);
    for (const path of ["/", "/ops", "/_provider/calls", "/ops/call/x"]) {
      const response = await fetch(apiUrl + path, {
        method: path.endsWith("x") ? "POST" : "GET",
      });
      await response.body?.cancel();
      assertEquals([path, response.status], [path, 404]);
    }
    const tables = await fetch(`${apiUrl}/rest/v1/idempotency_keys`, {
      headers: { apikey: setting("SECRET_KEY") },
    });
    await tables.body?.cancel();
    assertEquals(tables.status, 404);
    assert(!settings.has("DB_URL"));
  });

  // What it began is to be finished before the stack ends.
  assertEquals((await call("own-map?later")).status, 203);
}
