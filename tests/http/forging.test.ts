import { assert, assertEquals } from "@std/assert";
import { SignJWT } from "jose";
import { call, formWith } from "../support/call.ts";
import { effects, probe, unique } from "../support/probe.ts";
import {
  type Actor,
  anonymous,
  project,
  signUp,
  withStack,
} from "../support/stack.ts";

// What a client with the publishable key can try over the Data API, to make a
// function believe in a step or an answer that no function made.

const stack = withStack();
let ada: Actor & { userId: string };
let eve: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  eve = await signUp(stack());
});

const TOKEN = "00000000-0000-4000-9000-000000000001";
const FINGERPRINT = "a".repeat(64);

/** Every transition with what it takes, for one key. */
function transitions(owner: string, key: string): Record<string, object> {
  const named = { p_owner: owner, p_scope: "probe", p_idempotency_key: key };
  const held = { ...named, p_owner_token: TOKEN };
  const batch = { p_owner: owner, p_scope: "probe" };
  return {
    idempotency_claim: {
      ...held,
      p_fingerprint: FINGERPRINT,
      p_lease_seconds: 1,
      p_ttl_seconds: 3600,
    },
    idempotency_renew: { ...held, p_lease_seconds: 60 },
    idempotency_checkpoint: {
      ...held,
      p_step: "charge",
      p_result: { id: "ch_forged" },
      p_lease_seconds: 60,
    },
    idempotency_complete: {
      ...held,
      p_status_code: 200,
      p_response: "forged",
      p_response_encoding: "text",
      p_response_headers: {},
    },
    idempotency_fail: { ...held, p_error_message: "forged" },
    idempotency_claim_many: {
      ...batch,
      p_requests: [{ key, fingerprint: FINGERPRINT, owner_token: TOKEN }],
      p_lease_seconds: 1,
      p_ttl_seconds: 3600,
    },
    idempotency_settle_many: {
      ...batch,
      p_settlements: [{ key, owner_token: TOKEN, error_message: "forged" }],
    },
    idempotency_count_replays: { ...batch, p_count: 1000 },
    idempotency_notify: named,
    idempotency_resolve: {
      ...named,
      p_resolution: "completed",
      p_status_code: 200,
      p_response: "forged",
    },
    idempotency_stuck_keys: {},
    idempotency_refresh_statistics: {},
    idempotency_recount_statistics: {},
    idempotency_scope_statistics: {},
    idempotency_hourly_statistics: {},
    idempotency_upkeep: {},
    idempotency_job_runs: {},
    idempotency_health: {},
    idempotency_recent_keys: {},
    idempotency_read_key: named,
    cleanup_expired_idempotency_keys: {},
  };
}

/** The same under the names that these parameters once had. */
function underOldNames(args: object): object {
  const { p_owner, ...rest } = args as Record<string, unknown>;
  return { ...rest, p_user_id: p_owner === "" ? null : p_owner };
}

async function rpc(actor: Actor, fn: string, args: object): Promise<number> {
  const response = await fetch(`${stack().apiUrl}/rest/v1/rpc/${fn}`, {
    method: "POST",
    headers: { ...actor.headers, "Content-Type": "application/json" },
    body: JSON.stringify(args),
  });
  await response.body?.cancel();
  return response.status;
}

async function rest(
  actor: Actor,
  path: string,
  init: RequestInit & { headers?: Record<string, string> } = {},
): Promise<{ status: number; rows: Record<string, unknown>[] }> {
  const response = await fetch(`${stack().apiUrl}/rest/v1/${path}`, {
    ...init,
    headers: {
      ...actor.headers,
      "Content-Type": "application/json",
      ...init.headers,
    },
  });
  const text = await response.text();
  return {
    status: response.status,
    rows: response.ok && text !== "" ? JSON.parse(text) : [],
  };
}

function assertRefused(status: number, what: string) {
  assert(status >= 400 && status < 500, `${what} was answered ${status}`);
}

/** The whole ledger, as its owner sees it. */
function ledger(): Promise<unknown[]> {
  return stack().sql(
    "select to_jsonb(k) from public.idempotency_keys as k order by fence",
  );
}

