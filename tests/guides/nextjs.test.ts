import { assertEquals } from "@std/assert";
import { createServerClient } from "@supabase/ssr";
import type { CallAnswer } from "../support/call.ts";
import { unique } from "../support/probe.ts";
import { signUp } from "../support/stack.ts";
import { takesEffectOnce } from "./once.ts";
import { NAMES, withGuides } from "./project.ts";

// Next.js calls a route handler with a request and sends its response, and that
// is all that is done here; the consumers of the package have Next.js itself.
const guides = withGuides();

const SERVER = `
import { POST } from "./app/api/orders/route.ts";

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(port),
}, (req) => POST(req));
`;

let server: Deno.ChildProcess;
let url: string;

Deno.test.beforeAll(async () => {
  const { path, stack, write } = guides();
  await write([
    ["server.ts", SERVER],
    ["names.json", JSON.stringify({ imports: NAMES })],
  ]);
  server = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--quiet",
      "--no-lock",
      "--config=names.json",
      "server.ts",
    ],
    cwd: path,
    env: {
      NEXT_PUBLIC_SUPABASE_URL: stack.apiUrl,
      NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY: stack.publishableKey,
      SUPABASE_SECRET_KEY: stack.secretKey,
      // It is no function of the project, and has nothing of its environment.
      SUPABASE_URL: "",
      SUPABASE_SECRET_KEYS: "",
      SUPABASE_SERVICE_ROLE_KEY: "",
    },
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = server.stdout.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  url = `http://127.0.0.1:${new TextDecoder().decode(value).trim()}`;
});
Deno.test.afterAll(async () => {
  server.kill();
  await server.status;
});

/** The cookies of somebody who has signed in, as Supabase's library sets them. */
async function session(change = (token: string) => token): Promise<string> {
  const { apiUrl, publishableKey } = guides().stack;
  const { client } = await signUp(guides().stack);
  const { data } = await client.auth.getSession();
  let cookies = "";
  const browser = createServerClient(apiUrl, publishableKey, {
    cookies: {
      getAll: () => [],
      setAll: (set) => {
        cookies = set.map(({ name, value }) => `${name}=${value}`).join("; ");
      },
    },
  });
  const { error } = await browser.auth.setSession(data.session!);
  if (error) throw error;
  const [name, value] = cookies.split("=base64-") as [string, string];
  const kept = JSON.parse(
    atob(value.replaceAll("-", "+").replaceAll("_", "/")),
  );
  const json = JSON.stringify({
    ...kept,
    access_token: change(kept.access_token),
  });
  return `${name}=base64-${btoa(json)}`;
}

async function order(cookie: string, item: string): Promise<CallAnswer> {
  const response = await fetch(`${url}/api/orders`, {
    method: "POST",
    headers: { Cookie: cookie, "Idempotency-Key": item },
    body: JSON.stringify({ item }),
  });
  return {
    status: response.status,
    headers: response.headers,
    body: await response.json(),
    replayed: response.headers.has("x-idempotency-replay"),
  };
}

const orders = (item: string) => guides().count("orders", "item", item);

Deno.test("Next.js: the order of a session's user is placed once", async () => {
  const ada = await session();
  await takesEffectOnce((item) => order(ada, item), orders);
  const item = unique("item");
  for (const user of [ada, await session()]) {
    assertEquals((await order(user, item)).replayed, false);
  }
  assertEquals(await orders(item), 2);
});

Deno.test("Next.js: no session and a forged one are refused before the handler runs", async () => {
  const item = unique("item");
  const forged = await session((token) => {
    const [head, , signature] = token.split(".");
    const claims = btoa(
      JSON.stringify({ sub: crypto.randomUUID(), exp: 9_999_999_999 }),
    );
    return [head, claims.replaceAll("=", ""), signature].join(".");
  });
  for (const cookie of ["", forged]) {
    const { status, body } = await order(cookie, item);
    assertEquals([status, body.code], [403, "CALLER_UNKNOWN"]);
  }
  assertEquals(await orders(item), 0);
});
