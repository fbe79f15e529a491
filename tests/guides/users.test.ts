import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { withSupabase } from "@supabase/server";
import { SignJWT } from "jose";
import { setEnvironment } from "../../scripts/stack/environment.ts";
import { call } from "../support/call.ts";
import { unique } from "../support/probe.ts";
import {
  type Actor,
  anonymous,
  project as secretKeyHolder,
  signUp,
} from "../support/stack.ts";
import { takesEffectOnce } from "./once.ts";
import { withGuides } from "./project.ts";

// Guides whose callers are users, or might be.
const guides = withGuides();

/** A user of a project with older keys, whose tokens are signed with HS256. */
function legacyUser() {
  const { apiUrl, anonKey } = guides().stack;
  return signUp({ apiUrl, publishableKey: anonKey });
}

/** Whoever has an older key: as supabase-js sends it. */
function holder(key: string): Actor {
  const headers = { apikey: key, Authorization: `Bearer ${key}` };
  return { ...anonymous(guides().stack), headers };
}

/** Calls a function that takes orders. */
async function order(
  actor: Actor,
  name: string,
  item: string,
  key: string | undefined = item,
) {
  const options = key === undefined ? {} : { key };
  return await call(guides().stack, actor, name, {
    body: { item },
    ...options,
  });
}

const orders = (item: string) => guides().count("orders", "item", item);

async function codeOf(answer: Promise<{ status: number; body: unknown }>) {
  const { status, body } = await answer;
  return [status, (body as { code?: string }).code];
}

/** A token that anybody could write. */
async function forged(): Promise<string> {
  return await new SignJWT({ role: "authenticated" })
    .setSubject(crypto.randomUUID())
    .setProtectedHeader({ alg: "HS256" })
    .setExpirationTime("1h")
    .sign(crypto.getRandomValues(new Uint8Array(32)));
}

// First of all: a function reads its environment when it is first asked.
Deno.test("legacy keys: they are all it takes, and the server's orders are apart from a user's", async () => {
  const restore = setEnvironment({
    SUPABASE_SECRET_KEYS: undefined,
    SUPABASE_PUBLISHABLE_KEYS: undefined,
    SUPABASE_JWKS: undefined,
  });
  try {
    const server = holder(guides().stack.serviceRoleKey);
    await takesEffectOnce(
      (item) => order(server, "import-orders", item),
      orders,
    );
    const item = unique("item");
    for (const caller of [server, await legacyUser()]) {
      const { replayed } = await order(caller, "import-orders", item);
      assertEquals(replayed, false);
    }
    assertEquals(await orders(item), 2);
  } finally {
    restore();
  }
});

for (const name of ["orders", "shop/orders", "import-orders"]) {
  Deno.test(`${name}: a user's order is placed once, and keys are the user's own`, async () => {
    const ada = await legacyUser();
    await takesEffectOnce((item) => order(ada, name, item), orders);
    const item = unique("item");
    for (const user of [ada, await legacyUser()]) {
      assertEquals((await order(user, name, item)).replayed, false);
    }
    assertEquals(await orders(item), 2);
    const other = await order(ada, name, unique("other"), item);
    assertEquals([other.status, other.body.code], [
      422,
      "IDEMPOTENCY_KEY_REUSED",
    ]);
  });

  Deno.test(`${name}: a key from nobody is refused before the handler runs`, async () => {
    const { stack } = guides();
    const item = unique("item");
    const anon = holder(stack.anonKey);
    assertEquals(await codeOf(order(anon, name, item)), [
      403,
      "CALLER_UNKNOWN",
    ]);
    const headers = { Authorization: `Bearer ${await forged()}` };
    assertEquals(
      (await order({ ...anon, headers }, name, item)).status,
      401,
    );
    assertEquals(await orders(item), 0);
  });
}

for (const name of ["orders", "shop/orders"]) {
  Deno.test(`${name}: a page may send the key and read each answer`, async () => {
    const { apiUrl, anonKey } = guides().stack;
    const preflight = await fetch(`${apiUrl}/functions/v1/${name}`, {
      method: "OPTIONS",
    });
    await preflight.body?.cancel();
    assertStringIncludes(
      preflight.headers.get("access-control-allow-headers") ?? "",
      "idempotency-key",
    );
    const item = unique("item");
    const ada = await legacyUser();
    for (const actor of [ada, ada, holder(anonKey)]) {
      const { headers } = await order(actor, name, item);
      assertEquals(headers.get("access-control-allow-origin"), "*");
      assertStringIncludes(
        headers.get("access-control-expose-headers") ?? "",
        "X-Idempotency-Replay",
      );
    }
  });
}

