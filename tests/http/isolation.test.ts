import { assert, assertEquals } from "@std/assert";
import { effects, probe, unique } from "../support/probe.ts";
import {
  type Actor,
  anonymous,
  project,
  signUp,
  withStack,
} from "../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };
let eve: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  eve = await signUp(stack());
});

const SHOWN =
  "idempotency_key, scope, status, attempt, status_code, response, response_encoding, response_headers, created_at, claimed_at, completed_at, expires_at";

/** A key that the calls below are about; whoever calls names its owner. */
const keyOf = (owner: string, key: string, scope = "probe") => ({
  p_owner: owner,
  p_scope: scope,
  p_idempotency_key: key,
});

const TERMS = {
  p_fingerprint: "a".repeat(64),
  p_lease_seconds: 60,
  p_ttl_seconds: 3600,
};

const ANSWER = {
  p_status_code: 200,
  p_response: "forged",
  p_response_encoding: "text",
  p_response_headers: {},
};

/** A key of Ada's, completed with a body that is nobody else's business. */
async function completedKey(): Promise<string> {
  const key = unique("key");
  const body = { effect: unique("secret"), body: "for Ada only" };
  await (await probe(stack(), ada, { key, body })).body?.cancel();
  return key;
}

Deno.test("two users with the same key get two executions and their own answers", async () => {
  const effect = unique("two-users");
  const key = unique("key");
  for (const [actor, text] of [[ada, "ada's"], [eve, "eve's"]] as const) {
    const response = await probe(stack(), actor, {
      key,
      body: { effect, body: text },
    });
    assertEquals(response.headers.get("x-idempotency-stored"), "true");
    assertEquals(await response.text(), text);
  }
  assertEquals(await effects(stack(), effect), 2);
});

Deno.test("a probe of somebody's key tells nothing, not even that it exists", async () => {
  const key = await completedKey();
  for (const named of [{}, { p_scope: "probe" }]) {
    const status = await eve.client.rpc("get_idempotency_status", {
      p_idempotency_key: key,
      ...named,
    });
    assertEquals([status.error, status.data], [null, []]);
  }
  const named = await eve.client.rpc("get_idempotency_status", {
    p_idempotency_key: key,
    p_owner: ada.userId,
  });
  assertEquals(named.data ?? [], []);
});

Deno.test("the statistics show a user their own keys only", async () => {
  const scope = unique("stats");
  await (await probe(stack(), ada, { key: unique("key"), config: { scope } }))
    .body?.cancel();
  const seen = (actor: Actor) =>
    actor.client.from("v_idempotency_stats").select("scope").eq("scope", scope);
  assertEquals((await seen(ada)).data?.length, 1);
  assertEquals((await seen(eve)).data?.length, 0);
});

Deno.test("who is not signed in sees nothing", async () => {
  const { client, headers } = anonymous(stack());
  const refused = await Promise.all([
    client.from("idempotency_keys").select(SHOWN),
    client.from("v_idempotency_stats").select("*"),
    client.rpc("get_idempotency_status", { p_idempotency_key: "order-17" }),
  ]);
  assertEquals(refused.map(({ error }) => error?.code), Array(3).fill("42501"));
  const response = await probe(stack(), { client, headers, userId: null }, {
    key: unique("key"),
  });
  await response.body?.cancel();
  assertEquals(response.status, 401);
});

Deno.test("what may be stored is bounded, for the secret key too", async () => {
  const { client } = project(stack());
  const claimed = {
    ...keyOf(eve.userId, unique("key"), unique("bounds")),
    p_owner_token: crypto.randomUUID(),
  };
  await client.rpc("idempotency_claim", { ...claimed, ...TERMS })
    .throwOnError();
  const { error } = await client.rpc("idempotency_complete", {
    ...claimed,
    ...ANSWER,
    p_response: "x".repeat(6 * 1024 * 1024 + 1),
  });
  assert(error !== null);
  for (
    const bad of [
      { p_idempotency_key: "x".repeat(257) },
      { p_scope: "x".repeat(201) },
      { p_fingerprint: "not hex" },
      { p_lease_seconds: 1_000_000 },
      { p_ttl_seconds: 0 },
      { p_metadata: { big: "x".repeat(20_000) } },
    ]
  ) {
    const { error } = await client.rpc("idempotency_claim", {
      ...claimed,
      ...TERMS,
      p_idempotency_key: unique("key"),
      ...bad,
    });
    assert(error !== null, `accepted ${Object.keys(bad)}`);
  }
});
