import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { connect } from "node:net";
import { withStack } from "../support/stack.ts";

const stack = withStack();

const get = (path: string, init?: RequestInit) =>
  fetch(stack().apiUrl + path, init);

/** Everything that a page loads, and what that loads. */
async function loadedBy(page: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  const visit = async (path: string) => {
    if (texts.has(path)) return;
    const response = await get(path);
    assertEquals(response.status, 200, path);
    const policy = response.headers.get("content-security-policy") ?? "";
    assertStringIncludes(policy, "default-src 'none'");
    assertStringIncludes(policy, "connect-src 'self'");
    assertEquals(policy.includes("unsafe"), false);
    assertEquals(response.headers.get("x-content-type-options"), "nosniff");
    const text = await response.text();
    texts.set(path, text);
    // What is bundled loads nothing.
    if (path === "/client.js") return;
    const links = text.matchAll(
      /(?:src|href)="(?!data:|\/(?:ops|events|quotations|till)?"|[#$])([^"]+)"|from "(\.[^"]+)"/g,
    );
    for (const [, link, module] of links) {
      await visit(new URL(link ?? module!, `http://x${path}`).pathname);
    }
  };
  await visit(page);
  return texts;
}

Deno.test("every page and all it loads are served under a strict policy", async () => {
  for (
    const [page, files] of [
      ["/", 8],
      ["/events", 7],
      ["/till", 9],
      ["/ops/", 11],
      ["/quotations", 6],
    ] as const
  ) {
    const loaded = await loadedBy(page);
    assert(loaded.size >= files, `${page} loads ${[...loaded.keys()]}`);
    assertEquals(
      /<script(?![^>]*src=)|<style|\sstyle=|\son\w+=/.test(loaded.get(page)!),
      false,
    );
    for (const text of loaded.values()) {
      assertEquals(text.includes(stack().secretKey), false);
    }
  }
});

Deno.test("a page is read, not written, and nothing beside it is served", async () => {
  for (const path of ["/", "/events", "/till", "/ops/", "/quotations"]) {
    const head = await get(path, { method: "HEAD" });
    assertEquals([head.status, await head.text()], [200, ""]);
    const post = await get(path, { method: "POST", body: "{}" });
    assert([404, 405].includes(post.status));
    await post.body?.cancel();
  }
  for (
    const path of [
      "serve.ts",
      "..%2fserve.ts",
      "%2e%2e/run.ts",
      "ops.html",
      "x.js",
    ]
  ) {
    const response = await get(`/ops/${path}`);
    assertEquals(response.status, 404, path);
    await response.body?.cancel();
  }
});

/** What the link to the operators' page of the stack proves itself with. */
async function token(): Promise<string> {
  const response = await get("/ops", { redirect: "manual" });
  assertEquals(response.status, 302);
  await response.body?.cancel();
  const location = response.headers.get("location") ?? "";
  assertMatch(location, /^\/ops\/#token=[\w-]{43}$/);
  return location.split("=")[1]!;
}

async function ask(
  what: string,
  about: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return await get(`/ops/api/${what}`, {
    method: "POST",
    body: typeof about === "string" ? about : JSON.stringify(about),
    headers: { "x-ops-token": await token(), ...headers },
  });
}

Deno.test("the operators' page is answered by its token alone, without the project's key", async () => {
  const answer = await ask("statistics", { hours: 6, scope: null });
  const { chart, project } = await answer.json();
  assertEquals([answer.status, chart.length], [200, 6]);
  assertEquals(project, new URL(stack().apiUrl).host);
  const { secretKey } = stack();
  for (const wrong of ["", "x", secretKey, `${await token()}x`]) {
    const headers = { "x-ops-token": wrong, apikey: secretKey };
    const refused = await ask("statistics", { hours: 6, scope: null }, headers);
    assertEquals(refused.status, 401, wrong);
    await refused.body?.cancel();
  }
});

Deno.test("another page on this machine, or a site that has its name point here, is refused", async () => {
  const about = { hours: 6, scope: null };
  for (
    const headers of [
      { origin: "http://127.0.0.1:1" },
      { origin: "null" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
    ]
  ) {
    const refused = await ask("statistics", about, headers);
    assertEquals(refused.status, 403, JSON.stringify(headers));
    assertEquals(refused.headers.get("access-control-allow-origin"), null);
    await refused.body?.cancel();
  }
  const preflight = await get("/ops/api/statistics", {
    method: "OPTIONS",
    headers: {
      origin: "https://shop.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "x-ops-token",
    },
  });
  assertEquals(preflight.headers.get("access-control-allow-headers"), null);
  assertEquals(preflight.status, 403);
  await preflight.body?.cancel();

  for (const path of ["/ops", "/ops/", "/ops/api/statistics"]) {
    const said = await rawly(path, "shop.example");
    assertEquals(/^HTTP\/1.1 (\d+)/.exec(said)?.[1], "403", path);
    assertEquals(said.includes("token="), false);
  }
  assertMatch(await rawly("/ops/", "localhost"), /^HTTP\/1.1 200/);
});

/** Asks under another name than the one that is connected to. */
function rawly(path: string, host: string): Promise<string> {
  const { hostname, port } = new URL(stack().apiUrl);
  const socket = connect(Number(port), hostname);
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
  );
  return new Promise((resolve, reject) => {
    let text = "";
    socket.on("data", (chunk) => text += chunk);
    socket.on("error", reject);
    socket.on("close", () => resolve(text));
  });
}

const RESOLUTION = {
  userId: null,
  scope: "x",
  key: "x-1",
  as: "completed",
  body: null,
  headers: null,
  note: null,
};

Deno.test("it asks nothing else, and says what is wrong with a question", async () => {
  for (
    const [what, about, status, said] of [
      ["cleanup", {}, 404, "does not ask"],
      ["constructor", {}, 404, "does not ask"],
      ["statistics", { hours: 500, scope: null }, 400, "hours"],
      ["recent", { status: "gone", limit: 5 }, 400, "status"],
      ["key", "{", 400, "JSON"],
      ["resolve", { ...RESOLUTION, status: 199 }, 400, "status"],
      ["resolve", { ...RESOLUTION, status: 2 ** 53 - 1 }, 400, "status"],
      ["key", "x".repeat(9 * 1024 * 1024), 413, "too large"],
    ] as const
  ) {
    const response = await ask(what, about);
    assertEquals(response.status, status, what);
    const { headers } = response;
    assertEquals(headers.get("content-type"), "application/problem+json");
    const problem = await response.json();
    assertEquals(problem.status, status);
    assertStringIncludes(problem.detail, said);
  }
  for (const method of ["PUT", "DELETE"]) {
    const response = await get("/ops/api/key", {
      method,
      body: JSON.stringify({ owner: "", scope: "x", key: "x-1" }),
      headers: { "x-ops-token": await token() },
    });
    assertEquals([method, response.status], [method, 404]);
    await response.body?.cancel();
  }
  const missing = await ask("key", { owner: "", scope: "x", key: "x-1" });
  assertEquals([missing.status, await missing.json()], [200, null]);
});
