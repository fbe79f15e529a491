import { assert, assertEquals, assertRejects } from "@std/assert";
import { withIdempotency } from "../../shared/idempotency.ts";
import { unique } from "../support/probe.ts";
import { type Actor, project, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

const contextOf = (key: string | null) => ({
  supabase: project(stack()).client,
  userId: ada.userId,
  route: "POST /events",
  key,
});

Deno.test("concurrent duplicates of an operation give exactly 201 and 409", async () => {
  const context = contextOf(unique("key"));
  const released = Promise.withResolvers<void>();
  let runs = 0;
  const create = () =>
    withIdempotency(context, async () => {
      runs += 1;
      await released.promise;
      return { status: 201, body: { id: runs } };
    });
  const both = [create(), create()];
  await Promise.race(both);
  released.resolve();
  const outcomes = await Promise.all(both);
  assertEquals(outcomes.map(({ status }) => status).sort(), [201, 409]);
  const refused = outcomes.find(({ status }) => status === 409);
  const problem = refused?.body as unknown as { code: string; detail: string };
  assertEquals(problem.code, "REQUEST_IN_PROGRESS");
  assertEquals(typeof problem.detail, "string");
  assert(Number(refused?.headers["retry-after"]) >= 1);
  assertEquals(runs, 1);
});

Deno.test("a repeated operation gets the recorded result", async () => {
  const context = contextOf(unique("key"));
  let runs = 0;
  const create = () =>
    withIdempotency(
      context,
      () => Promise.resolve({ status: 201, body: { id: ++runs } }),
    );
  const first = await create();
  const again = await create();
  assertEquals([first.status, first.body, first.replayed], [
    201,
    { id: 1 },
    false,
  ]);
  assertEquals([again.status, again.body, again.replayed], [
    201,
    { id: 1 },
    true,
  ]);
});

for (const body of [false, 0, "", null, [], {}]) {
  Deno.test(`a result of ${JSON.stringify(body)} is replayed as it was`, async () => {
    const context = contextOf(unique("key"));
    const run = () =>
      withIdempotency(context, () => Promise.resolve({ status: 200, body }));
    await run();
    const again = await run();
    assertEquals([again.body, again.replayed], [body, true]);
  });
}

Deno.test("an operation without a key runs every time", async () => {
  let runs = 0;
  const run = () =>
    withIdempotency(
      contextOf(null),
      () => Promise.resolve({ status: 200, body: ++runs }),
    );
  assertEquals([(await run()).body, (await run()).body], [1, 2]);
});

Deno.test("an operation that throws may run again", async () => {
  const context = contextOf(unique("key"));
  let runs = 0;
  const run = () =>
    withIdempotency(context, ({ attempt }) => {
      runs += 1;
      if (attempt === 1) throw new Error("no network");
      return Promise.resolve({ status: 200, body: attempt });
    });
  await assertRejects(run, Error, "no network");
  assertEquals((await run()).body, 2);
  assertEquals(runs, 2);
});

Deno.test("the same key on another route is another operation", async () => {
  const context = contextOf(unique("key"));
  const run = (route: string) =>
    withIdempotency(
      { ...context, route },
      () => Promise.resolve({ status: 200, body: route }),
    );
  assertEquals((await run("events")).body, "events");
  assertEquals((await run("refunds")).body, "refunds");
});

Deno.test("the same key with another payload is 422", async () => {
  const context = contextOf(unique("key"));
  const run = (payload: unknown) =>
    withIdempotency(
      { ...context, payload },
      () => Promise.resolve({ status: 200, body: 1 }),
    );
  await run({ amount: 5 });
  assertEquals((await run({ amount: 6 })).status, 422);
});
