import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AlreadyCompletedError,
  checkIdempotency,
  cleanupExpiredKeys,
  createIdempotencyKey,
  KeyInvalidError,
  KeyReusedError,
  markIdempotencyFailed,
  NotOwnerError,
  OutcomeUnknownError,
  RequestInProgressError,
  storeIdempotencyResult,
} from "../../shared/idempotency.ts";
import { letLeaseLapse } from "../support/ledger_row.ts";
import { unique } from "../support/probe.ts";
import { type Actor, project, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

/** The secret key's client, and whom it acts for. */
const secret = () => ({
  client: project(stack()).client,
  userId: ada.userId,
});

const RESULT = {
  response: '{ "order": 1 }',
  statusCode: 201,
  headers: { location: "/orders/1" },
};

const CACHED = {
  response: '{ "order": 1 }',
  status_code: 201,
  response_headers: { location: "/orders/1" },
};

Deno.test("check, create, store, check: the answer comes back as it was stored", async () => {
  const { client, userId } = secret();
  const key = unique("key");
  assertEquals(await checkIdempotency(client, key, userId), {
    isIdempotent: false,
    cachedResponse: null,
  });
  const claim = await createIdempotencyKey(client, key, userId);
  assertEquals(claim.attempt, 1);
  await storeIdempotencyResult(client, key, userId, RESULT);
  assertEquals(await checkIdempotency(client, key, userId), {
    isIdempotent: true,
    cachedResponse: CACHED,
  });
});

Deno.test("createIdempotencyKey() lets one of many at once through", async () => {
  const key = unique("key");
  const settled = await Promise.allSettled(
    Array.from(
      { length: 20 },
      () => createIdempotencyKey(secret().client, key, ada.userId),
    ),
  );
  const refusals = settled.filter(({ status }) => status === "rejected");
  assertEquals(refusals.length, 19);
  for (const refusal of refusals) {
    assert(
      (refusal as PromiseRejectedResult).reason instanceof
        RequestInProgressError,
    );
  }
});

Deno.test("createIdempotencyKey() on a completed key hands over its answer", async () => {
  const { client, userId } = secret();
  const key = unique("key");
  await createIdempotencyKey(client, key, userId);
  await storeIdempotencyResult(client, key, userId, RESULT);
  const error = await assertRejects(
    () => createIdempotencyKey(client, key, userId),
    AlreadyCompletedError,
  );
  assertEquals(error.cachedResponse, CACHED);
});

Deno.test("a failed key can be created again, with the next attempt", async () => {
  const { client, userId } = secret();
  const key = unique("key");
  await createIdempotencyKey(client, key, userId);
  await markIdempotencyFailed(client, key, userId, new Error("no stock"));
  const { data } = await client.from("idempotency_keys").select(
    "status, error_message",
  )
    .eq("idempotency_key", key).single();
  assertEquals(data, { status: "failed", error_message: "Error: no stock" });
  assertEquals((await createIdempotencyKey(client, key, userId)).attempt, 2);
});

Deno.test("the same key with another payload is refused", async () => {
  const { client, userId } = secret();
  const key = unique("key");
  await createIdempotencyKey(client, key, userId, { payload: { amount: 5 } });
  await assertRejects(
    () => createIdempotencyKey(client, key, userId, { payload: { amount: 6 } }),
    KeyReusedError,
  );
});

Deno.test("who never created the key stores nothing", async () => {
  const key = unique("key");
  await assertRejects(
    () => storeIdempotencyResult(secret().client, key, ada.userId, RESULT),
    NotOwnerError,
  );
});

Deno.test("whoever lost the lease is told who won, and overwrites nothing", async () => {
  const { client, userId } = secret();
  const key = unique("key");
  const first = await createIdempotencyKey(client, key, userId);
  await letLeaseLapse(stack(), key);
  const second = await createIdempotencyKey(client, key, userId);
  assertEquals([second.attempt, second.fence > first.fence], [2, true]);

  // One client, two claims: a failure may be the late one's.
  await assertRejects(
    () => markIdempotencyFailed(client, key, userId, new Error("late")),
    NotOwnerError,
    "more than once",
  );
  await assertRejects(
    () => storeIdempotencyResult(client, key, userId, RESULT, { claim: first }),
    NotOwnerError,
    "taken it over",
  );
  await storeIdempotencyResult(client, key, userId, RESULT, { claim: second });
  const error = await assertRejects(
    () =>
      storeIdempotencyResult(client, key, userId, {
        ...RESULT,
        response: "late",
      }, {
        claim: first,
      }),
    AlreadyCompletedError,
  );
  assertEquals(error.cachedResponse, CACHED);
});

Deno.test("requests with clients of their own are told apart: a late failure frees no key that somebody else has", async () => {
  const [late, winner] = [secret(), secret()];
  const { userId } = ada;
  const key = unique("key");
  await createIdempotencyKey(late.client, key, userId);
  await letLeaseLapse(stack(), key);
  await createIdempotencyKey(winner.client, key, userId);
  await markIdempotencyFailed(late.client, key, userId, new Error("late"));
  const { cachedResponse } = await checkIdempotency(
    secret().client,
    key,
    userId,
  );
  assertEquals(cachedResponse?.status_code, 409);
  await storeIdempotencyResult(winner.client, key, userId, RESULT);
  const told = await checkIdempotency(secret().client, key, userId);
  assertEquals(told.cachedResponse, CACHED);
});

Deno.test("an abandoned key is refused where the policy says so", async () => {
  const { client, userId } = secret();
  const key = unique("key");
  await createIdempotencyKey(client, key, userId);
  await letLeaseLapse(stack(), key);
  await assertRejects(
    () => createIdempotencyKey(client, key, userId, { onAbandoned: "refuse" }),
    OutcomeUnknownError,
  );
});

Deno.test("a malformed key is refused before anything is asked", async () => {
  const { client, userId } = secret();
  const { cachedResponse } = await checkIdempotency(client, "no key", userId);
  assertEquals(cachedResponse?.status_code, 400);
  await assertRejects(
    () => createIdempotencyKey(client, "no key", userId),
    KeyInvalidError,
  );
});

Deno.test("each outcome is kept for as long as its own TTL says", async () => {
  const { client, userId } = secret();
  const config = { ttlSeconds: { completed: 7 * 86_400, failed: 86_400 } };
  const [kept, failed] = [unique("key"), unique("key")];
  await createIdempotencyKey(client, kept, userId, config);
  await storeIdempotencyResult(client, kept, userId, RESULT, config);
  await createIdempotencyKey(client, failed, userId, config);
  await markIdempotencyFailed(client, failed, userId, "no", config);
  const { data } = await client.from("idempotency_keys")
    .select("status, created_at, expires_at").in("idempotency_key", [
      kept,
      failed,
    ])
    .order("fence");
  const days = data!.map((row) =>
    Math.round(
      (Date.parse(row.expires_at) - Date.parse(row.created_at)) / 86_400_000,
    )
  );
  assertEquals(days, [7, 1]);
});

Deno.test("cleanup deletes what has expired and nothing else", async () => {
  const { client, userId } = secret();
  const [expired, live] = [unique("key"), unique("key")];
  for (const key of [expired, live]) {
    await createIdempotencyKey(client, key, userId);
    await storeIdempotencyResult(client, key, userId, RESULT);
  }
  await stack().sql(
    `update public.idempotency_keys
     set expires_at = now() - interval '1 second' where idempotency_key = $1`,
    [expired],
  );
  assert(await cleanupExpiredKeys(project(stack()).client) >= 1);
  const { data } = await client.from("idempotency_keys").select(
    "idempotency_key",
  )
    .in("idempotency_key", [expired, live]);
  assertEquals(data, [{ idempotency_key: live }]);
});
