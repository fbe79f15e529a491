import { assertEquals } from "@std/assert";
import { decodeJwt, SignJWT } from "jose";
import type { Keys } from "../../scripts/stack/keys.ts";
import { unique } from "../support/probe.ts";
import { serve } from "../support/serve.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };

// A busy machine renews it late.
const LEASE_SECONDS = 3;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

/** The same user, with a token that is good for so many seconds more. */
async function expiring(actor: Actor, seconds: number): Promise<Actor> {
  const [row] = await stack().sql<{ keys: Keys }>(
    "select keys from local_stack.keys",
  );
  const token = actor.headers["Authorization"]!.replace("Bearer ", "");
  const now = Math.floor(Date.now() / 1000);
  const short = await new SignJWT({ ...decodeJwt(token), exp: now + seconds })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .sign(new TextEncoder().encode(row!.keys.jwtSecret));
  const headers = { ...actor.headers, Authorization: `Bearer ${short}` };
  return { ...actor, headers };
}

Deno.test("a caller's token that expires while the handler runs takes nothing away: one effect, recorded", async () => {
  const key = unique("key");
  const released = Promise.withResolvers<void>();
  let runs = 0;
  await using app = serve(
    stack(),
    { scope: "long-work", leaseSeconds: LEASE_SECONDS },
    async () => {
      runs += 1;
      await released.promise;
      return Response.json({ run: runs });
    },
  );
  const first = app.ask(await expiring(ada, 2), key);
  try {
    await new Promise((resolve) => setTimeout(resolve, 4_500));
    const duplicate = await app.ask(ada, key);
    assertEquals(duplicate.status, 409);
    await duplicate.body?.cancel();
  } finally {
    released.resolve();
  }
  const answer = await first;
  assertEquals(answer.headers.get("x-idempotency-stored"), "true");
  assertEquals(await answer.json(), { run: 1 });
  const retry = await app.ask(ada, key);
  assertEquals(retry.headers.get("x-idempotency-replay"), "true");
  assertEquals([await retry.json(), runs], [{ run: 1 }, 1]);
});

Deno.test(
  "a handler that hangs keeps its key for maxRunSeconds and its lease, is told so, and the retry runs",
  {
    // Where it is never told, the test waits for good.
    timeout: 20_000,
  },
  async () => {
    const key = unique("key");
    const hung = Promise.withResolvers<Response>();
    const told = Promise.withResolvers<string>();
    await using app = serve(
      stack(),
      {
        scope: "long-work",
        leaseSeconds: LEASE_SECONDS,
        maxRunSeconds: 2,
      },
      ({ attempt, signal }) => {
        if (attempt > 1) return new Response("done");
        signal.addEventListener(
          "abort",
          () => told.resolve(signal.reason.message),
        );
        return hung.promise;
      },
    );
    const late = app.ask(ada, key);
    try {
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      const duplicate = await app.ask(ada, key);
      assertEquals(duplicate.status, 409);
      await duplicate.body?.cancel();
      assertEquals((await told.promise).includes("2 s"), true);
      await new Promise((resolve) =>
        setTimeout(resolve, LEASE_SECONDS * 1000 + 200)
      );
      assertEquals(await (await app.ask(ada, key)).text(), "done");
    } finally {
      // Else the server would wait for it, and nobody hear what was wrong.
      hung.resolve(new Response("late"));
    }
    // Its late answer is not given out: it gives way to the one recorded.
    assertEquals(await (await late).text(), "done");
  },
);
