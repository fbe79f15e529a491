import { assertEquals } from "@std/assert";
import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import {
  type IdempotencyConfig,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { unique } from "../support/probe.ts";
import { type Actor, anonymous, project, withStack } from "../support/stack.ts";

const stack = withStack();

/** A function as the Supabase CLI makes it: for whoever has either key. */
function fromTemplate(config: IdempotencyConfig = {}) {
  let runs = 0;
  const fetch = pipeline(
    [
      withSupabase({ auth: ["publishable", "secret"] }),
      withIdempotency({ scope: unique("template"), ...config }),
    ],
    () => Promise.resolve(Response.json({ run: ++runs })),
  );
  return async ({ headers }: Actor, key?: string) => {
    const keyed = key === undefined ? {} : { "Idempotency-Key": key };
    const response = await fetch(
      new Request("http://localhost/template", {
        method: "POST",
        headers: { ...headers, ...keyed },
      }),
    );
    return { status: response.status, body: await response.json() };
  };
}

Deno.test("the CLI's template refuses a key from whoever has the publishable key, and runs without one", async () => {
  const ask = fromTemplate();
  const { status, body } = await ask(anonymous(stack()), unique("key"));
  assertEquals([status, body.code], [403, "CALLER_UNKNOWN"]);
  assertEquals(await ask(anonymous(stack())), {
    status: 200,
    body: { run: 1 },
  });
});

Deno.test("the CLI's template takes the secret key's holder for the project, as it is", async () => {
  const ask = fromTemplate();
  const key = unique("key");
  for (let n = 0; n < 2; n++) {
    const { status, body } = await ask(project(stack()), key);
    assertEquals([status, body], [200, { run: 1 }]);
  }
});

Deno.test('with callers: "project" all of them share their keys', async () => {
  const ask = fromTemplate({ callers: "project" });
  const key = unique("key");
  for (const actor of [anonymous(stack()), project(stack())]) {
    assertEquals((await ask(actor, key)).body, { run: 1 });
  }
});
