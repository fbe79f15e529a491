import { assertEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { bundleClient } from "../../scripts/client/bundle.ts";
import { assertNoComplaints, withBrowser } from "../support/browser.ts";
import { memoryLedger, withIdempotency } from "../../shared/idempotency.ts";
import {
  twoFunctions,
  USUAL_CORS,
  type Wanted,
} from "../support/two_functions.ts";

const visit = withBrowser();

/** Serves an empty page, and the client beside it. */
async function shopPage() {
  const code = await bundleClient();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) =>
      new URL(request.url).pathname === "/client.js"
        ? new Response(code, { headers: { "Content-Type": "text/javascript" } })
        : new Response(
          '<!DOCTYPE html><html lang="en"><link rel="icon" href="data:,"><title>Shop</title>',
          { headers: { "Content-Type": "text/html" } },
        ),
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Calls a function from the page, one after the other; its statuses. */
function callFrom(page: Page, url: string, wanted: Wanted[]) {
  return page.evaluate(async ([url, wanted]) => {
    const client: typeof import("../../shared/client.ts") = await import(
      `${location.origin}/client.js`
    );
    const send = client.createIdempotentFetch({ retry: { baseMs: 1 } });
    const outcomes: (number | string)[] = [];
    for (const one of wanted) {
      const call = send(url, {
        method: "POST",
        headers: {
          Authorization: "Bearer x",
          "Content-Type": "application/json",
        },
        body: JSON.stringify(one),
      });
      outcomes.push(
        await call.then(({ status }) => status, ({ name }) => name),
      );
    }
    return outcomes;
  }, [url, wanted] as const);
}

Deno.test("a function with the usual CORS headers is called as without the client, and its page is told once why", async () => {
  await using functions = await twoFunctions();
  await using shop = await shopPage();
  await using visitor = await visit();
  const page = await visitor.open(shop.url);
  const outcomes = await callFrom(page, `${functions.url}/unprotected`, [
    {},
    { status: 500 },
    { drops: true },
    { status: 503 },
  ]);
  assertEquals(outcomes, [201, 500, "TypeError", 503]);
  assertEquals(functions.rows("unprotected"), 4);
  assertEquals(
    functions.seen.filter((one) => !one.startsWith("OPTIONS")),
    Array(4).fill("POST unprotected"),
  );
  const said = visitor.complaints.filter((text) => /^CORS of/.test(text));
  assertEquals(said.length, 1);
});

Deno.test("a protected function of another origin has its key from the first request on, and shows what it is", async () => {
  await using functions = await twoFunctions();
  await using shop = await shopPage();
  await using visitor = await visit();
  const page = await visitor.open(shop.url);
  const outcomes = await callFrom(page, `${functions.url}/protected`, [
    {},
    { status: 200 },
  ]);
  assertEquals(outcomes, [201, 200]);
  assertNoComplaints(visitor);
  const recovered = await callFrom(page, `${functions.url}/protected`, [
    {},
    { loses: 2 },
  ]);
  assertEquals(recovered, [201, 201]);
  assertEquals(functions.rows("protected"), 4);
  const posts = functions.seen.filter((one) => one.startsWith("POST"));
  assertEquals(posts, Array(6).fill("POST protected +key"));
});

Deno.test("a handler of its own that hands over the usual CORS headers has its key in a browser too", async () => {
  let runs = 0;
  const keys: (string | null)[] = [];
  const wrapped = withIdempotency(
    {
      scope: "own",
      user: () => "ada",
      store: memoryLedger(),
      cors: USUAL_CORS,
    },
    (req) =>
      req.method === "OPTIONS"
        ? new Response("ok", { headers: USUAL_CORS })
        : Response.json({ run: ++runs }, { headers: USUAL_CORS }),
  );
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => {
      if (request.method === "POST") {
        keys.push(request.headers.get("Idempotency-Key"));
      }
      return wrapped(request);
    },
  );
  await using shop = await shopPage();
  await using visitor = await visit();
  const page = await visitor.open(shop.url);
  const url = `http://127.0.0.1:${server.addr.port}/functions/v1/own`;
  assertEquals(await callFrom(page, url, [{}, { status: 200 }]), [200, 200]);
  assertEquals(keys.filter((key) => key !== null).length, 2);
  assertNoComplaints(visitor);
});

Deno.test("an address is what it is to the page, which may have a base of its own", async () => {
  const keys: (string | null)[] = [];
  const code = await bundleClient();
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/functions/v1/orders") {
        keys.push(request.headers.get("Idempotency-Key"));
        return Response.json({});
      }
      return pathname === "/client.js"
        ? new Response(code, { headers: { "Content-Type": "text/javascript" } })
        : new Response(
          '<!DOCTYPE html><html lang="en"><base href="/"><link rel="icon" href="data:,"><title>Shop</title>',
          { headers: { "Content-Type": "text/html" } },
        );
    },
  );
  await using visitor = await visit();
  const page = await visitor.open(
    `http://127.0.0.1:${server.addr.port}/shop/till`,
  );
  assertEquals(await callFrom(page, "functions/v1/orders", [{}]), [200]);
  assertEquals(keys.map((key) => key !== null), [true]);
  assertNoComplaints(visitor);
});
