import { assertEquals } from "@std/assert";
import { flushReplayCounts } from "../../shared/idempotency.ts";
import { databaseCalls, tripsOf } from "../support/database_calls.ts";
import { probe, unique } from "../support/probe.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let ada: Actor;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

const ask = async (request: Parameters<typeof probe>[2]) =>
  await (await probe(stack(), ada, request)).body?.cancel();

Deno.test("a first run costs two database trips, a replay one, no key none", async () => {
  const request = { key: unique("key"), body: { effect: unique("trips") } };
  assertEquals(await tripsOf(() => ask(request)), [
    "rpc/idempotency_claim",
    "probe_effects",
    "rpc/idempotency_complete",
  ]);
  assertEquals(await tripsOf(() => ask(request)), [
    "rpc/idempotency_claim",
  ]);
  assertEquals(await tripsOf(() => ask({ body: {} })), ["probe_effects"]);
});

Deno.test("replays are counted together, afterwards", async () => {
  let scope = "";
  let calls: string[] = [];
  // A second later they are sent without being asked for, which is before the
  // last of them on a machine that is busy.
  for (let tries = 0; calls.length === 0 && tries < 20; tries++) {
    await flushReplayCounts();
    scope = unique("scope");
    const request = { key: unique("key"), config: { scope } };
    for (let n = 0; n < 5; n++) await ask(request);
    calls = await databaseCalls(flushReplayCounts);
  }
  assertEquals(calls, ["rpc/idempotency_count_replays"]);
  const { data } = await ada.client.from("v_idempotency_stats").select()
    .eq("scope", scope).single();
  assertEquals([data?.completed_count, data?.replay_count], [1, 4]);
  assertEquals(data?.replay_rate, 0.8);
});