const callers = () => [
  { who: "the user", actor: ada },
  { who: "another user", actor: eve },
  { who: "whoever has the publishable key", actor: anonymous(stack()) },
];

Deno.test("every transition is refused, whoever calls and whomever they name", async () => {
  const key = unique("key");
  await (await probe(stack(), ada, { key })).body?.cancel();
  const before = await ledger();
  for (const { who, actor } of callers()) {
    for (const owner of [ada.userId, eve.userId, ""]) {
      for (const [fn, args] of Object.entries(transitions(owner, key))) {
        assertRefused(await rpc(actor, fn, args), `${fn} by ${who}`);
        const old = underOldNames(args);
        assertRefused(await rpc(actor, fn, old), `an older ${fn} by ${who}`);
      }
    }
  }
  assertEquals(await ledger(), before);
});

Deno.test("no function of the ledger is left out of these probes", async () => {
  const functions = await stack().sql<{ proname: string }>(
    `select proname from pg_catalog.pg_proc
     where pronamespace = 'public'::regnamespace and proname ~ 'idempotency'
     order by proname collate "C"`,
  );
  assertEquals(
    functions.map(({ proname }) => proname),
    ["get_idempotency_status", ...Object.keys(transitions("", "key"))].sort(),
  );
});

Deno.test("the secret key may make each of these calls", async () => {
  const key = unique("key");
  for (const [fn, args] of Object.entries(transitions(ada.userId, key))) {
    // Its own run has ended by the time that an operator resolves it.
    const status = await rpc(project(stack()), fn, args);
    assert(status < 300, `${fn} was answered ${status}`);
  }
});

Deno.test("a step that a user claims to have done is done all the same", async () => {
  const effect = unique("effect");
  const key = unique("key");
  const { idempotency_claim, idempotency_checkpoint, idempotency_fail } =
    transitions(ada.userId, key);
  const forged = {
    idempotency_claim,
    idempotency_checkpoint,
    idempotency_fail,
  };
  for (const [fn, args] of Object.entries(forged)) {
    assertRefused(await rpc(ada, fn, args!), fn);
    assertRefused(await rpc(ada, fn, underOldNames(args!)), `an older ${fn}`);
  }
  const response = await probe(stack(), ada, {
    key,
    body: { effect, steps: ["charge", "ship"], body: "the function's own" },
  });
  assertEquals(await response.text(), "the function's own");
  assertEquals(response.headers.get("x-idempotency-stored"), "true");
  for (const label of [`${effect}:charge`, `${effect}:ship`, effect]) {
    assertEquals(await effects(stack(), label), 1, label);
  }
});

Deno.test("an answer that a user made up is never given out", async () => {
  const effect = unique("effect");
  const key = unique("key");
  const { idempotency_claim, idempotency_complete } = transitions(
    ada.userId,
    key,
  );
  const forged = { idempotency_claim, idempotency_complete };
  for (const [fn, args] of Object.entries(forged)) {
    assertRefused(await rpc(ada, fn, args!), fn);
    assertRefused(await rpc(ada, fn, underOldNames(args!)), `an older ${fn}`);
  }
  for (const header of ["x-idempotency-stored", "x-idempotency-replay"]) {
    const response = await probe(stack(), ada, {
      key,
      body: { effect, body: "the function's own" },
    });
    assertEquals(response.headers.get(header), "true");
    assertEquals(await response.text(), "the function's own");
  }
  assertEquals(await effects(stack(), effect), 1);
});

Deno.test("a function that completes in its transaction plants no answer elsewhere", async () => {
  const key = unique("key");
  const effect = unique("effect");
  const before = await ledger();
  const planted = await rpc(ada, "pos_perform", {
    p_operation: "probe",
    p_idempotency_key: key,
    p_fingerprint: FINGERPRINT,
  });
  assertRefused(planted, "pos_perform");
  assertEquals(await ledger(), before);
  const response = await probe(stack(), ada, {
    key,
    body: { effect, body: "the function's own" },
  });
  await assertBody(response, "x-idempotency-stored", "the function's own");
  assertEquals(await effects(stack(), effect), 1);
});