Deno.test("import-orders: a page's preflight is answered with 200", async () => {
  const preflight = await fetch(
    `${guides().stack.apiUrl}/functions/v1/import-orders`,
    { method: "OPTIONS" },
  );
  await preflight.body?.cancel();
  assertEquals(preflight.status, 200);
});

Deno.test("a failed insert is not recorded, and the retry runs again", async () => {
  const ada = await legacyUser();
  const key = unique("key");
  for (const _ of [1, 2]) {
    const { status, replayed } = await call(guides().stack, ada, "orders", {
      key,
      body: { item: null },
    });
    assertEquals([status, replayed], [500, false]);
  }
});

Deno.test("Hono: routes know the attempt, and those that only read run as they are", async () => {
  const ada = await legacyUser();
  const { body } = await order(ada, "shop/orders", unique("item"));
  assertEquals(body.attempt, 1);
  const read = await call(guides().stack, ada, "shop/orders", {
    method: "GET",
    key: unique("key"),
  });
  assertEquals([read.status, read.headers.has("x-idempotency-stored")], [
    200,
    false,
  ]);
  const item = unique("item");
  await order(ada, "shop/orders", item);
  const elsewhere = await order(ada, "shop/refunds", item);
  assertEquals([elsewhere.status, elsewhere.body.code], [
    422,
    "IDEMPOTENCY_KEY_REUSED",
  ]);
});

/** Calls the CLI's template, or what a guide makes of it. */
function greet(actor: Actor, name: string, as: string, key?: string) {
  return call(guides().stack, actor, as, {
    body: { name },
    ...(key === undefined ? {} : { key }),
  });
}

const greetings = (name: string) => guides().count("greetings", "name", name);

Deno.test("the CLI's template: once for the secret key, refused for the publishable one", async () => {
  const { stack } = guides();
  await takesEffectOnce(
    (name) => greet(secretKeyHolder(stack), name, "hello", name),
    greetings,
  );
  const name = unique("name");
  for (const actor of [anonymous(stack), await signUp(stack)]) {
    assertEquals(await codeOf(greet(actor, name, "hello", name)), [
      403,
      "CALLER_UNKNOWN",
    ]);
  }
  assertEquals(await greetings(name), 0);
  assertEquals((await greet(anonymous(stack), name, "hello")).status, 200);
  assertEquals(await greetings(name), 1);
});

Deno.test("the CLI's template for users: once for each, and 401 for the publishable key", async () => {
  const { stack } = guides();
  const ada = await signUp(stack);
  await takesEffectOnce(
    (name) => greet(ada, name, "hello-users", name),
    greetings,
  );
  const name = unique("name");
  for (const user of [ada, await signUp(stack), secretKeyHolder(stack)]) {
    assertEquals(
      (await greet(user, name, "hello-users", name)).replayed,
      false,
    );
  }
  assertEquals(await greetings(name), 3);
  const { status } = await greet(
    anonymous(stack),
    name,
    "hello-users",
    unique("key"),
  );
  assertEquals(status, 401);
});

Deno.test("the CLI's template for visitors: once for all together", async () => {
  const { stack } = guides();
  const name = unique("name");
  const callers = [
    anonymous(stack),
    secretKeyHolder(stack),
    await signUp(stack),
  ];
  for (const actor of callers) {
    const { status } = await greet(actor, name, "hello-visitors", name);
    assertEquals(status, 200);
  }
  assertEquals(await greetings(name), 1);
});

// The local stack gives tokens the key id that those of an older project lack,
// so this one is asked without it.
Deno.test("legacy keys: @supabase/server refuses both a user's token and the key", async () => {
  const { anonKey, serviceRoleKey } = guides().stack;
  const fetchHandler = withSupabase(
    { auth: ["user", "secret"] },
    () => Promise.resolve(new Response("let in")),
  );
  await using server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
  }, (req) => fetchHandler(req));
  const callers = [
    (await legacyUser()).headers,
    holder(serviceRoleKey).headers,
    { apikey: anonKey },
  ];
  for (const headers of callers) {
    const { status, body } = await fetch(
      `http://127.0.0.1:${server.addr.port}/`,
      { headers },
    );
    await body?.cancel();
    assertEquals(status, 401);
  }
});

