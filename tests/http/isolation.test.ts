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

/** Every way to make the ledger believe something, tried by one caller. */
async function forge(
  { client }: Actor,
  owner: string,
  key: string,
): Promise<Record<string, string | undefined>> {
  const named = keyOf(owner, key);
  const held = { ...named, p_owner_token: crypto.randomUUID() };
  const { p_idempotency_key: _, ...scoped } = named;
  const tries = {
    claim: client.rpc("idempotency_claim", { ...held, ...TERMS }),
    renew: client.rpc("idempotency_renew", { ...held, p_lease_seconds: 60 }),
    checkpoint: client.rpc("idempotency_checkpoint", {
      ...held,
      p_step: "charge",
      p_result: { value: { id: "forged" } },
      p_lease_seconds: 60,
    }),
    complete: client.rpc("idempotency_complete", { ...held, ...ANSWER }),
    fail: client.rpc("idempotency_fail", { ...held, p_error_message: "no" }),
    claimMany: client.rpc("idempotency_claim_many", {
      ...scoped,
      p_requests: [],
      p_lease_seconds: 60,
      p_ttl_seconds: 60,
    }),
    settleMany: client.rpc("idempotency_settle_many", {
      ...scoped,
      p_settlements: [],
    }),
    notify: client.rpc("idempotency_notify", named),
    countReplays: client.rpc("idempotency_count_replays", {
      ...scoped,
      p_count: 9,
    }),
    cleanUp: client.rpc("cleanup_expired_idempotency_keys"),
    insert: client.from("idempotency_keys").insert({
      owner,
      scope: "probe",
      idempotency_key: unique("key"),
      request_fingerprint: "a".repeat(64),
      owner_token: crypto.randomUUID(),
      lease_expires_at: new Date().toISOString(),
      expires_at: new Date().toISOString(),
    }),
    update: client.from("idempotency_keys").update({ response: "forged" })
      .eq("idempotency_key", key),
    delete: client.from("idempotency_keys").delete().eq("idempotency_key", key),
  };
  const codes: Record<string, string | undefined> = {};
  for (const [name, asked] of Object.entries(tries)) {
    codes[name] = (await asked).error?.code;
  }
  return codes;
}

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

Deno.test("a user reads how their own keys stand over REST, and nobody else's", async () => {
  const key = await completedKey();
  const own = await ada.client.from("idempotency_keys").select(SHOWN)
    .eq("idempotency_key", key);
  assertEquals(own.data?.map((row) => row.response), ["for Ada only"]);
  const others = await eve.client.from("idempotency_keys").select(SHOWN)
    .eq("idempotency_key", key);
  assertEquals([others.error, others.data], [null, []]);
});

Deno.test("what would help to forge an attempt, and what is meant for the team, is shown to no user", async () => {
  await completedKey();
  const columns = [
    "owner_token",
    "past_owners",
    "fence",
    "steps",
    "crashed_attempts",
    "error_message",
    "metadata",
    "*",
  ];
  for (const column of columns) {
    const { error } = await ada.client.from("idempotency_keys").select(column);
    assertEquals(error?.code, "42501", column);
  }
});

Deno.test("nobody but the secret key makes the ledger believe anything", async () => {
  const key = await completedKey();
  const callers: [string, Actor, string][] = [
    ["a user about their own key", ada, ada.userId],
    ["a user about a fresh key of their own", eve, eve.userId],
    ["a user about another's", eve, ada.userId],
    ["a user about the project's", eve, ""],
    ["whoever is not signed in", anonymous(stack()), ada.userId],
  ];
  for (const [who, actor, owner] of callers) {
    const codes = await forge(actor, owner, key);
    for (const [name, code] of Object.entries(codes)) {
      assertEquals(code, "42501", `${name} by ${who}`);
    }
  }
  // The same calls are sound: from the secret key none is refused permission.
  const codes = await forge(project(stack()), eve.userId, unique("key"));
  assertEquals(Object.values(codes).includes("42501"), false);
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
