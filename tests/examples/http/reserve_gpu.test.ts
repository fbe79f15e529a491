import { assert, assertEquals } from "@std/assert";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import { type Actor, project, signUp, withStack } from "../../support/stack.ts";

const FUNCTION = "reserve-gpu";

const stack = withStack();
let ada: Actor & { userId: string };
let ben: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  ben = await signUp(stack());
});

async function newPool(hours: number): Promise<string> {
  const { data } = await project(stack()).client.from("gpu_pools")
    .insert({ name: unique("pool"), hours_free: hours })
    .select("id").single().throwOnError();
  return data.id;
}

async function hoursFree(poolId: string): Promise<number> {
  const { data } = await ada.client.from("gpu_pools").select("hours_free")
    .eq("id", poolId).single().throwOnError();
  return data.hours_free;
}

async function reservations(poolId: string, { client }: Actor = ada) {
  const { data } = await client.from("gpu_reservations").select()
    .eq("pool_id", poolId).throwOnError();
  return data;
}

async function keys(key: string): Promise<number> {
  const rows = await stack().sql(
    "select from public.idempotency_keys where idempotency_key = $1",
    [key],
  );
  return rows.length;
}

Deno.test("a reservation takes the hours and is answered with 201, stored", async () => {
  const poolId = await newPool(10);
  const key = unique("key");
  const answer = await call(stack(), ada, FUNCTION, {
    body: { poolId, hours: 4 },
    key,
  });
  assertEquals([answer.status, answer.replayed], [201, false]);
  assertEquals(answer.headers.get("x-idempotency-stored"), "true");
  const [row, ...others] = await reservations(poolId);
  assertEquals(answer.body, {
    reservationId: row!.id,
    poolId,
    hours: 4,
    hoursFree: 6,
  });
  assertEquals([row!.user_id, others.length], [ada.userId, 0]);
  assertEquals(await hoursFree(poolId), 6);
});

Deno.test("a retry of a reservation gets the stored answer and takes no hours", async () => {
  const poolId = await newPool(10);
  const request = { body: { poolId, hours: 4 }, key: unique("key") };
  const first = await call(stack(), ada, FUNCTION, request);
  const again = await call(stack(), ada, FUNCTION, request);
  assertEquals([again.status, again.replayed], [201, true]);
  assertEquals(again.headers.get("x-idempotency-stored"), null);
  assertEquals(again.body, first.body);
  assertEquals(
    again.headers.get("content-type"),
    first.headers.get("content-type"),
  );
  assertEquals(await hoursFree(poolId), 6);
});

Deno.test("too few hours are refused for good: the retry is told the same although there are more now", async () => {
  const poolId = await newPool(3);
  const request = { body: { poolId, hours: 4 }, key: unique("key") };
  const refused = await call(stack(), ada, FUNCTION, request);
  assertEquals(
    [refused.status, refused.body.code, refused.body.hoursFree],
    [422, "TOO_FEW_GPU_HOURS", 3],
  );
  assertEquals(
    refused.headers.get("content-type"),
    "application/problem+json",
  );
  assertEquals(refused.headers.get("x-idempotency-stored"), "true");
  await project(stack()).client.from("gpu_pools").update({ hours_free: 100 })
    .eq("id", poolId).throwOnError();
  const again = await call(stack(), ada, FUNCTION, request);
  assertEquals([again.status, again.replayed], [422, true]);
  assertEquals(again.body, refused.body);
  assertEquals(await reservations(poolId), []);
  const fresh = await call(stack(), ada, FUNCTION, {
    ...request,
    key: unique("key"),
  });
  assertEquals(fresh.status, 201);
});

Deno.test("an unknown pool is 404 and leaves the key free", async () => {
  const key = unique("key");
  const body = { poolId: crypto.randomUUID(), hours: 1 };
  const { status, body: problem } = await call(stack(), ada, FUNCTION, {
    body,
    key,
  });
  assertEquals([status, problem.code], [404, "POOL_NOT_FOUND"]);
  assertEquals(await keys(key), 0);
  const poolId = await newPool(1);
  const mended = await call(stack(), ada, FUNCTION, {
    body: { ...body, poolId },
    key,
  });
  assertEquals(mended.status, 201);
});

Deno.test("an error after the claim rolls the claim back too", async () => {
  const poolId = await newPool(5);
  const key = unique("key");
  const { error } = await ada.client.rpc("reserve_gpu_hours", {
    p_pool_id: poolId,
    p_hours: -1,
    p_idempotency_key: key,
    p_fingerprint: "0".repeat(64),
  });
  assertEquals(error?.code, "23514");
  assertEquals([await keys(key), await hoursFree(poolId)], [0, 5]);
});

