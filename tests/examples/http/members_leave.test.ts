import { assertEquals } from "@std/assert";
import { call } from "../../support/call.ts";
import { newOrganization } from "../../support/organizations.ts";
import { effects, probe, unique } from "../../support/probe.ts";
import { DRAFT } from "../../support/quotations.ts";
import {
  addProduct,
  assertBooks,
  draftTransfer,
  fill,
  openShop,
  sell,
  stockOf,
} from "../../support/shop.ts";
import { type Actor, project, signUp, withStack } from "../../support/stack.ts";

// An account ends, a business or an organisation is left by its owner, or is
// dissolved: with requests, keys and goods on the way.

const stack = withStack();
type User = Actor & { userId: string };

const endAccount = ({ userId }: User) =>
  stack().sql("delete from auth.users where id = $1", [userId]);

async function rolesOf(
  table: "memberships" | "organization_members",
  of: string,
): Promise<Record<string, string>> {
  const column = table === "memberships" ? "business_id" : "organization_id";
  const rows = await stack().sql<{ user_id: string; role: string }>(
    `select user_id, role from public.${table} where ${column} = $1`,
    [of],
  );
  return Object.fromEntries(rows.map(({ user_id, role }) => [user_id, role]));
}

/** A shop with staff, taken in one after the other. */
async function shopWith(...roles: string[]) {
  const shop = await openShop(await signUp(stack()));
  const staff: User[] = [];
  for (const role of roles) {
    const user = await signUp(stack());
    await shop.owner.client.from("memberships").insert({
      business_id: shop.businessId,
      user_id: user.userId,
      role,
    }).throwOnError();
    staff.push(user);
  }
  return { shop, owner: shop.owner as User, staff };
}

Deno.test("an account that ends while its request runs gets that answer, and no other any more", async () => {
  const ada = await signUp(stack());
  const effect = unique("effect");
  const request = {
    key: unique("key"),
    body: { effect, steps: ["charge"], delayMs: 500, body: "done" },
  };
  const running = probe(stack(), ada, request);
  while (await effects(stack(), effect) === 0) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await endAccount(ada);
  const first = await running;
  assertEquals([first.status, await first.text()], [200, "done"]);
  assertEquals(first.headers.has("x-idempotency-stored"), false);
  const retry = await probe(stack(), ada, request);
  const { code, retryable } = await retry.json();
  assertEquals([retry.status, code, retryable], [403, "ACCOUNT_GONE", false]);
  assertEquals(await effects(stack(), effect), 1);

  // What nobody recorded the end of is still to be found by an operator.
  const [left] = await stack().sql<{ owner: string; user_id: null }>(
    "select owner, user_id from public.idempotency_keys where idempotency_key = $1",
    [request.key],
  );
  assertEquals([left?.user_id, left?.owner === ada.userId], [null, false]);
  const eve = await signUp(stack());
  const other = await probe(stack(), eve, {
    ...request,
    body: { ...request.body, body: "Eve's" },
  });
  assertEquals(await other.text(), "Eve's");
});

Deno.test("whoever asks with the token of an account that has ended is told so, with a key and without", async () => {
  const cal = await signUp(stack());
  const ada = await signUp(stack());
  const { data: address } = await ada.client.rpc("my_recognition_address")
    .throwOnError();
  const shop = await openShop(cal);
  const tea = await addProduct(shop);
  const { data: pool } = await project(stack()).client.from("gpu_pools")
    .insert({ name: unique("pool"), hours_free: 5 }).select("id").single()
    .throwOnError();
  await endAccount(cal);
  const bodies: Record<string, unknown> = {
    "crm/clients": { name: "Aouda" },
    quotations: DRAFT,
    recognitions: { recipientAddress: address, reason: "Thanks" },
    "reserve-gpu": { poolId: pool.id, hours: 1 },
    "pos/sales": {
      locationId: shop.counter,
      lines: [{ productId: tea, quantity: 1 }],
    },
  };
  for (const [name, body] of Object.entries(bodies)) {
    const needsKey = name === "reserve-gpu" || name === "pos/sales";
    for (const key of [unique("key"), ...(needsKey ? [] : [undefined])]) {
      const answer = await call(stack(), cal, name, {
        body,
        ...(key === undefined ? {} : { key }),
      });
      assertEquals(
        [name, answer.status, answer.body.code, answer.body.retryable],
        [name, 403, "ACCOUNT_GONE", false],
      );
    }
  }
});

Deno.test("a business whose owner's account ends goes to the manager who has been there longest", async () => {
  const { shop, owner, staff } = await shopWith(
    "cashier",
    "manager",
    "manager",
  );
  const [cashier, manager, other] = staff as [User, User, User];
  await endAccount(owner);
  assertEquals(await rolesOf("memberships", shop.businessId), {
    [cashier.userId]: "cashier",
    [manager.userId]: "owner",
    [other.userId]: "manager",
  });
  const hired = await signUp(stack());
  await manager.client.from("memberships").insert({
    business_id: shop.businessId,
    user_id: hired.userId,
    role: "manager",
  }).throwOnError();
});

