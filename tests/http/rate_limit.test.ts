import { assertEquals } from "@std/assert";
import { defineMiddleware, pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { problemResponse, withIdempotency } from "../../shared/idempotency.ts";
import { unique } from "../support/probe.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let ada: Actor;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

/** Lets through so many requests, then answers 429. */
function limiter(requests: number) {
  return () => {
    if (requests-- > 0) return null;
    return problemResponse({
      status: 429,
      code: "RATE_LIMITED",
      title: "Too many requests",
      detail: "Wait a minute",
      retryable: true,
    });
  };
}

function post(
  fetch: (req: Request) => Promise<Response>,
  key: string,
): Promise<Response> {
  return fetch(
    new Request("http://localhost/orders", {
      method: "POST",
      headers: { ...ada.headers, "Idempotency-Key": key },
      body: "{}",
    }),
  );
}

// Functions get the token with a key id, from the gateway; here there is none.
const auth = () => withSupabase({ auth: "none" });

const config = () => ({
  scope: unique("orders"),
  callers: "project" as const,
});

Deno.test("a rate limiter in front counts every request, and its 429 is not recorded", async () => {
  const limit = limiter(1);
  const withLimit = defineMiddleware<
    "limit",
    void,
    Record<never, never>,
    boolean
  >({
    key: "limit",
    run: () => () => Promise.resolve(limit() ?? { limit: true }),
  });
  let runs = 0;
  const fetch = pipeline(
    [withLimit(), auth(), withIdempotency(config())],
    () => Promise.resolve(Response.json({ runs: ++runs })),
  );
  const key = unique("key");
  assertEquals((await post(fetch, key)).status, 200);
  assertEquals((await post(fetch, key)).status, 429);
  assertEquals(runs, 1);
});

Deno.test("a rate limiter in the handler lets replays pass, and its 429 may be retried", async () => {
  const limit = limiter(1);
  let runs = 0;
  const fetch = pipeline(
    [auth(), withIdempotency(config())],
    () => Promise.resolve(limit() ?? Response.json({ runs: ++runs })),
  );
  const key = unique("key");
  const statuses = [
    (await post(fetch, key)).status,
    (await post(fetch, key)).status,
    (await post(fetch, unique("key"))).status,
  ];
  assertEquals(statuses, [200, 200, 429]);
  assertEquals(runs, 1);
});
