import { assert, assertEquals } from "@std/assert";
import { unique } from "../support/probe.ts";
import { serve } from "../support/serve.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

const CONFIG = { scope: "finish-later", leaseSeconds: 1 };

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

async function settled(key: string): Promise<string> {
  for (let tries = 0; tries < 2_000; tries++) {
    const [row] = await stack().sql<{ status: string }>(
      "select status from public.idempotency_keys where idempotency_key = $1",
      [key],
    );
    if (row!.status !== "processing") return row!.status;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`"${key}" was still in progress after 50 s`);
}

const accepted = () => Response.json({ accepted: true }, { status: 202 });

Deno.test("a long operation answers 202 now, holds its key past the lease, and gives retries the final answer", async () => {
  const key = unique("key");
  const work = Promise.withResolvers<Response>();
  let runs = 0;
  // A busy machine renews it late.
  const config = { ...CONFIG, leaseSeconds: 4 };
  await using app = serve(stack(), config, (idempotency) => {
    runs += 1;
    return idempotency.finishLater(accepted(), () => work.promise);
  });
  const first = await app.ask(ada, key);
  assertEquals([first.status, await first.json()], [202, { accepted: true }]);
  const leaseOver = performance.now() + 6_000;
  try {
    while (performance.now() < leaseOver) {
      const duplicate = await app.ask(ada, key);
      assertEquals(duplicate.status, 409);
      assertEquals((await duplicate.json()).code, "REQUEST_IN_PROGRESS");
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  } finally {
    // Else it would be renewed beside all tests that follow.
    work.resolve(Response.json({ report: 17 }, { status: 201 }));
  }
  assertEquals(await settled(key), "completed");
  const replay = await app.ask(ada, key);
  assert(replay.headers.has("x-idempotency-replay"));
  assertEquals([replay.status, await replay.json()], [201, { report: 17 }]);
  assertEquals(runs, 1);
});

Deno.test("a background part that throws, or ends in no outcome, leaves the key failed, and the retry runs", async () => {
  const key = unique("key");
  const parts = [
    () => Promise.reject(new Error("the model hung up")),
    () => Promise.resolve(new Response("not now", { status: 503 })),
    () => Promise.resolve(new Response("done")),
  ];
  await using app = serve(
    stack(),
    CONFIG,
    ({ finishLater, attempt }) => finishLater(accepted(), parts[attempt - 1]!),
  );
  for (const status of ["failed", "failed", "completed"]) {
    const answer = await app.ask(ada, key);
    assertEquals(answer.status, 202);
    await answer.body?.cancel();
    assertEquals(await settled(key), status);
  }
  assertEquals(await (await app.ask(ada, key)).text(), "done");
});

Deno.test("the user is told of the end of a long operation, without its answer", async () => {
  // As much of Supabase Realtime as the ledger uses.
  await stack().sql("create schema realtime");
  try {
    await stack().sql(
      "create table realtime.sent (payload jsonb, event text, topic text, private boolean)",
    );
    await stack().sql(`
      create function realtime.send(payload jsonb, event text, topic text, private boolean default true)
      returns void language sql as
      $$ insert into realtime.sent values (payload, event, topic, private) $$`);
    const key = unique("key");
    await using app = serve(
      stack(),
      CONFIG,
      ({ finishLater }) =>
        finishLater(accepted(), () => Promise.resolve(new Response("secret"))),
    );
    await (await app.ask(ada, key)).body?.cancel();
    assertEquals(await settled(key), "completed");
    let sent: unknown[] = [];
    for (let tries = 0; sent.length === 0 && tries < 2_000; tries++) {
      // An earlier test's may come late.
      sent = await stack().sql(
        "select * from realtime.sent where payload ->> 'key' = $1",
        [key],
      );
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    assertEquals(sent, [{
      payload: {
        key,
        scope: CONFIG.scope,
        status: "completed",
        status_code: 200,
      },
      event: "completed",
      topic: `idempotency:${ada.userId}`,
      private: true,
    }]);
  } finally {
    await stack().sql("drop schema realtime cascade");
  }
});