Deno.test("a reservation with the key of another one is 422, whatever it asks for", async () => {
  const poolId = await newPool(10);
  const key = unique("key");
  await call(stack(), ada, FUNCTION, { body: { poolId, hours: 1 }, key });
  const { status, body, replayed } = await call(stack(), ada, FUNCTION, {
    body: { poolId, hours: 2 },
    key,
  });
  assertEquals(
    [status, body.code, body.instance, replayed],
    [422, "IDEMPOTENCY_KEY_REUSED", "/reserve-gpu", false],
  );
  assertEquals(await hoursFree(poolId), 9);
});

Deno.test("two users with the same key have a reservation each, and see their own", async () => {
  const poolId = await newPool(10);
  const request = { body: { poolId, hours: 3 }, key: unique("key") };
  const [adas, bens] = await Promise.all([
    call(stack(), ada, FUNCTION, request),
    call(stack(), ben, FUNCTION, request),
  ]);
  assertEquals([adas.status, bens.status], [201, 201]);
  assert(adas.body.reservationId !== bens.body.reservationId);
  assertEquals((await reservations(poolId, ben)).map(({ id }) => id), [
    bens.body.reservationId,
  ]);
  assertEquals(await hoursFree(poolId), 4);
});

Deno.test("without a key, or with a malformed one, nothing is reserved", async () => {
  const body = { poolId: await newPool(10), hours: 1 };
  const none = await call(stack(), ada, FUNCTION, { body });
  assertEquals([none.status, none.body.code], [400, "IDEMPOTENCY_KEY_MISSING"]);
  const bad = await call(stack(), ada, FUNCTION, { body, key: "a b" });
  assertEquals([bad.status, bad.body.code], [400, "IDEMPOTENCY_KEY_INVALID"]);
  assertEquals(await hoursFree(body.poolId), 10);
});

Deno.test("a malformed reservation is refused and leaves the key free", async () => {
  const poolId = await newPool(10);
  const key = unique("key");
  for (const hours of [undefined, 0, 1.5, 10_001]) {
    const body = { poolId, hours };
    const answer = await call(stack(), ada, FUNCTION, { body, key });
    assertEquals([answer.status, answer.body.code], [400, "REQUEST_INVALID"]);
  }
  assertEquals(await keys(key), 0);
});

Deno.test("a reservation takes its hours by whatever route, and nobody takes hours otherwise", async () => {
  const poolId = await newPool(10);
  const { client } = ada;
  await client.from("gpu_reservations").insert({ pool_id: poolId, hours: 2 })
    .throwOnError();
  assertEquals(await hoursFree(poolId), 8);
  const forbidden = await Promise.all([
    client.from("gpu_reservations").insert({ pool_id: poolId, hours: 9 }),
    client.from("gpu_reservations").insert({
      pool_id: poolId,
      hours: 1,
      user_id: ben.userId,
    }),
    client.from("gpu_pools").update({ hours_free: 99 }).eq("id", poolId),
    client.from("gpu_reservations").delete().eq("pool_id", poolId),
  ]);
  assertEquals(
    forbidden.map(({ error }) => error?.code),
    ["23514", "42501", "42501", "42501"],
  );
  assertEquals(await hoursFree(poolId), 8);
});

Deno.test("what an account has reserved is free again when the account ends, in every pool, and when the project deletes it", async () => {
  const cal = await signUp(stack());
  const [small, large] = [await newPool(5), await newPool(50)];
  for (const [poolId, hours] of [[small, 2], [large, 20], [large, 3]]) {
    const { status } = await call(stack(), cal, FUNCTION, {
      body: { poolId, hours },
      key: unique("key"),
    });
    assertEquals(status, 201);
  }
  assertEquals([await hoursFree(small), await hoursFree(large)], [3, 27]);
  const { client } = project(stack());
  await client.from("gpu_reservations").delete().eq("hours", 3)
    .eq("user_id", cal.userId).throwOnError();
  assertEquals([await hoursFree(small), await hoursFree(large)], [3, 30]);
  const { error } = await client.from("gpu_reservations").update({ hours: 1 })
    .eq("user_id", cal.userId);
  assertEquals(error?.code, "42501");
  await stack().sql("delete from auth.users where id = $1", [cal.userId]);
  assertEquals([await hoursFree(small), await hoursFree(large)], [5, 50]);
});
