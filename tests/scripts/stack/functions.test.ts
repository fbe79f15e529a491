import { assert, assertEquals, assertMatch } from "@std/assert";
import { decodeProtectedHeader } from "jose";
import { createFunctionServer } from "../../../scripts/stack/functions.ts";
import { generateKeys } from "../../../scripts/stack/keys.ts";
import type { FunctionSettings } from "../../../scripts/stack/settings.ts";
import { withLegacyKeys } from "../../../scripts/stack/tokens.ts";
import { type Running, withStack } from "./each_database.ts";

Deno.test("The gateway serves functions as a hosted project does", async (t) => {
  await withStack({ memory: true }, async (stack) => {
    const { id, token } = await stack.signUp();
    const authorization = `Bearer ${token}`;

    await t.step("a function sees its path without the prefix", async () => {
      const response = await stack.call("/functions/v1/echo/a%20b/c?d=1", {
        method: "POST",
        body: "héllo",
      });
      const seen = await response.json();
      assertEquals(seen.path, "/echo/a%20b/c");
      assertEquals(seen.search, "?d=1");
      assertEquals(seen.length, 6);
      assertEquals(seen.url, stack.apiUrl);
    });

    await t.step("a token is handed on with the key's name", async () => {
      const seen = await (await stack.call("/functions/v1/echo", {
        headers: { authorization },
      })).json();
      const { kid, alg } = decodeProtectedHeader(seen.authorization.slice(7));
      assertEquals(alg, "HS256");
      assertEquals(kid, seen.keySet.keys[0].kid);
      assertEquals(seen.keySet.keys.length, 1);
    });

    await t.step("Supabase's server library accepts that token", async () => {
      const response = await stack.call("/functions/v1/guarded", {
        method: "POST",
        headers: { authorization },
      });
      const seen = await response.json();
      assertEquals(response.status, 200, JSON.stringify(seen));
      assertEquals(seen.id, id);
      assertEquals(seen.data.uid, id);
      assertEquals(seen.data.user, "authenticated");
    });

    await t.step("verify_jwt refuses a missing token", async () => {
      const response = await stack.call("/functions/v1/guarded");
      assertEquals(response.status, 401);
      assertEquals(response.headers.get("access-control-allow-origin"), "*");
      assertEquals(await response.json(), {
        code: 401,
        message: "Missing authorization header",
      });
    });

    await t.step("verify_jwt refuses a forged token or a key", async () => {
      const [header, payload] = token.split(".");
      for (
        const forged of [
          `${header}.${payload}.${"A".repeat(43)}`,
          stack.publishableKey,
          stack.secretKey,
          "nonsense",
        ]
      ) {
        const response = await stack.call("/functions/v1/guarded", {
          headers: { authorization: `Bearer ${forged}` },
        });
        assertEquals(response.status, 401);
        assertEquals((await response.json()).message, "Invalid JWT");
      }
    });

    await t.step("verify_jwt lets a preflight reach the function", async () => {
      const response = await preflight(stack, "/functions/v1/guarded");
      assertEquals(response.ok, true);
      assert(response.headers.has("access-control-allow-headers"));
    });

    await t.step("a function answers its own preflight", async () => {
      const response = await preflight(stack, "/functions/v1/echo");
      assertEquals(response.headers.get("x-answered-by"), "function");
    });

    await t.step("two names may share an entrypoint", async () => {
      const response = await stack.call("/functions/v1/elsewhere");
      assertEquals((await response.json()).path, "/elsewhere");
    });

    await t.step("an unknown or disabled function answers 404", async () => {
      for (const name of ["nowhere", "off", "", "__proto__"]) {
        const response = await stack.call(`/functions/v1/${name}`);
        assertProblem(response, 404);
        assertEquals((await response.json()).code, "NOT_FOUND");
      }
    });

    await t.step(
      "a function that throws answers 500 and leaks nothing",
      async () => {
        const response = await stack.call("/functions/v1/echo?throw");
        assertProblem(response, 500);
        assertEquals((await response.text()).includes("secret"), false);
      },
    );

    await t.step("a function that cannot be loaded answers 503", async () => {
      const response = await stack.call("/functions/v1/broken");
      assertProblem(response, 503);
      assertEquals((await response.json()).code, "BOOT_ERROR");
    });

    await t.step("a body over the limit answers 413", async () => {
      const chunk = new Uint8Array(1024 * 1024);
      let sent = 0;
      const endless = new ReadableStream({
        pull(controller) {
          if (sent++ < 70) controller.enqueue(chunk);
          else controller.close();
        },
      });
      const response = await stack.call("/functions/v1/echo", {
        method: "POST",
        body: endless,
      });
      assertProblem(response, 413);
      await response.body?.cancel();
    });
  });
});

