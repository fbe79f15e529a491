import { assert, assertEquals } from "@std/assert";
import { effects, probe, unique } from "../support/probe.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
const AT_ONCE = 50;
const ROUNDS = 3;
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

/** Loads the function and reads the schema, which are no part of a race. */
async function warmUp(): Promise<void> {
  await (await probe(stack(), ada, {})).body?.cancel();
}

async function race(config: Record<string, unknown>) {
  await warmUp();
  const effect = unique("race");
  const request = {
    key: unique("key"),
    config,
    body: { effect, delayMs: 50, status: 201, body: effect },
  };
  const answers = await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      const response = await probe(stack(), ada, request);
      return { status: response.status, text: await response.text() };
    }),
  );
  return { effect, answers, ran: await effects(stack(), effect) };
}

Deno.test(`${AT_ONCE} requests with one key: one runs, the others get 409 or its answer`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { effect, answers, ran } = await race({});
    assertEquals(ran, 1);
    for (const { status, text } of answers) {
      assert(
        status === 409 || (status === 201 && text === effect),
        `${status}`,
      );
    }
    assert(answers.some(({ status }) => status === 201));
  }
});

Deno.test(`${AT_ONCE} requests with one key that wait: one runs, all get its answer`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { effect, answers, ran } = await race({
      onConcurrent: "wait",
      waitSeconds: 20,
    });
    assertEquals(ran, 1);
    assertEquals(answers, Array(AT_ONCE).fill({ status: 201, text: effect }));
  }
});

Deno.test(`${AT_ONCE} users with the same key: each runs once`, async () => {
  await warmUp();
  const effect = unique("users");
  const key = unique("key");
  const users = await Promise.all(
    Array.from({ length: 10 }, () => signUp(stack())),
  );
  const answers = await Promise.all(
    Array.from({ length: AT_ONCE }, async (_, n) => {
      const user = users[n % users.length]!;
      const response = await probe(stack(), user, {
        key,
        body: { effect, body: "mine" },
        config: { onConcurrent: "wait", waitSeconds: 20 },
      });
      return await response.text();
    }),
  );
  assertEquals(answers, Array(AT_ONCE).fill("mine"));
  assertEquals(await effects(stack(), effect), users.length);
});