Deno.test("the rows are nobody's to write", async () => {
  const key = unique("key");
  await (await probe(stack(), ada, { key })).body?.cancel();
  const before = await ledger();
  const row = (owner: string, idempotency_key: string) => ({
    owner,
    scope: "probe",
    idempotency_key,
    request_fingerprint: FINGERPRINT,
    owner_token: TOKEN,
    steps: { charge: { id: "ch_forged" } },
    status: "failed",
    completed_at: new Date().toISOString(),
    expires_at: "2100-01-01T00:00:00Z",
  });
  const mine = `idempotency_keys?idempotency_key=eq.${key}`;
  for (const { who, actor } of callers()) {
    const tries = {
      insert: rest(actor, "idempotency_keys", {
        method: "POST",
        body: JSON.stringify(row(ada.userId, unique("key"))),
      }),
      upsert: rest(actor, "idempotency_keys", {
        method: "POST",
        headers: { Prefer: "resolution=merge-duplicates" },
        body: JSON.stringify(row(ada.userId, key)),
      }),
      update: rest(actor, mine, {
        method: "PATCH",
        body: JSON.stringify({ response: "forged" }),
      }),
      delete: rest(actor, mine, { method: "DELETE" }),
    };
    for (const [what, answer] of Object.entries(tries)) {
      assertRefused((await answer).status, `${what} by ${who}`);
    }
  }
  assertEquals(await ledger(), before);
});

Deno.test("users read how their own keys stand, and nothing else", async () => {
  const key = unique("key");
  const body = { body: "for Ada only", steps: ["charge"] };
  await (await probe(stack(), ada, { key, body })).body?.cancel();
  const keys = (query: string) =>
    `idempotency_keys?idempotency_key=eq.${key}&${query}`;
  const readable = "select=scope,status,attempt,status_code,response," +
    "response_encoding,response_headers,created_at,claimed_at,completed_at,expires_at";

  const own = await rest(ada, keys(readable));
  assertEquals(own.rows.map(({ response }) => response), ["for Ada only"]);
  assertEquals(await rest(eve, keys(readable)), { status: 200, rows: [] });
  const publishable = await rest(anonymous(stack()), keys(readable));
  assertRefused(publishable.status, "reading without a user");

  const written = await stack().sql<{ column: string }>(
    `select attname as column from pg_catalog.pg_attribute
     where attrelid = 'public.idempotency_keys'::regclass and attnum > 0
       and not pg_catalog.has_column_privilege('authenticated', attrelid, attnum, 'select')`,
  );
  const hidden = written.map(({ column }) => column);
  for (
    const column of [
      "owner_token",
      "past_owners",
      "fence",
      "steps",
      "crashed_attempts",
      "error_message",
      "metadata",
    ]
  ) assert(hidden.includes(column), column);
  for (const { who, actor } of callers()) {
    const queries = [
      "select=*",
      ...hidden.flatMap((column) => [
        `select=${column}`,
        `select=scope&${column}=not.is.null`,
        `select=scope&order=${column}`,
      ]),
    ];
    for (const query of queries) {
      const { status } = await rest(actor, keys(query));
      assertRefused(status, `${query} by ${who}`);
    }
  }
});

Deno.test("what lies in the ledger's own schema is out of the Data API's reach", async () => {
  const profiles = {
    "Accept-Profile": "idempotency",
    "Content-Profile": "idempotency",
  };
  for (const { who, actor } of callers()) {
    for (const table of ["replay_counts", "full_owners", "open_keys"]) {
      const { status } = await rest(actor, table, { headers: profiles });
      assertRefused(status, `${table} by ${who}`);
    }
    const claim = await rest(actor, "rpc/claim_in_transaction", {
      method: "POST",
      headers: profiles,
      body: JSON.stringify({
        p_scope: "probe",
        p_idempotency_key: unique("key"),
        p_fingerprint: FINGERPRINT,
      }),
    });
    assertRefused(claim.status, `claim_in_transaction by ${who}`);
  }
});