Deno.test("Closing the stack waits for background work and puts the environment back", async () => {
  const before = Deno.env.get("SUPABASE_URL");
  let recorded: unknown[] = [];
  let apiUrl = "";
  let released = false;
  const onUnload = () => void (released = true);
  globalThis.addEventListener("beforeunload", onUnload);
  try {
    await withStack({ memory: true }, async (stack) => {
      apiUrl = stack.apiUrl;
      assertEquals(Deno.env.get("SUPABASE_URL"), apiUrl);
      const response = await stack.call("/functions/v1/echo?later=after");
      await response.body?.cancel();
      recorded = await stack.sql("select label from public.labels");
      assertEquals(recorded, []);
      // The work still needs the gateway, so closing must keep it open meanwhile.
      const closing = stack.close();
      await new Promise((resolve) => setTimeout(resolve, 100));
      const health = await fetch(`${apiUrl}/functions/v1/_health`);
      assertEquals(await health.json(), { status: "ok", database: "pglite" });
      await closing;
    });
  } finally {
    globalThis.removeEventListener("beforeunload", onUnload);
  }
  assert(released);
  assertEquals(Deno.env.get("SUPABASE_URL"), before);
  assertEquals("EdgeRuntime" in globalThis, false);
  const refused = await fetch(apiUrl).then(() => "answered", () => "refused");
  assertEquals(refused, "refused");
});

function preflight(stack: Running, path: string): Promise<Response> {
  return fetch(`${stack.apiUrl}${path}`, {
    method: "OPTIONS",
    headers: {
      origin: "https://shop.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization, idempotency-key",
    },
  });
}

function assertProblem(response: Response, status: number): void {
  assertEquals(response.status, status);
  assertMatch(
    response.headers.get("content-type") ?? "",
    /^application\/problem\+json/,
  );
  assertEquals(response.headers.get("access-control-allow-origin"), "*");
}

Deno.test("A stack ends though a function is still loading, and so does the function", async () => {
  const folder = await Deno.makeTempDir();
  const map = `${folder}/deno.json`;
  const hangs = `${folder}/hangs.ts`;
  await Deno.writeTextFile(map, "{}");
  // Until the end of the test, not for ever: one of them loads in this process.
  await Deno.writeTextFile(
    hangs,
    `const isThere = () => Deno.lstat("${folder}").then(() => true, () => false);
await Deno.writeTextFile("${folder}/began", "");
while (await isThere()) await new Promise((wake) => setTimeout(wake, 20));`,
  );
  const began = async () => {
    while (await Deno.remove(`${folder}/began`).then(() => 0, () => 1)) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const settings = { entrypoint: hangs, verifyJwt: false };
  const server = createFunctionServer(
    new Map<string, FunctionSettings>([["here", settings], ["apart", {
      ...settings,
      importMap: map,
    }]]),
    await withLegacyKeys(generateKeys()),
  );
  const ask = (name: string) => {
    const request = new Request(`http://127.0.0.1/functions/v1/${name}`);
    return server.serve(name, request, {} as Deno.ServeHandlerInfo);
  };
  const here = ask("here");
  try {
    await began();
    const asked = ask("apart");
    await began();
    await server.close();
    assertEquals((await asked).status, 503);

    // As when the stack is killed: nobody is left to end it.
    const main = new URL(
      "../../../scripts/stack/function_main.ts",
      import.meta.url,
    );
    const alone = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-config", main.href, hangs, "mark"],
      stdin: "piped",
      signal: AbortSignal.timeout(20_000),
    }).spawn();
    await began();
    await alone.stdin.close();
    assertEquals((await alone.status).code, 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
    await here;
  }
});