Deno.test("goods on the way and keys of a business outlive its owner's account", async () => {
  const { shop, owner, staff } = await shopWith("manager");
  const [manager] = staff as [User];
  const tea = await addProduct(shop);
  await fill(stack(), shop, [[tea, 10]]);
  assertEquals((await sell(stack(), shop, [[tea, 1]])).status, 201);
  const transfer = await draftTransfer(shop, [[tea, 3]]);
  const sent = await call(stack(), owner, `pos/transfers/${transfer}/send`, {
    key: unique("send"),
  });
  assertEquals(sent.status, 200);
  await endAccount(owner);

  const path = `pos/transfers/${transfer}/receive`;
  const key = unique("receive");
  const received = await call(stack(), manager, path, { key });
  assertEquals([received.status, received.replayed], [200, false]);
  assertEquals((await call(stack(), manager, path, { key })).replayed, true);
  const now = { ...shop, owner: manager };
  assertEquals(await stockOf(now, shop.counter, tea), 6);
  assertEquals(await stockOf(now, shop.warehouse, tea), 3);
  assertEquals((await assertBooks(stack(), now)).sales, 1);
});

Deno.test("a business that only cashiers are left of gets an owner from the project", async () => {
  const { shop, owner, staff } = await shopWith("cashier");
  const [cashier] = staff as [User];
  await endAccount(owner);
  assertEquals(await rolesOf("memberships", shop.businessId), {
    [cashier.userId]: "cashier",
  });
  await project(stack()).client.from("memberships").update({ role: "owner" })
    .eq("business_id", shop.businessId).eq("user_id", cashier.userId)
    .throwOnError();
  const { data } = await cashier.client.from("businesses")
    .update({ name: "Hers" }).eq("id", shop.businessId).select("name")
    .throwOnError();
  assertEquals(data, [{ name: "Hers" }]);
});

Deno.test("owner and managers whose accounts end at once leave one owner as long as anybody is left", async () => {
  const { shop, owner, staff } = await shopWith(
    "manager",
    "manager",
    "manager",
  );
  await Promise.all([owner, staff[0]!, staff[1]!].map(endAccount));
  assertEquals(await rolesOf("memberships", shop.businessId), {
    [staff[2]!.userId]: "owner",
  });
});

Deno.test("a business with books is not deleted by mistake", async () => {
  const { shop } = await shopWith();
  const tea = await addProduct(shop);
  await fill(stack(), shop, [[tea, 1]]);
  const { error } = await project(stack()).client.from("businesses").delete()
    .eq("id", shop.businessId);
  assertEquals(error?.code, "23503");
  await assertBooks(stack(), shop);
});

Deno.test("an organisation whose owner's account ends goes to its admin", async () => {
  const [boss, ben, admin] = [
    await signUp(stack()),
    await signUp(stack()),
    await signUp(stack()),
  ] as [User, User, User];
  const team = await newOrganization(boss, ben);
  await boss.client.from("organization_members").insert({
    organization_id: team,
    user_id: admin.userId,
    role: "admin",
  }).throwOnError();
  await endAccount(boss);
  assertEquals(await rolesOf("organization_members", team), {
    [ben.userId]: "member",
    [admin.userId]: "owner",
  });
});

Deno.test("a dissolved organisation takes its keys along, whoever makes one with its id again", async () => {
  const [boss, ben] = [await signUp(stack()), await signUp(stack())] as [
    User,
    User,
  ];
  const team = await newOrganization(boss, ben);
  const headers = { "X-Organization-Id": team };
  const { body } = await call(stack(), boss, "quotations", {
    body: DRAFT,
    key: unique("key"),
    headers,
  });
  const send = (actor: Actor) =>
    call(stack(), actor, `quotations/${body.id}/status`, {
      body: { status: "sent" },
      key: `send-${body.id}`,
      headers,
    });
  assertEquals((await send(boss)).status, 200);
  const stuck = unique("stuck");
  const shared = {
    p_owner: `org:${team}`,
    p_scope: `quotations/:id/status/organization:${team}`,
    p_idempotency_key: stuck,
    p_owner_token: crypto.randomUUID(),
  };
  const { client } = project(stack());
  await client.rpc("idempotency_claim", {
    ...shared,
    p_fingerprint: "a".repeat(64),
    p_lease_seconds: 60,
    p_ttl_seconds: 3600,
    p_third_party: true,
  }).throwOnError();

  await client.from("organizations").delete().eq("id", team).throwOnError();
  assertEquals((await send(ben)).status, 404);
  await ben.client.rpc("create_organization", { p_name: "Mine", p_id: team })
    .throwOnError();
  const again = await send(ben);
  assertEquals([again.status, again.replayed], [404, false]);

  const left = await stack().sql<{ idempotency_key: string; owner: string }>(
    "select idempotency_key, owner from public.idempotency_keys where scope like $1 and status = 'processing'",
    [`%${team}`],
  );
  assertEquals(left.map(({ idempotency_key }) => idempotency_key), [stuck]);
  assertEquals(left[0]!.owner.includes(team), false);
  const { data: ended } = await client.rpc("idempotency_complete", {
    ...shared,
    p_status_code: 200,
    p_response: "late",
    p_response_encoding: "text",
    p_response_headers: {},
  }).throwOnError();
  assertEquals(ended?.outcome, "gone");
});
