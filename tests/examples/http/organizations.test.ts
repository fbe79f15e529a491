import { assertEquals } from "@std/assert";
import { call } from "../../support/call.ts";
import { newOrganization } from "../../support/organizations.ts";
import { unique } from "../../support/probe.ts";
import { DRAFT, historyOf, newQuotation } from "../../support/quotations.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";

const stack = withStack();
type User = Actor & { userId: string };
let ada: User;
let ben: User;
let eve: User;
let north: string;
let south: string;

Deno.test.beforeAll(async () => {
  [ada, ben, eve] = await Promise.all([
    signUp(stack()),
    signUp(stack()),
    signUp(stack()),
  ]) as [User, User, User];
  north = await newOrganization(ada, ben);
  south = await newOrganization(ada);
});

const inside = (organization: string) => ({
  headers: { "X-Organization-Id": organization },
});
const list = async (actor: Actor, organization?: string) => {
  const { status, body } = await call(stack(), actor, "quotations", {
    method: "GET",
    ...(organization === undefined ? {} : inside(organization)),
  });
  return status === 200
    ? body.quotations.map(({ id }: { id: string }) => id)
    : body.code;
};

Deno.test("colleagues share the quotations of their organisation, and nobody else sees them", async () => {
  const { body: shared } = await call(stack(), ada, "quotations", {
    body: DRAFT,
    key: unique("key"),
    ...inside(north),
  });
  assertEquals(shared.organizationId, north);
  const own = await newQuotation(stack(), ben);
  assertEquals(await list(ben, north), [shared.id]);
  assertEquals(await list(ben), [own.id]);
  assertEquals(await list(ada), []);
  assertEquals(await list(ada, south), []);
  assertEquals(await list(eve, north), "ORGANIZATION_NOT_FOUND");

  const changed = await call(stack(), ben, `quotations/${shared.id}`, {
    method: "PATCH",
    body: { customerName: "Ben's" },
    key: unique("key"),
  });
  assertEquals([changed.status, changed.body.version], [200, 2]);
  assertEquals(
    (await historyOf(ada, shared.id)).map(({ action, changed_by }) => [
      action,
      changed_by,
    ]),
    [["created", ada.userId], ["updated", ben.userId]],
  );
  for (const method of ["GET", "PATCH", "DELETE"]) {
    const answer = await call(stack(), eve, `quotations/${shared.id}`, {
      method,
      ...(method === "PATCH" ? { body: { customerName: "Eve's" } } : {}),
      key: unique("key"),
      ...inside(north),
    });
    assertEquals([method, answer.status], [method, 404]);
  }
});

Deno.test("a stranger makes nothing for an organisation, and does not learn whether there is one", async () => {
  const answers = [];
  for (const organization of [north, crypto.randomUUID()]) {
    const { status, body } = await call(stack(), eve, "quotations", {
      body: DRAFT,
      key: unique("key"),
      ...inside(organization),
    });
    answers.push([status, body.code]);
  }
  assertEquals(answers, Array(2).fill([404, "ORGANIZATION_NOT_FOUND"]));
  const { status } = await call(stack(), ada, "quotations", {
    body: DRAFT,
    key: unique("key"),
    ...inside("north"),
  });
  assertEquals(status, 400);
});

Deno.test("one key in two organisations is two requests, and never the other one's answer", async () => {
  const key = unique("key");
  const create = (organization: string) =>
    call(stack(), ada, "quotations", {
      body: DRAFT,
      key,
      ...inside(organization),
    });
  const first = await create(north);
  const other = await create(south);
  assertEquals([other.status, other.replayed], [201, false]);
  assertEquals(other.body.organizationId, south);
  const again = await create(north);
  assertEquals([again.replayed, again.body], [true, first.body]);
});

Deno.test("colleagues who create with one key make one each", async () => {
  const key = unique("key");
  const request = { body: DRAFT, key, ...inside(north) };
  const mine = await call(stack(), ada, "quotations", request);
  const theirs = await call(stack(), ben, "quotations", request);
  assertEquals(theirs.replayed, false);
  assertEquals(mine.body.id === theirs.body.id, false);
});

Deno.test("colleagues who send with one key send once: the route shares its keys", async () => {
  const { body } = await call(stack(), ada, "quotations", {
    body: DRAFT,
    key: unique("key"),
    ...inside(north),
  });
  const send = (actor: Actor, status = "sent") =>
    call(stack(), actor, `quotations/${body.id}/status`, {
      body: { status },
      key: `send-${body.id}`,
      ...inside(north),
    });
  const first = await send(ada);
  const second = await send(ben);
  assertEquals([first.status, first.replayed], [200, false]);
  assertEquals([second.status, second.replayed], [200, true]);
  assertEquals(second.body, first.body);
  assertEquals((await send(ben, "accepted")).status, 422);
  assertEquals((await send(eve)).status, 404);
});

