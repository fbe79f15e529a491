import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  getIdempotencyStatus,
  KeyInvalidError,
} from "../../shared/idempotency.ts";
import { assertHeadIsGet, call } from "../support/call.ts";
import { probe, unique } from "../support/probe.ts";
import {
  type Actor,
  anonymous,
  project,
  signUp,
  withStack,
} from "../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };
let ben: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  ben = await signUp(stack());
});

function ask(actor: Actor, query: Record<string, string>, method = "GET") {
  const path = `idempotency-status?${new URLSearchParams(query)}`;
  return call(stack(), actor, path, { method });
}

async function run(actor: Actor, key: string, body = {}): Promise<void> {
  const response = await probe(stack(), actor, { key, body });
  await response.body?.cancel();
}

function set(key: string, assignment: string): Promise<unknown> {
  return stack().sql(
    `update public.idempotency_keys set ${assignment} where idempotency_key = $1`,
    [key],
  );
}

Deno.test("a completed key is shown with its times, and without its answer", async () => {
  const key = unique("key");
  await run(ada, key, { status: 201, body: "a secret" });
  const { status, body, headers } = await ask(ada, { key, scope: "probe" });
  const { createdAt, claimedAt, completedAt, expiresAt, ...rest } = body;
  assertEquals([status, rest], [200, {
    key,
    scope: "probe",
    status: "completed",
    attempt: 1,
    statusCode: 201,
    isStuck: false,
    finishedSteps: [],
  }]);
  const times = [createdAt, claimedAt, completedAt, expiresAt];
  assertEquals(times.map((time) => new Date(time).toISOString()), times);
  assertEquals(times.toSorted(), times);
  assertEquals(Date.parse(expiresAt) - Date.parse(claimedAt), 86_400_000);
  assertEquals(headers.get("cache-control"), "no-store");
  assertEquals(headers.has("retry-after"), false);
  const query = new URLSearchParams({ key, scope: "probe" });
  await assertHeadIsGet(stack(), ada, `idempotency-status?${query}`);
});

Deno.test("the steps that are done are named, their results are not told", async () => {
  const key = unique("key");
  await run(ada, key);
  await set(key, `steps = '{"upload": {"value": "a secret"}, "Notify": {}}'`);
  const { body } = await ask(ada, { key, scope: "probe" });
  assertEquals(body.finishedSteps, ["Notify", "upload"]);
  assertEquals(JSON.stringify(body).includes("secret"), false);
});

Deno.test("a running key says when to ask again, and whether it is stuck", async () => {
  const key = unique("key");
  const running = run(ada, key, { delayMs: 1_000 });
  const query = { key, scope: "probe" };
  let answer = await ask(ada, query);
  while (answer.status === 404) answer = await ask(ada, query);
  assertEquals(
    [answer.status, answer.body.status, answer.body.isStuck],
    [200, "processing", false],
  );
  assertEquals(
    [answer.body.completedAt, answer.body.statusCode],
    [null, null],
  );
  assert(Number(answer.headers.get("retry-after")) > 0);
  await set(key, "lease_expires_at = now() - interval '1 second'");
  assertEquals((await ask(ada, query)).body.isStuck, true);
  await running;
});

Deno.test("a failed key and its second attempt are shown as such", async () => {
  const key = unique("key");
  await run(ada, key, { status: 500 });
  const query = { key, scope: "probe" };
  assertEquals((await ask(ada, query)).body.status, "failed");
  await run(ada, key, { status: 500 });
  assertEquals((await ask(ada, query)).body.attempt, 2);
});

Deno.test("another user's key, another scope's and an expired one are as unknown as none", async () => {
  const key = unique("key");
  await run(ada, key);
  const expired = unique("key");
  await run(ada, expired);
  await set(
    expired,
    "claimed_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'",
  );
  const cases: [Actor, string, string][] = [
    [ben, key, "probe"],
    [ada, key, "start-training"],
    [ada, unique("key"), "probe"],
    [ada, expired, "probe"],
  ];
  for (const [actor, asked, scope] of cases) {
    const { status, body } = await ask(actor, { key: asked, scope });
    assertEquals([status, body.code], [404, "IDEMPOTENCY_KEY_NOT_FOUND"]);
  }
});

Deno.test("without a token, or with the secret key alone, nobody is told anything", async () => {
  const key = unique("key");
  await run(ada, key);
  for (const actor of [anonymous(stack()), project(stack())]) {
    const { status } = await ask(actor, { key, scope: "probe" });
    assertEquals(status, 401);
  }
});

Deno.test("a query that names no key, no scope or a malformed one is refused", async () => {
  const cases: [Record<string, string>, string][] = [
    [{}, "REQUEST_INVALID"],
    [{ key: "order-17" }, "REQUEST_INVALID"],
    [{ scope: "probe" }, "REQUEST_INVALID"],
    [{ key: "order-17", scope: "" }, "REQUEST_INVALID"],
    [{ key: "order-17", scope: "s".repeat(201) }, "REQUEST_INVALID"],
    [{ key: "or der", scope: "probe" }, "IDEMPOTENCY_KEY_INVALID"],
  ];
  for (const [query, code] of cases) {
    const { status, body } = await ask(ada, query);
    assertEquals([status, body.code], [400, code]);
  }
  // What no key has.
  const none = await ask(ada, { key: "order-17", scope: "a\0b" });
  assertEquals([none.status, none.body.code], [
    404,
    "IDEMPOTENCY_KEY_NOT_FOUND",
  ]);
  const { status, headers } = await ask(ada, {}, "POST");
  assertEquals([status, headers.get("allow")], [405, "GET, HEAD, OPTIONS"]);
});

Deno.test("getIdempotencyStatus() shows the project its own keys, and a named user's", async () => {
  const own = unique("key");
  const hers = unique("key");
  await run(project(stack()), own);
  await run(ada, hers);
  const { client } = project(stack());
  const scope = { scope: "probe" };
  assertEquals(
    (await getIdempotencyStatus(client, own, null, scope))?.status,
    "completed",
  );
  assertEquals(await getIdempotencyStatus(client, hers, null, scope), null);
  assertEquals(
    (await getIdempotencyStatus(client, hers, ada.userId, scope))?.key,
    hers,
  );
  assertEquals(await getIdempotencyStatus(client, own, null), null);
  await assertRejects(
    () => getIdempotencyStatus(client, "or der", null),
    KeyInvalidError,
  );
});
