import { assert, assertEquals } from "@std/assert";
import { resources } from "../../../functions/crm/resources.ts";
import { askForArchived } from "../../../shared/archive.ts";
import { type Call, call } from "../../support/call.ts";
import { heard } from "../../support/heard.ts";
import { newOrganization } from "../../support/organizations.ts";
import { unique } from "../../support/probe.ts";
import { type Actor, project, signUp, withStack } from "../../support/stack.ts";

const stack = withStack();
type User = Actor & { userId: string };
let ada: User;
let ben: User;
let agency: string;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  ben = await signUp(stack());
  agency = await newOrganization(ada, ben);
});

const ask = (path: string, request: Call = {}, actor: Actor = ada) =>
  call(stack(), actor, `crm/${path}`, {
    ...(request.method === "GET" ? {} : { key: unique("key") }),
    ...request,
  });
const get = (path: string, actor: Actor = ada, headers = {}) =>
  ask(path, { method: "GET", headers }, actor);
const inAgency = () => ({ "X-Organization-Id": agency });

/** A row of a resource, with the rows that it refers to. */
async function make(
  name: keyof typeof resources,
  changes: Record<string, unknown> = {},
  headers: Record<string, string> = {},
) {
  const body: Record<string, unknown> = {
    ...resources[name].examples[0],
    ...changes,
  };
  if ("clientId" in body) {
    body["clientId"] = (await make("clients", {}, headers)).id;
  }
  if ("providerId" in body) {
    const taxNumber = unique("tax");
    body["providerId"] = (await make("providers", { taxNumber }, headers)).id;
  }
  const answer = await ask(name, { body, headers });
  assertEquals(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
}

Deno.test("there are the sixteen resources of the original", () => {
  assertEquals(Object.keys(resources), [
    "agents",
    "bookings",
    "clients",
    "daily_tours",
    "entrance_fees",
    "extra_expenses",
    "guides",
    "hotels",
    "invoices_payable",
    "invoices_receivable",
    "providers",
    "restaurants",
    "roles",
    "transfers",
    "users",
    "vehicles",
  ]);
});

for (const name of Object.keys(resources) as (keyof typeof resources)[]) {
  Deno.test(`${name} are created, listed, read, changed, archived and restored`, async () => {
    const cara = await signUp(stack());
    const made = await make(
      name,
      name === "roles" ? { name: unique("r") } : {},
    );
    assertEquals([made.version, made.archivedAt], [1, null]);
    const path = `${name}/${made.id}`;
    const read = await get(path);
    assertEquals(read.body, made);
    assertEquals(read.headers.get("etag")?.replace("W/", ""), '"1"');
    const listed = async (query = "") => {
      const { body, headers } = await get(`${name}${query}`);
      return {
        has: body[name].some(({ id }: { id: string }) => id === made.id),
        count: headers.get("x-archived-count"),
      };
    };
    assertEquals(await listed(), { has: true, count: null });
    assertEquals((await get(path, cara)).status, 404);
    assertEquals((await get(name, cara)).body[name], []);

    const [field, value] = Object.entries(resources[name].examples[1])
      .find(([field]) => !field.endsWith("Id"))!;
    const patched = await ask(path, {
      method: "PATCH",
      body: { [field]: value },
      headers: { "If-Match": '"1"' },
    });
    assertEquals([patched.status, patched.body.version], [200, 2]);
    assertEquals(patched.body[field], value);
    const stale = await ask(path, {
      method: "PATCH",
      body: { [field]: value },
      headers: { "If-Match": '"1"' },
    });
    assertEquals(stale.status, 412);

    const archived = await ask(path, { method: "DELETE" });
    assertEquals(archived.status, 200);
    assert(archived.body.archivedAt !== null);
    assertEquals((await get(path)).status, 404);
    assertEquals(await listed(), { has: false, count: null });
    assertEquals((await listed("?include_archived=true")).has, true);
    const detail = await get(`${path}?include_archived=true`);
    assertEquals(detail.headers.get("x-archived-count"), "1");
    const late = await ask(path, { method: "PATCH", body: { [field]: value } });
    assertEquals([late.status, late.body.code], [409, "ARCHIVED"]);
    const { data } = await ada.client.from(`crm_${name}`).select("id")
      .eq("id", made.id).throwOnError();
    assertEquals(data, []);
    const back = await ask(`${path}/restore`);
    assertEquals([back.status, back.body.archivedAt], [200, null]);

    const { body } = await get(`${path}/history`);
    assertEquals(
      body.history.map((
        { action, changedBy, route }: Record<string, string>,
      ) => [
        action,
        changedBy,
        route,
      ]),
      [
        ["created", ada.userId, `crm/${name}`],
        ["updated", ada.userId, `crm/${name}/:id`],
        ["archived", ada.userId, `crm/${name}/:id`],
        ["restored", ada.userId, `crm/${name}/:id/restore`],
      ],
    );
  });
}

Deno.test("a list goes from the newest to the oldest, page by page, and is narrowed by fields", async () => {
  const cara = await signUp(stack());
  const names = ["a", "b", "c", "d", "e"];
  for (const name of names) {
    const country = name < "c" ? "PT" : "ES";
    await ask("clients", { body: { name, country } }, cara);
  }
  const shown: string[] = [];
  let query = "?limit=2";
  for (;;) {
    const { body } = await get(`clients${query}`, cara);
    shown.push(...body.clients.map(({ name }: { name: string }) => name));
    if (body.nextCursor === null) break;
    query = `?limit=2&cursor=${encodeURIComponent(body.nextCursor)}`;
  }
  assertEquals(shown, names.toReversed());
  const spanish = await get("clients?country=ES", cara);
  assertEquals(spanish.body.clients.length, 3);
  const yearZero = btoa(
    JSON.stringify(["0000-01-01T00:00:00Z", crypto.randomUUID()]),
  );
  for (
    const wrong of [
      "notes=x",
      "country=Spain",
      "limit=0",
      "cursor=x",
      `cursor=${yearZero}`,
    ]
  ) {
    const { status, body } = await get(`clients?${wrong}`, cara);
    assertEquals([wrong, status, body.code], [wrong, 400, "REQUEST_INVALID"]);
  }
});

Deno.test("a moment that is none is refused", async () => {
  const { departsAt: _, ...transfer } = resources.transfers.examples[0];
  for (const departsAt of ["", "x", "\ufeffx", "2027-02-30T10:00:00Z"]) {
    const { status, body } = await ask("transfers", {
      body: { ...transfer, departsAt },
    });
    assertEquals([status, body.fields], [400, ["departsAt"]], departsAt);
  }
});

Deno.test("colleagues share what is their organisation's, and refer to nothing of others", async () => {
  const client = await make("clients", {}, inAgency());
  assertEquals(client.organizationId, agency);
  assertEquals((await get(`clients/${client.id}`, ben)).body, client);
  const ofAgency = await get("clients", ben, inAgency());
  assert(
    ofAgency.body.clients.some(({ id }: { id: string }) => id === client.id),
  );
  assertEquals((await get("clients", ben)).body.clients, []);
  const cara = await signUp(stack());
  for (
    const [actor, headers, status, code] of [
      [cara, inAgency(), 404, "ORGANIZATION_NOT_FOUND"],
      [ben, {}, 422, "REFERENCE_NOT_FOUND"],
      [ben, inAgency(), 201, undefined],
    ] as const
  ) {
    const { body, ...answer } = await ask("bookings", {
      body: { ...resources.bookings.examples[0], clientId: client.id },
      headers,
    }, actor);
    assertEquals([answer.status, body.code], [status, code]);
  }
});

Deno.test("what the database keeps is told by the names of the API", async () => {
  const booking = await make("bookings");
  const change = (body: unknown) =>
    ask(`bookings/${booking.id}`, { method: "PATCH", body });
  const backwards = await change({ endsOn: "2027-01-01" });
  assertEquals([backwards.status, backwards.body.code], [422, "RULE_BROKEN"]);
  assert(
    backwards.body.detail.includes("endsOn is not before startsOn"),
    backwards.body.detail,
  );
  const skipped = await change({ status: "completed" });
  assertEquals([skipped.status, skipped.body.code], [
    409,
    "STATUS_CHANGE_NOT_ALLOWED",
  ]);
  assert(skipped.body.detail.includes("draft to completed"));
  assertEquals((await change({ status: "confirmed" })).status, 200);
  const plate = unique("p").slice(-20);
  await make("vehicles", { plate });
  const second = await ask("vehicles", {
    body: { ...resources.vehicles.examples[0], plate },
  });
  assertEquals([second.status, second.body.code], [409, "VALUE_TAKEN"]);
  assert(second.body.detail.includes("this plate"), second.body.detail);
});

Deno.test("an archived value is free for a new row, and the old one waits until it is free again", async () => {
  const plate = unique("p").slice(-20);
  const first = await make("vehicles", { plate });
  await ask(`vehicles/${first.id}`, { method: "DELETE" });
  const second = await make("vehicles", { plate });
  const back = await ask(`vehicles/${first.id}/restore`);
  assertEquals([back.status, back.body.code], [409, "VALUE_TAKEN"]);
  await ask(`vehicles/${second.id}`, { method: "DELETE" });
  assertEquals((await ask(`vehicles/${first.id}/restore`)).status, 200);
  // A number on paper is no such value.
  const number = unique("n");
  const paper = await make("invoices_receivable", { number });
  await ask(`invoices_receivable/${paper.id}`, { method: "DELETE" });
  const again = await ask("invoices_receivable", {
    body: {
      ...resources.invoices_receivable.examples[0],
      clientId: paper.clientId,
      number,
    },
  });
  assertEquals([again.status, again.body.code], [409, "VALUE_TAKEN"]);
});

Deno.test("a provider's invoice that was paid and archived comes no second time", async () => {
  const invoice = await make("invoices_payable", {
    amountMinor: 55_000,
    paidMinor: 55_000,
    status: "paid",
  });
  await ask(`invoices_payable/${invoice.id}`, { method: "DELETE" });
  const again = await ask("invoices_payable", {
    body: {
      ...resources.invoices_payable.examples[0],
      providerId: invoice.providerId,
      number: invoice.number,
    },
  });
  assertEquals([again.status, again.body.code], [409, "VALUE_TAKEN"]);
});

Deno.test("an invoice that was approved stays what was approved", async () => {
  const invoice = await make("invoices_payable", { status: "approved" });
  const change = (body: unknown) =>
    ask(`invoices_payable/${invoice.id}`, { method: "PATCH", body });
  const more = await change({ amountMinor: 900_000 });
  assertEquals([more.status, more.body.code], [422, "RULE_BROKEN"]);
  assert(
    more.body.detail.includes("amountMinor is what was approved"),
    more.body.detail,
  );
  const { amountMinor } = invoice;
  const paid = await change({ status: "paid", paidMinor: amountMinor });
  assertEquals([paid.status, paid.body.amountMinor], [200, amountMinor]);
});

Deno.test("an organisation has the system's roles, and only custom ones are changed or archived", async () => {
  const { body } = await get("roles", ada, inAgency());
  const system = body.roles.filter(({ isSystem }: { isSystem: boolean }) =>
    isSystem
  );
  assertEquals(
    system.map(({ name }: { name: string }) => name).sort(),
    ["admin", "member", "owner"],
  );
  const path = `roles/${system[0].id}`;
  const archived = await ask(path, { method: "DELETE" });
  assertEquals([archived.status, archived.body.code], [
    409,
    "ARCHIVING_NOT_ALLOWED",
  ]);
  const renamed = await ask(path, { method: "PATCH", body: { name: "boss" } });
  assertEquals([renamed.status, renamed.body.code], [409, "SYSTEM_ROLE"]);
  const custom = await make("roles", { name: unique("role") }, inAgency());
  assertEquals(custom.isSystem, false);
  const forged = await ask("roles", {
    body: { name: unique("role"), isSystem: true },
  });
  assertEquals(forged.status, 400);
  assertEquals(
    (await ask(`roles/${custom.id}`, { method: "DELETE" })).status,
    200,
  );
});

Deno.test("a user is the profile of a colleague's account, of one each, and of nobody else's", async () => {
  const cara = await signUp(stack());
  const profile = (accountId: string | null) =>
    ask("users", {
      body: { fullName: "B. Benson", accountId },
      headers: inAgency(),
    });
  const made = await profile(ben.userId);
  assertEquals([made.status, made.body.accountId], [201, ben.userId]);
  assertEquals((await profile(ben.userId)).body.code, "VALUE_TAKEN");
  assertEquals((await profile(cara.userId)).body.code, "REFERENCE_NOT_FOUND");
  assertEquals((await profile(null)).status, 201);
  // Who leaves keeps no profile; the name stays.
  await ada.client.from("organization_members").delete()
    .eq("organization_id", agency).eq("user_id", ben.userId).throwOnError();
  const left = await get(`users/${made.body.id}`);
  assertEquals([left.body.accountId, left.body.fullName], [null, "B. Benson"]);
  await ada.client.from("organization_members").insert({
    organization_id: agency,
    user_id: ben.userId,
  }).throwOnError();
});

Deno.test("invoices require a key, the others warn, and the environment decides", async () => {
  const client = await make("clients");
  const body = {
    ...resources.invoices_receivable.examples[0],
    number: unique("n"),
    clientId: client.id,
  };
  const keyless = (name: string, body: unknown) =>
    call(stack(), ada, `crm/${name}`, { body });
  const refused = await keyless("invoices_receivable", body);
  assertEquals([refused.status, refused.body.code], [
    400,
    "IDEMPOTENCY_KEY_MISSING",
  ]);
  const lines = await heard("warn", async () => {
    const warned = await keyless("clients", { name: "Keyless" });
    assertEquals(warned.status, 201);
    assertEquals(warned.headers.get("x-idempotency-missing"), "true");
  });
  assertEquals(lines.length, 1);
  Deno.env.set("IDEMPOTENCY_ENFORCEMENT", "crm/clients=required,*=optional");
  try {
    assertEquals((await keyless("clients", { name: "x" })).status, 400);
    const free = await keyless("agents", { name: "x" });
    assertEquals([free.status, free.headers.get("x-idempotency-missing")], [
      201,
      null,
    ]);
  } finally {
    Deno.env.delete("IDEMPOTENCY_ENFORCEMENT");
  }
});

Deno.test("the audit trail outlives the keys: who did what with which key, after the ledger has forgotten it", async () => {
  const key = unique("key");
  const { body } = await ask("clients", { body: { name: "Fogg" }, key });
  await ask(`clients/${body.id}`, {
    method: "PATCH",
    body: { name: "P. Fogg", country: "GB" },
  });
  await stack().sql(
    "update public.idempotency_keys set expires_at = now() - interval '1 minute' where idempotency_key = $1",
    [key],
  );
  await project(stack()).client.rpc("cleanup_expired_idempotency_keys")
    .throwOnError();
  const left = await stack().sql(
    "select from public.idempotency_keys where idempotency_key = $1",
    [key],
  );
  assertEquals(left, []);
  const { body: { history } } = await get(`clients/${body.id}/history`);
  assertEquals(history[0].idempotencyKey, key);
  assertEquals(history[0].httpMethod, "POST");
  assertEquals(history[0].changes.name, "Fogg");
  assertEquals(history[1].changes, { name: "P. Fogg", country: "GB" });
  // A row that is deleted for good leaves its trail.
  await project(stack()).client.from("crm_clients").delete().eq("id", body.id)
    .throwOnError();
  const { data } = await ada.client.from("crm_audit").select("action")
    .eq("row_id", body.id).order("id").throwOnError();
  assertEquals(data.map(({ action }) => action), [
    "created",
    "updated",
    "deleted",
  ]);
  for (
    const { error } of [
      await ada.client.from("crm_audit").delete().eq("row_id", body.id),
      await ada.client.from("crm_audit").update({ action: "created" })
        .eq("row_id", body.id),
      await ada.client.from("crm_audit").insert({
        resource: "clients",
        row_id: body.id,
        action: "created",
        version: 1,
        changes: {},
      }),
    ]
  ) assertEquals(error?.code, "42501");
});

Deno.test("an attempt after one whose answer was never recorded changes nothing and finds the row", async () => {
  const request = {
    id: unique("request"),
    key: null,
    method: "POST",
    route: "",
  };
  const create = () =>
    ada.client.rpc("crm_create", {
      p_resource: "clients",
      p_fields: { name: "Once" },
      p_organization_id: null as unknown as string,
      p_request: request,
    }).throwOnError();
  const first = await create();
  assertEquals((await create()).data, first.data);
  const { id } = first.data as { id: string };
  const rename = (name: string, requestId: string) =>
    ada.client.rpc("crm_change", {
      p_resource: "clients",
      p_action: "update",
      p_id: id,
      p_fields: { name },
      p_versions: null as unknown as number[],
      p_request: { ...request, id: requestId },
    }).throwOnError();
  const [one, two] = [unique("request"), unique("request")];
  await rename("A", one);
  await rename("B", two);
  const { data } = await rename("A", one);
  assertEquals((data as { name: string }).name, "B");
});

Deno.test("who goes past the function meets the same rules, and writes no column of the database's own", async () => {
  const client = await make("clients");
  const rows = () => ada.client.from("crm_clients");
  for (
    const { error } of [
      await rows().update({ version: 9 }).eq("id", client.id),
      await rows().delete().eq("id", client.id),
      await rows().insert({ name: "x", user_id: ben.userId }),
      await rows().insert({ name: "x", organization_id: crypto.randomUUID() }),
    ]
  ) assertEquals(error?.code, "42501");
  await rows().update({ archived_at: new Date().toISOString() })
    .eq("id", client.id).throwOnError();
  const { data } = await askForArchived(
    rows().select("version").eq("id", client.id),
  ).throwOnError();
  assertEquals(data, [{ version: 2 }]);
  const { error } = await ben.client.rpc("crm_change", {
    p_resource: "clients",
    p_action: "restore",
    p_id: client.id,
    p_fields: {},
    p_versions: null as unknown as number[],
    p_request: {},
  });
  assertEquals(error?.code, "CR000");
});