/** Whoever a token with this subject says they are. */
async function bearer(sub: string): Promise<Actor> {
  const [row] = await stack().sql<
    { keys: { jwtSecret: string; keyId: string } }
  >("select keys from local_stack.keys");
  const { jwtSecret, keyId } = row!.keys;
  const token = await new SignJWT({
    sub,
    role: "authenticated",
    aud: "authenticated",
    iss: "https://example.clerk.accounts.dev",
  }).setProtectedHeader({ alg: "HS256", typ: "JWT", kid: keyId })
    .setIssuedAt().setExpirationTime("1h")
    .sign(new TextEncoder().encode(jwtSecret));
  const nobody = anonymous(stack());
  return {
    ...nobody,
    userId: sub,
    headers: { ...nobody.headers, Authorization: `Bearer ${token}` },
  };
}

Deno.test("users of third-party auth have keys of their own and read them", async () => {
  const effect = unique("effect");
  const key = unique("key");
  const users = [
    await bearer("user_2abcDEFghiJKLmno"),
    await bearer("auth0|17"),
  ];
  for (const user of users) {
    for (const header of ["x-idempotency-stored", "x-idempotency-replay"]) {
      const response = await probe(stack(), user, {
        key,
        body: { effect, body: `of ${user.userId}` },
      });
      await assertBody(response, header, `of ${user.userId}`);
    }
    const { rows } = await rest(user, "idempotency_keys?select=response");
    assertEquals(rows, [{ response: `of ${user.userId}` }]);
    const status = await rest(user, "rpc/get_idempotency_status", {
      method: "POST",
      body: JSON.stringify({ p_idempotency_key: key, p_owner: ada.userId }),
    });
    assertEquals(status.rows.map(({ response }) => response), [
      `of ${user.userId}`,
    ]);
  }
  assertEquals(await effects(stack(), effect), 2);
});

Deno.test("a third party's user whose id is a UUID needs no account where the route says so", async () => {
  const user = await bearer(crypto.randomUUID());
  const response = await probe(stack(), user, {
    key: unique("key"),
    body: { body: "theirs" },
    config: { thirdPartyAuth: true },
  });
  await assertBody(response, "x-idempotency-stored", "theirs");
});

Deno.test("a third party's user whose id is no UUID is told that the examples are for users of this project's Auth", async () => {
  const user = await bearer("user_2abcDEFghiJKLmno");
  const quotation = {
    customerName: "Analytical Engines Ltd",
    currency: "EUR",
    validUntil: "2999-12-31",
    lines: [{ description: "Design", quantity: 1, unitPriceMinor: 1 }],
  };
  for (
    const [name, body] of [
      ["process-document", formWith("# Hi", "a.md", "text/markdown")],
      ["generate-training-data", { documentIds: [crypto.randomUUID()] }],
      ["start-training", { datasetId: crypto.randomUUID(), model: "small" }],
      ["events", { title: "Party", startsAt: "2026-12-24T18:00:00+01:00" }],
      ["quotations", quotation],
      ["crm/clients", { name: "Ada" }],
      ["recognitions", {
        recipientId: crypto.randomUUID(),
        reason: "Thanks",
        tags: ["team"],
      }],
    ] as const
  ) {
    const answer = await call(stack(), user, name, {
      body,
      key: unique("key"),
    });
    const { code, retryable, detail } = answer.body;
    assertEquals(
      [name, answer.status, code, retryable],
      [name, 403, "ACCOUNT_UNKNOWN", false],
    );
    assert(detail.includes("users of this project's Auth"), detail);
  }
});

Deno.test("a deleted user whose token lives on is refused for good", async () => {
  const user = await signUp(stack());
  const effect = unique("effect");
  const key = unique("key");
  const request = { key, body: { effect } };
  await (await probe(stack(), user, request)).body?.cancel();
  await stack().sql("delete from auth.users where id = $1", [user.userId]);
  for (const again of [key, unique("key")]) {
    const response = await probe(stack(), user, { ...request, key: again });
    const { code, retryable } = await response.json();
    assertEquals(
      [response.status, code, retryable, response.headers.get("retry-after")],
      [403, "ACCOUNT_GONE", false, null],
    );
  }
  assertEquals(await effects(stack(), effect), 1);
  assertEquals(
    await stack().sql(
      "select from public.idempotency_keys where owner = $1",
      [user.userId],
    ),
    [],
  );
});

async function assertBody(response: Response, header: string, body: string) {
  assertEquals(await response.text(), body);
  assertEquals(response.headers.get(header), "true");
}