Deno.test("colleagues who share keys share no answer about what is not their organisation's", async () => {
  const others = await call(stack(), ada, "quotations", {
    body: DRAFT,
    key: unique("key"),
    ...inside(south),
  });
  for (const { id } of [await newQuotation(stack(), ada), others.body]) {
    const send = (actor: Actor) =>
      call(stack(), actor, `quotations/${id}/status`, {
        body: { status: "sent" },
        key: `send-${id}`,
        ...inside(north),
      });
    for (const answer of [await send(ada), await send(ben)]) {
      assertEquals(
        [answer.status, answer.body.code],
        [404, "QUOTATION_NOT_FOUND"],
      );
    }
    const { body } = await call(stack(), ada, `quotations/${id}`, {
      method: "GET",
    });
    assertEquals([body.status, body.version], ["draft", 1]);
  }
});

Deno.test("who has left an organisation gets nothing of it, replays of shared keys neither", async () => {
  const team = await newOrganization(ada, eve);
  const { body } = await call(stack(), eve, "quotations", {
    body: DRAFT,
    key: unique("key"),
    ...inside(team),
  });
  const send = () =>
    call(stack(), eve, `quotations/${body.id}/status`, {
      body: { status: "sent" },
      key: `send-${body.id}`,
      ...inside(team),
    });
  assertEquals((await send()).status, 200);
  await eve.client.from("organization_members").delete()
    .eq("organization_id", team).eq("user_id", eve.userId).throwOnError();
  assertEquals((await send()).status, 404);
  assertEquals(await list(eve, team), "ORGANIZATION_NOT_FOUND");
});

Deno.test("who owns an organisation takes colleagues in, makes them admins, hands it over and dissolves it", async () => {
  const cal = await signUp(stack());
  const team = await newOrganization(ada, ben, eve);
  await call(stack(), ada, "quotations", {
    body: DRAFT,
    key: unique("key"),
    ...inside(team),
  });
  await call(stack(), ada, "crm/clients", {
    body: { name: "Phileas Fogg" },
    key: unique("key"),
    ...inside(team),
  });
  const roles = async () => {
    const { data } = await ada.client.from("organization_members")
      .select("user_id, role").eq("organization_id", team).throwOnError();
    const names = { [ada.userId]: "ada", [ben.userId]: "ben" };
    return data.map(({ user_id, role }) => `${names[user_id]} ${role}`).sort();
  };
  const promote = (by: Actor) =>
    by.client.from("organization_members").update({ role: "admin" })
      .eq("organization_id", team).eq("user_id", ben.userId).select();
  const handOver = (by: Actor, to: User) =>
    by.client.rpc("transfer_organization", {
      p_organization_id: team,
      p_user_id: to.userId,
    });
  const dissolve = (by: Actor) =>
    by.client.from("organizations").delete().eq("id", team).select()
      .throwOnError();

  assertEquals((await promote(eve)).data, []);
  assertEquals((await promote(ada)).data?.length, 1);
  await eve.client.from("organization_members").delete()
    .eq("organization_id", team).eq("user_id", eve.userId).throwOnError();
  await ada.client.from("organization_members").upsert({
    organization_id: team,
    user_id: ben.userId,
  }, { ignoreDuplicates: true }).throwOnError();
  assertEquals(await roles(), ["ada owner", "ben admin"]);

  assertEquals((await handOver(ben, ben)).error?.code, "OR001");
  assertEquals((await handOver(ada, cal)).error?.code, "OR001");
  assertEquals((await handOver(eve, ada)).error?.code, "OR001");
  assertEquals(await roles(), ["ada owner", "ben admin"]);
  const sent = await Promise.all([
    handOver(ada, ben),
    handOver(ada, ben),
    handOver(ada, ben),
  ]);
  assertEquals(sent.map(({ error }) => error), [null, null, null]);
  assertEquals(await roles(), ["ada admin", "ben owner"]);

  assertEquals((await dissolve(ada)).data, []);
  assertEquals((await list(ada, team)).length, 1);
  assertEquals((await dissolve(ben)).data?.length, 1);
  assertEquals((await dissolve(ben)).data, []);
  assertEquals(await list(ben, team), "ORGANIZATION_NOT_FOUND");
  assertEquals(
    await stack().sql(
      `select (select count(*)::int from quotations where organization_id = '${team}') as quotations,
        (select count(*)::int from crm_clients where organization_id = '${team}') as clients`,
    ),
    [{ quotations: 0, clients: 0 }],
  );
});
