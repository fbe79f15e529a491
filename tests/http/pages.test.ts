import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { withStack } from "../support/stack.ts";

const stack = withStack();

const get = (path: string, init?: RequestInit) =>
  fetch(stack().apiUrl + path, init);

/** The paths that a page or script loads. */
function loaded(text: string): string[] {
  return [...text.matchAll(/(?:src|href)="(\/[^"]+)"|from "\.\/([^"]+)"/g)]
    .map(([, path, module]) => path ?? `/${module}`);
}

Deno.test("the operators' page and what it loads is served under a strict policy", async () => {
  const page = await get("/ops");
  assertEquals(page.status, 200);
  assertMatch(page.headers.get("content-type") ?? "", /^text\/html/);
  const html = await page.text();
  const paths = loaded(html);
  const main = await (await get("/ops.js")).text();
  paths.push(...loaded(main));
  assertEquals(paths.length >= 6, true);
  for (const path of ["/ops", ...paths]) {
    const response = await get(path);
    assertEquals(response.status, 200, path);
    const policy = response.headers.get("content-security-policy") ?? "";
    assertStringIncludes(policy, "default-src 'none'");
    assertStringIncludes(policy, "connect-src 'self'");
    assertEquals(policy.includes("unsafe"), false);
    assertEquals(response.headers.get("x-content-type-options"), "nosniff");
    await response.body?.cancel();
  }
  assertEquals(
    /<script(?![^>]*src=)|<style|\sstyle=|\son\w+=/.test(html),
    false,
  );
});

Deno.test("a page is read, not written", async () => {
  const head = await get("/ops", { method: "HEAD" });
  assertEquals([head.status, await head.text()], [200, ""]);
  const post = await get("/ops", { method: "POST", body: "{}" });
  assertEquals([post.status, (await post.json()).code], [404, "NOT_FOUND"]);
});

const call = (name: string, apikey: string, init: RequestInit = {}) =>
  get(`/ops/call/${name}`, {
    method: "POST",
    body: "{}",
    ...init,
    // What the Data API itself takes for a browser, and refuses.
    headers: { apikey, "user-agent": "Mozilla/5.0 (X11) Chrome/140.0" },
  });

Deno.test("the operators' page calls its functions with the secret key, and with no other", async () => {
  const { secretKey, publishableKey } = stack();
  const answer = await call("idempotency_hourly_statistics", secretKey);
  assertEquals([answer.status, (await answer.json()).length], [200, 48]);
  for (
    const [key, status] of [
      ["", 401],
      ["sb_secret_wrong", 401],
      [publishableKey, 401],
    ] as const
  ) {
    const refused = await call("idempotency_hourly_statistics", key);
    assertEquals(refused.status, status, key);
    await refused.body?.cancel();
  }
});

Deno.test("it calls nothing else, and answers no other origin", async () => {
  const { secretKey } = stack();
  for (const name of ["cleanup_expired_idempotency_keys", "x/../y", ""]) {
    const response = await call(name, secretKey);
    assertEquals(response.status, 404, name);
    await response.body?.cancel();
  }
  const preflight = await get("/ops/call/idempotency_upkeep", {
    method: "OPTIONS",
    headers: {
      origin: "https://shop.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "apikey",
    },
  });
  assertEquals(preflight.headers.get("access-control-allow-headers"), null);
  await preflight.body?.cancel();
  assertEquals(preflight.status, 404);
});