Deno.test("two versions answer for each other, and one of them runs", async () => {
  const ada = await legacyUser();
  // The query is a part of what a key stands for, as the path is.
  const versions = ["orders?gift=1", "orders-v2?gift=1"];
  for (const [one, other] of [versions, versions.toReversed()]) {
    const item = unique("item");
    const first = await order(ada, one!, item);
    const retry = await order(ada, other!, item);
    assertEquals([first.status, retry.replayed], [201, true]);
    assertEquals(retry.body, first.body);
  }
  let next = 0;
  await takesEffectOnce(
    (item) => order(ada, versions[next++ % 2]!, item),
    orders,
  );
});

Deno.test("an organisation's quota counts requests, not attempts, and colleagues never get more of it together", async () => {
  const { stack, count } = guides();
  const [ada, ben] = await Promise.all([signUp(stack), signUp(stack)]);
  const organisation = crypto.randomUUID();
  for (const { userId } of [ada, ben]) {
    await stack.sql("insert into public.members values ($1, $2)", [
      userId,
      organisation,
    ]);
  }
  await stack.sql(
    "insert into public.quotas (organisation_id, month, allowed) values ($1, date_trunc('month', now() at time zone 'utc'), 4)",
    [organisation],
  );
  const used = async () => {
    const [row] = await stack.sql<{ used: number }>(
      "select used from public.quotas where organisation_id = $1",
      [organisation],
    );
    return row!.used;
  };
  const report = (actor: Actor, key: string) =>
    call(stack, actor, "reports", { key });

  // Two requests, one of them sent five times at once.
  await takesEffectOnce(
    (name) => report(ada, name),
    (name) => count("reports", "name", name),
  );
  assertEquals(await used(), 2);

  const key = unique("report");
  await stack.sql("alter table public.reports rename to reports_away");
  assertEquals((await report(ada, key)).status, 500);
  assertEquals((await report(ada, key)).status, 500);
  await stack.sql("alter table public.reports_away rename to reports");
  assertEquals((await report(ada, key)).status, 201);
  assertEquals(await used(), 3);

  const keys = [unique("report"), unique("report")];
  const race = await Promise.all([
    report(ada, keys[0]!),
    report(ben, keys[1]!),
  ]);
  assertEquals(race.map(({ status }) => status).sort(), [201, 429]);
  assertEquals(await used(), 4);

  const late = race[0]!.status === 429 ? 0 : 1;
  await stack.sql(
    "update public.quotas set allowed = 5 where organisation_id = $1",
    [organisation],
  );
  const raised = await report([ada, ben][late]!, keys[late]!);
  assertEquals([raised.status, raised.replayed], [201, false]);
  assertEquals(await used(), 5);
});

Deno.test("a rate limiter: inside, replays pass and its 429 is not kept; in front, it counts every request", async () => {
  const place = (item: string) => order(ada, "limited-orders", item);
  const ada = await signUp(guides().stack);
  const ben = await signUp(guides().stack);
  await takesEffectOnce(
    (item) => order(ben, "limited-orders", item),
    orders,
  );

  const first = unique("item");
  assertEquals((await place(first)).status, 201);
  let refused = "";
  while (refused === "") {
    const item = unique("item");
    const { status, body, headers } = await place(item);
    if (status === 201) continue;
    assertEquals([status, body.code], [429, "RATE_LIMITED"]);
    assertMatch(headers.get("retry-after")!, /^[1-9]\d*$/);
    assertEquals(headers.has("x-idempotency-stored"), false);
    refused = item;
  }
  const replay = await place(first);
  assertEquals([replay.status, replay.replayed], [201, true]);
  const [key] = await guides().stack.sql<{ status: string }>(
    "select status from public.idempotency_keys where idempotency_key = $1",
    [refused],
  );
  // Free: the same request may run, as soon as the limiter lets it.
  assertEquals(key!.status, "failed");
  assertEquals(await orders(refused), 0);

  let answer = replay;
  while (answer.replayed) answer = await place(first);
  assertEquals(answer.status, 429);
  assertEquals(await orders(first), 1);
});
