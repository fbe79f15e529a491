import { assertEquals } from "@std/assert";
import {
  createApi,
  createIdempotentFetch,
  memoryStorage,
} from "../../shared/client.ts";

interface Arrived {
  readonly method: string;
  readonly hasKey: boolean;
}

/** A server that says who asked, as soon as so many have. */
function server(callers = 1) {
  const arrived: Arrived[] = [];
  const all = Promise.withResolvers<void>();
  const http = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async ({ method, headers }) => {
      arrived.push({ method, hasKey: headers.has("idempotency-key") });
      if (arrived.length >= callers) all.resolve();
      await all.promise;
      return Response.json({ for: headers.get("cookie") }, {
        headers: { "X-Idempotency-Stored": "true" },
      });
    },
  );
  return {
    url: `http://127.0.0.1:${http.addr.port}/functions/v1/orders`,
    arrived,
    [Symbol.asyncDispose]: () => http.shutdown(),
  };
}

/** Puts another `fetch` in the platform's place. */
function inPlace(fetch: typeof globalThis.fetch): Disposable {
  const own = globalThis.fetch;
  globalThis.fetch = fetch;
  return { [Symbol.dispose]: () => void (globalThis.fetch = own) };
}

Deno.test("in the place of the platform's fetch it sends by that, and does not call itself", async () => {
  await using orders = server();
  using _ = inPlace(createIdempotentFetch({ storage: memoryStorage() }));
  for (const method of ["GET", "POST"]) {
    await (await fetch(orders.url, { method })).json();
  }
  assertEquals(orders.arrived, [
    { method: "GET", hasKey: false },
    { method: "POST", hasKey: true },
  ]);
});

Deno.test("a fetch that is put in the platform's place later is the one that sends", async () => {
  const send = createIdempotentFetch({ storage: memoryStorage() });
  using _ = inPlace(() => Promise.resolve(Response.json("wrapped")));
  const response = await send("http://x/functions/v1/orders");
  assertEquals(await response.json(), "wrapped");
});

Deno.test("what comes with the platform's fetch comes with this one", () => {
  const preconnect = () => {};
  using _ = inPlace(Object.assign(() => fetch(""), { preconnect }));
  assertEquals(
    (createIdempotentFetch() as { preconnect?: unknown }).preconnect,
    preconnect,
  );
});

Deno.test("two users of one server, told apart by their cookies, share no answer", async () => {
  await using orders = server(2);
  const { apiPost } = createApi({
    fetch: createIdempotentFetch({
      match: () => true,
      storage: memoryStorage(),
      // Where they share one after all, it never comes.
      retry: { attempts: 2, tryMs: 3000 },
    }),
  });
  const answers = await Promise.all(["ada", "ben"].map(async (cookie) => {
    const { data } = await apiPost(orders.url, {}, { headers: { cookie } });
    return data;
  }));
  assertEquals(answers, [{ for: "ada" }, { for: "ben" }]);
});
