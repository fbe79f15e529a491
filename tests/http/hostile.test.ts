import { assertEquals, assertRejects } from "@std/assert";
import { SignJWT } from "jose";
import {
  type OperationRun,
  supabaseLedger,
  TooManyKeysError,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { effects, probe, unique } from "../support/probe.ts";
import {
  type Actor,
  anonymous,
  project,
  signUp,
  withStack,
} from "../support/stack.ts";

// What a user, a token or a piece of data can try so that others are refused,
// an effect happens twice, or an answer reaches whom it is not for.

const stack = withStack();

/** Whoever a token with this subject says they are. */
async function bearer(sub: string): Promise<Actor> {
  const [row] = await stack().sql<
    { keys: { jwtSecret: string; keyId: string } }
  >("select keys from local_stack.keys");
  const { jwtSecret, keyId } = row!.keys;
  const token = await new SignJWT({ sub, role: "authenticated" })
    .setProtectedHeader({ alg: "HS256", typ: "JWT", kid: keyId })
    .setAudience("authenticated").setIssuedAt().setExpirationTime("1h")
    .sign(new TextEncoder().encode(jwtSecret));
  const nobody = anonymous(stack());
  const headers = { ...nobody.headers, Authorization: `Bearer ${token}` };
  return { ...nobody, userId: sub, headers };
}

async function told(response: Response): Promise<[number, string]> {
  return [response.status, (await response.json()).code];
}

Deno.test("a token whose subject is empty is not the project", async () => {
  const request = { key: unique("key"), body: { body: "for the project" } };
  const first = await probe(stack(), project(stack()), request);
  assertEquals(await first.text(), "for the project");
  for (const callers of ["refuse", "project"] as const) {
    const response = await probe(stack(), await bearer(""), {
      ...request,
      config: { callers },
    });
    assertEquals(await told(response), [403, "CALLER_UNKNOWN"]);
  }
});

Deno.test("a token whose subject is empty is not told how the project's keys stand", async () => {
  const key = unique("key");
  await (await probe(stack(), project(stack()), { key })).body?.cancel();
  const { headers } = await bearer("");
  const response = await fetch(
    `${stack().apiUrl}/functions/v1/idempotency-status?key=${key}&scope=probe`,
    { headers },
  );
  assertEquals(await told(response), [404, "IDEMPOTENCY_KEY_NOT_FOUND"]);
});

Deno.test("who holds too many keys is told so, and closes the ledger to nobody else", async () => {
  const eve = await signUp(stack());
  const ada = await signUp(stack());
  await stack().sql(
    `insert into public.idempotency_keys (
       owner, scope, idempotency_key, request_fingerprint, owner_token,
       lease_expires_at, expires_at
     )
     select $1, 'probe', 'key-' || i, repeat('a', 64), gen_random_uuid(),
       now() + interval '1 hour', now() + interval '1 hour'
     from generate_series(1, 10000) as i`,
    [eve.userId],
  );
  await stack().sql(
    "insert into idempotency.full_owners (owner) values ($1)",
    [eve.userId],
  );
  for (let n = 0; n < 4; n++) {
    const effect = unique("effect");
    const refused = await probe(stack(), eve, {
      key: unique("key"),
      body: { effect },
      config: { onLedgerDown: "run" },
    });
    assertEquals(await told(refused), [429, "TOO_MANY_KEYS"]);
    assertEquals(await effects(stack(), effect), 0);
  }
  const response = await probe(stack(), ada, { key: unique("key") });
  assertEquals(response.headers.get("x-idempotency-stored"), "true");
  await response.body?.cancel();
});

Deno.test("who has filled the ledger with answers gets no new keys, and what runs under old ones takes effect once", async () => {
  const eve = await signUp(stack());
  const large = crypto.getRandomValues(new Uint8Array(30_000)).toHex();
  const kept = { key: unique("key"), body: { body: large } };
  await (await probe(stack(), eve, kept)).body?.cancel();
  const context = {
    store: supabaseLedger(project(stack()).client),
    userId: eve.userId,
    route: unique("orders"),
    key: unique("key"),
  };
  let runs = 0;
  const run = (work: (run: OperationRun) => unknown) =>
    withIdempotency(context, async (run) => {
      runs++;
      return { status: 201, body: await work(run) };
    });
  await assertRejects(() => run(() => Promise.reject(new Error("later"))));
  const [limit] = await stack().sql<{ bytes: string }>(
    "select bytes::text from idempotency.limits",
  );
  try {
    await stack().sql("update idempotency.limits set bytes = 30000");
    await stack().sql(
      "insert into idempotency.full_owners (owner) values ($1)",
      [eve.userId],
    );
    const effect = unique("effect");
    const more = { key: unique("key"), body: { effect } };
    const refused = await probe(stack(), eve, more);
    assertEquals(await told(refused), [429, "TOO_MANY_KEYS"]);
    assertEquals(await effects(stack(), effect), 0);
    assertEquals(await (await probe(stack(), eve, kept)).text(), large);

    await assertRejects(
      () => run(({ step }) => step("charge", () => ({ large }))),
      TooManyKeysError,
    );
    assertEquals((await run(() => large)).body, large);
    const { status, body } = await run(() => large);
    assertEquals([status, (body as { code: string }).code], [
      409,
      "RESPONSE_NOT_STORED",
    ]);
    assertEquals(runs, 3);
  } finally {
    await stack().sql(`update idempotency.limits set bytes = ${limit!.bytes}`);
  }
});

Deno.test("an answer that the ledger refuses is not taken for none: the effect happens once", async () => {
  const ada = await signUp(stack());
  const effect = unique("effect");
  const bytes = crypto.getRandomValues(new Uint8Array(40_000));
  const echo = Array.from(bytes, (byte) => byte.toString(16)).join("");
  const request = {
    key: unique("key"),
    body: {
      effect,
      headers: { "X-Echo": echo, "Location": "/effects/1" },
      body: "done",
    },
    config: { leaseSeconds: 1 },
  };
  const first = await probe(stack(), ada, request);
  assertEquals([first.status, await first.text()], [200, "done"]);
  // Unrecorded, the key would be free again once the lease has lapsed.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const retry = await probe(stack(), ada, request);
  assertEquals(await told(retry), [409, "RESPONSE_NOT_STORED"]);
  assertEquals(retry.headers.get("location"), "/effects/1");
  assertEquals(await effects(stack(), effect), 1);
});

for (
  const [what, text] of [["U+0000", "a\0b"], ["half a pair", "\ud83d"]] as const
) {
  Deno.test(`a step whose result has ${what} in it is done once, and metadata and messages with it harm nothing`, async () => {
    let charges = 0;
    const context = {
      store: supabaseLedger(project(stack()).client),
      userId: null,
      route: unique("charge"),
      key: unique("key"),
      metadata: { note: `\\u0000 ${text}` },
    };
    const results: unknown[] = [];
    const run = (failing: boolean) =>
      withIdempotency(context, async ({ step }) => {
        results.push(
          await step("charge", () => ({ id: ++charges, [text]: text })),
          // Looks like what the ledger makes of such a result.
          await step("receipt", () => ({ packed_json: "{" })),
        );
        if (failing) throw new Error(text);
        return { status: 201, body: charges };
      });
    await run(true).catch(() => {});
    assertEquals((await run(false)).body, 1);
    assertEquals(results.slice(2), results.slice(0, 2));
    assertEquals(results[0], { id: 1, [text]: text });
    const [row] = await stack().sql<{ note: string }>(
      "select metadata ->> 'note' as note from public.idempotency_keys where scope = $1",
      [context.route],
    );
    assertEquals(row?.note, `\\u0000 ${text.replace(/\0|\ud83d/, "\ufffd")}`);
  });
}
