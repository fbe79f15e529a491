import { assert, assertEquals } from "@std/assert";
import { checkIdempotency } from "../../shared/idempotency.ts";
import { effects, probe, unique } from "../support/probe.ts";
import { type Actor, anonymous, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };
let eve: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  eve = await signUp(stack());
});

const claimOf = (user: string | null, key: string, scope = "probe") => ({
  p_user_id: user as string,
  p_scope: scope,
  p_idempotency_key: key,
  p_fingerprint: "a".repeat(64),
  p_owner_token: crypto.randomUUID(),
  p_lease_seconds: 60,
  p_ttl_seconds: 3600,
});

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

Deno.test("a user reads their own keys over REST and nobody else's", async () => {
  const key = await completedKey();
  const own = await ada.client.from("idempotency_keys").select("*")
    .eq("idempotency_key", key);
  assertEquals(own.data?.map((row) => row.response), ["for Ada only"]);
  const others = await eve.client.from("idempotency_keys").select("*");
  assertEquals(others.error, null);
  assertEquals(others.data?.filter((row) => row.user_id !== eve.userId), []);
});

Deno.test("a user changes no row over REST, not even their own", async () => {
  const key = await completedKey();
  for (const { client, userId } of [ada, eve]) {
    const keys = () => client.from("idempotency_keys");
    const tries = await Promise.all([
      keys().update({ response: "forged" }).eq("idempotency_key", key),
      keys().delete().eq("idempotency_key", key),
      keys().insert({
        user_id: userId,
        scope: "probe",
        idempotency_key: unique("key"),
        request_fingerprint: "a".repeat(64),
        owner_token: crypto.randomUUID(),
        lease_expires_at: new Date().toISOString(),
        expires_at: new Date().toISOString(),
      }),
    ]);
    assertEquals(tries.map(({ error }) => error?.code), Array(3).fill("42501"));
  }
});

Deno.test("a user who names another in a call is refused", async () => {
  const key = await completedKey();
  const { rpc } = { rpc: eve.client.rpc.bind(eve.client) };
  const claim = claimOf(ada.userId, key);
  const { p_user_id, p_scope, p_idempotency_key, p_owner_token } = claim;
  const owned = { p_user_id, p_scope, p_idempotency_key, p_owner_token };
  const tries = [
    await rpc("idempotency_claim", claim),
    await rpc("idempotency_complete", {
      ...owned,
      p_status_code: 200,
      p_response: "forged",
      p_response_encoding: "text",
      p_response_headers: {},
    }),
    await rpc("idempotency_fail", { ...owned, p_error_message: "forged" }),
    await rpc("idempotency_count_replays", { p_user_id, p_scope, p_count: 9 }),
    await rpc("get_idempotency_status", {
      p_user_id,
      p_scope,
      p_idempotency_key,
    }),
  ];
  assertEquals(tries.map(({ error }) => error?.code), Array(5).fill("42501"));
});

Deno.test("a user who names nobody acts for themselves, never for the project", async () => {
  const key = unique("key");
  const { error } = await eve.client.rpc(
    "idempotency_claim",
    claimOf(null, key),
  );
  assertEquals(error, null);
  const rows = await stack().sql<{ user_id: string }>(
    "select user_id from public.idempotency_keys where idempotency_key = $1",
    [key],
  );
  assertEquals(rows, [{ user_id: eve.userId }]);
});

Deno.test("a probe of somebody's key tells nothing, not even that it exists", async () => {
  const key = await completedKey();
  assertEquals(
    await checkIdempotency(eve.client, key, eve.userId, { scope: "probe" }),
    {
      isIdempotent: false,
      cachedResponse: null,
    },
  );
  const status = await eve.client.rpc("get_idempotency_status", {
    p_idempotency_key: key,
  });
  assertEquals(status.data, []);
});

Deno.test("the statistics show a user their own keys only", async () => {
  const scope = unique("stats");
  await ada.client.rpc(
    "idempotency_claim",
    claimOf(null, unique("key"), scope),
  );
  const seen = (actor: Actor) =>
    actor.client.from("v_idempotency_stats").select("scope").eq("scope", scope);
  assertEquals((await seen(ada)).data?.length, 1);
  assertEquals((await seen(eve)).data?.length, 0);
});

Deno.test("a user may not clean up", async () => {
  const { error } = await ada.client.rpc("cleanup_expired_idempotency_keys");
  assertEquals(error?.code, "42501");
});

Deno.test("who is not signed in sees and calls nothing", async () => {
  const { client, headers } = anonymous(stack());
  const claim = claimOf(ada.userId, unique("key"));
  const { p_user_id, p_scope, p_idempotency_key, p_owner_token } = claim;
  const owned = { p_user_id, p_scope, p_idempotency_key, p_owner_token };
  const refused = await Promise.all([
    client.from("idempotency_keys").select("*"),
    client.from("idempotency_replay_counts").select("*"),
    client.from("v_idempotency_stats").select("*"),
    client.rpc("idempotency_claim", claim),
    client.rpc("idempotency_complete", {
      ...owned,
      p_status_code: 200,
      p_response: "",
      p_response_encoding: "text",
      p_response_headers: {},
    }),
    client.rpc("idempotency_fail", { ...owned, p_error_message: "" }),
    client.rpc("idempotency_count_replays", { p_user_id, p_scope, p_count: 1 }),
    client.rpc("get_idempotency_status", { p_idempotency_key }),
    client.rpc("cleanup_expired_idempotency_keys"),
  ]);
  assertEquals(refused.map(({ error }) => error?.code), Array(9).fill("42501"));
  const response = await probe(stack(), { client, headers, userId: null }, {
    key: unique("key"),
  });
  await response.body?.cancel();
  assertEquals(response.status, 401);
});

Deno.test("a forged token is nobody's", async () => {
  const [header, payload] = ada.headers.Authorization!.split(" ")[1]!.split(
    ".",
  );
  const headers = {
    ...ada.headers,
    Authorization: `Bearer ${header}.${payload}.${"A".repeat(43)}`,
  };
  const response = await probe(stack(), { ...ada, headers }, {
    key: unique("k"),
  });
  await response.body?.cancel();
  assert(response.status === 401);
});

Deno.test("what a user may store is bounded", async () => {
  const scope = unique("bounds");
  const claim = claimOf(null, unique("key"), scope);
  await eve.client.rpc("idempotency_claim", claim);
  const { p_user_id, p_scope, p_idempotency_key, p_owner_token } = claim;
  const { error } = await eve.client.rpc("idempotency_complete", {
    p_user_id,
    p_scope,
    p_idempotency_key,
    p_owner_token,
    p_status_code: 200,
    p_response: "x".repeat(6 * 1024 * 1024 + 1),
    p_response_encoding: "text",
    p_response_headers: {},
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
    const { error } = await eve.client.rpc("idempotency_claim", {
      ...claimOf(null, unique("key"), scope),
      ...bad,
    });
    assert(error !== null, `accepted ${Object.keys(bad)}`);
  }
});
