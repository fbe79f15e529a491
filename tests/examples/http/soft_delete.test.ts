import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  archive,
  ArchiveError,
  askForArchived,
  restore,
} from "../../../shared/archive.ts";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import {
  become,
  DRAFT,
  historyOf,
  newQuotation,
} from "../../support/quotations.ts";
import { type Actor, project, signUp, withStack } from "../../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };
let ben: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  ben = await signUp(stack());
});

const get = (path: string, actor: Actor = ada) =>
  call(stack(), actor, path, { method: "GET" });
const remove = (id: string, key?: string) =>
  call(stack(), ada, `quotations/${id}`, {
    method: "DELETE",
    ...(key === undefined ? {} : { key }),
  });
const bringBack = (id: string, key = unique("key")) =>
  call(stack(), ada, `quotations/${id}/restore`, { key });
const ids = (body: { quotations: { id: string }[] }) =>
  body.quotations.map(({ id }) => id);

Deno.test("DELETE archives: the row is left out of lists and details, and is still there", async () => {
  const cara = await signUp(stack());
  const kept = await newQuotation(stack(), cara);
  const gone = await newQuotation(stack(), cara);
  const deleted = await call(stack(), cara, `quotations/${gone.id}`, {
    method: "DELETE",
  });
  assertEquals(deleted.status, 200);
  const { archivedAt } = deleted.body;
  assert(Math.abs(Date.parse(archivedAt) - Date.now()) < 60_000);
  const list = await get("quotations", cara);
  assertEquals(ids(list.body), [kept.id]);
  assertEquals(list.headers.get("x-archived-included"), null);
  assertEquals(list.headers.get("x-archived-count"), null);
  const detail = await get(`quotations/${gone.id}`, cara);
  assertEquals([detail.status, detail.body.code], [404, "QUOTATION_NOT_FOUND"]);
  const rows = () =>
    cara.client.from("quotations").select("archived_at").eq("id", gone.id);
  assertEquals((await rows().throwOnError()).data, []);
  const { data } = await askForArchived(rows()).throwOnError();
  assertEquals(data, [{ archived_at: archivedAt }]);
});

Deno.test("the Data API leaves archived rows out too, with their lines, until they are asked for by a header", async () => {
  const cara = await signUp(stack());
  const kept = await newQuotation(stack(), cara);
  const gone = await newQuotation(stack(), cara);
  await call(stack(), cara, `quotations/${gone.id}`, { method: "DELETE" });
  const listed = async (path: string, header?: string) => {
    const response = await fetch(`${stack().apiUrl}/rest/v1/${path}`, {
      headers: {
        ...cara.headers,
        ...(header === undefined ? {} : { "X-Include-Archived": header }),
      },
    });
    return (await response.json()).length;
  };
  const ofBoth = `quotation_id=in.(${kept.id},${gone.id})`;
  assertEquals(await listed("quotations?select=id"), 1);
  assertEquals(await listed("quotations?select=id", "false"), 1);
  assertEquals(await listed("quotations?select=id", "true"), 2);
  assertEquals(await listed(`quotation_lines?${ofBoth}`), 2);
  assertEquals(await listed(`quotation_lines?${ofBoth}`, "true"), 4);
  const document = (id: string) =>
    cara.client.rpc("quotation_document", { p_id: id }).throwOnError();
  assertEquals((await document(gone.id)).data, null);
});

Deno.test("?include_archived=true brings archived rows, and says so and how many", async () => {
  const cara = await signUp(stack());
  const kept = await newQuotation(stack(), cara);
  const gone = await newQuotation(stack(), cara);
  await call(stack(), cara, `quotations/${gone.id}`, { method: "DELETE" });
  const counts = async (path: string) => {
    const { status, headers, body } = await get(path, cara);
    return {
      status,
      included: headers.get("x-archived-included"),
      count: headers.get("x-archived-count"),
      body,
    };
  };
  const list = await counts("quotations?include_archived=true");
  assertEquals(ids(list.body), [gone.id, kept.id]);
  assertEquals([list.included, list.count], ["true", "1"]);
  const page = await counts("quotations?include_archived=true&limit=1");
  assertEquals([ids(page.body), page.count], [[gone.id], "1"]);
  const archived = await counts(`quotations/${gone.id}?include_archived=true`);
  assertEquals([archived.status, archived.included, archived.count], [
    200,
    "true",
    "1",
  ]);
  const live = await counts(`quotations/${kept.id}?include_archived=true`);
  assertEquals([live.included, live.count], ["true", "0"]);
  const not = await counts("quotations?include_archived=false");
  assertEquals([ids(not.body), not.included], [[kept.id], null]);
});

Deno.test("a page on another origin can read the headers and send the ones it needs", async () => {
  const preflight = await fetch(`${stack().apiUrl}/functions/v1/quotations/x`, {
    method: "OPTIONS",
    headers: {
      Origin: "https://crm.example",
      "Access-Control-Request-Method": "DELETE",
      "Access-Control-Request-Headers": "if-match,idempotency-key",
    },
  });
  await preflight.body?.cancel();
  const names = (headers: Headers, name: string) =>
    headers.get(name)!.toLowerCase().split(/\s*,\s*/);
  const allowed = names(preflight.headers, "access-control-allow-headers");
  assert(allowed.includes("if-match") && allowed.includes("idempotency-key"));
  const methods = names(preflight.headers, "access-control-allow-methods");
  for (const method of ["put", "patch", "delete"]) {
    assert(methods.includes(method), method);
  }
  const answers = [
    await get("quotations?include_archived=true"),
    await call(stack(), ada, "quotations", { body: DRAFT }),
    await get("quotations/none"),
  ];
  for (const { headers } of answers) {
    const exposed = names(headers, "access-control-expose-headers");
    for (
      const name of [
        "x-archived-included",
        "x-archived-count",
        "x-idempotency-missing",
        "x-idempotency-replay",
        "etag",
      ]
    ) {
      assert(exposed.includes(name), `${name} is not exposed`);
    }
  }
});

Deno.test("what is archived can be restored, as it was, and not be changed before", async () => {
  const made = await newQuotation(stack(), ada);
  await remove(made.id);
  const change = (path: string, method: string, body: unknown) =>
    call(stack(), ada, `quotations/${made.id}${path}`, {
      method,
      body,
      key: unique("key"),
    });
  for (
    const refused of [
      await change("", "PATCH", { customerName: "late" }),
      await change("", "PUT", DRAFT),
      await change("/status", "POST", { status: "sent" }),
    ]
  ) {
    assertEquals([refused.status, refused.body.code], [
      409,
      "QUOTATION_ARCHIVED",
    ]);
  }
  const restored = await bringBack(made.id);
  const { version, updatedAt, ...rest } = restored.body;
  const { version: _, updatedAt: earlier, ...before } = made;
  assertEquals([restored.status, version], [200, 3]);
  assertEquals(rest, before);
  assert(updatedAt >= earlier);
  assertEquals((await get(`quotations/${made.id}`)).status, 200);
  assertEquals(await become(stack(), ada, made.id, "sent"), 200);
});

Deno.test("who archives or restores what another tab has changed since is told so, unless it is done already", async () => {
  const { id } = await newQuotation(stack(), ada);
  const rename = await call(stack(), ada, `quotations/${id}`, {
    method: "PATCH",
    body: { customerName: "Changed meanwhile" },
    key: unique("key"),
  });
  assertEquals(rename.body.version, 2);
  const ask = (method: string, path: string, tag: string) =>
    call(stack(), ada, path, {
      method,
      headers: { "If-Match": tag },
      key: unique("key"),
    });
  const archive = (tag: string) => ask("DELETE", `quotations/${id}`, tag);
  const restore = (tag: string) => ask("POST", `quotations/${id}/restore`, tag);
  const stale = await archive('"1"');
  assertEquals([stale.status, stale.body.code], [412, "QUOTATION_CHANGED"]);
  const { body } = await get(`quotations/${id}`);
  assertEquals([body.version, body.archivedAt], [2, null]);
  for (const _ of ["first", "lost its answer"]) {
    const archived = await archive('"2"');
    assertEquals([archived.status, archived.body.version], [200, 3]);
  }
  assertEquals((await restore('"2"')).status, 412);
  const restored = await restore('"3"');
  assertEquals([restored.status, restored.body.version], [200, 4]);
  assertEquals((await archive("x")).status, 400);
});

Deno.test("archiving and restoring again changes nothing, with a key or without", async () => {
  const { id } = await newQuotation(stack(), ada);
  const key = unique("key");
  const first = await remove(id, key);
  const retry = await remove(id, key);
  const again = await remove(id);
  assertEquals([first.replayed, retry.replayed], [false, true]);
  assertEquals([retry.body, again.body], [first.body, first.body]);
  const restoreKey = unique("key");
  const back = await bringBack(id, restoreKey);
  assertEquals((await bringBack(id, restoreKey)).replayed, true);
  assertEquals((await bringBack(id)).body, back.body);
  assertEquals(
    (await historyOf(ada, id)).map(({ action }) => action),
    ["created", "archived", "restored"],
  );
});

Deno.test("an attempt after one whose answer was never recorded neither archives what came back meanwhile, nor brings back what went", async () => {
  const { id } = await newQuotation(stack(), ada);
  const [archiving, restoring] = [unique("key"), unique("key")];
  const asked = [
    () => remove(id, archiving),
    () => bringBack(id, restoring),
    () => remove(id),
  ] as const;
  for (const ask of asked) assertEquals((await ask()).status, 200);
  await stack().sql(
    "delete from public.idempotency_keys where idempotency_key = any ($1)",
    [[archiving, restoring]],
  );
  const isArchived = async (ask: typeof asked[number]) => {
    const { status, replayed, body } = await ask();
    assertEquals([status, replayed], [200, false]);
    return body.archivedAt !== null;
  };
  assertEquals(await isArchived(asked[1]), true);
  await bringBack(id);
  assertEquals(await isArchived(asked[0]), false);
  assertEquals(
    (await historyOf(ada, id)).map(({ action }) => action),
    ["created", "archived", "restored", "archived", "restored"],
  );
});

Deno.test("who goes past the function neither deletes nor changes archived rows, nor archives another's", async () => {
  const { id } = await newQuotation(stack(), ada);
  const rows = ({ client }: Actor) => client.from("quotations");
  const hard = await rows(ada).delete().eq("id", id);
  assertEquals(hard.error?.code, "42501");
  assertEquals(await archive(ben.client, "quotations", id), false);
  assertEquals(await restore(ben.client, "quotations", id), false);
  assertEquals((await get(`quotations/${id}`)).status, 200);
  assertEquals(await archive(ada.client, "quotations", id), true);
  const change = () =>
    rows(ada).update({ customer_name: "x" }).eq("id", id).select("id");
  const takeLines = () =>
    ada.client.from("quotation_lines").delete().eq("quotation_id", id)
      .select("position");
  assertEquals((await change()).data, []);
  assertEquals((await takeLines()).data, []);
  assertEquals((await askForArchived(change())).error?.code, "SD001");
  assertEquals((await askForArchived(takeLines())).error?.code, "SD001");
});

Deno.test("deleting for good is for the service role, and the audit trail outlives it", async () => {
  const { id } = await newQuotation(stack(), ada);
  for (const query of ["hard=true", "hard"]) {
    const refused = await call(stack(), ada, `quotations/${id}?${query}`, {
      method: "DELETE",
    });
    assertEquals([refused.status, refused.body.code], [
      403,
      "HARD_DELETE_NOT_ALLOWED",
    ]);
  }
  assertEquals((await get(`quotations/${id}`)).body.archivedAt, null);
  await become(stack(), ada, id, "sent");
  const { client } = project(stack());
  await client.from("quotations").delete().eq("id", id).throwOnError();
  const gone = await get(`quotations/${id}?include_archived=true`);
  assertEquals(gone.status, 404);
  assertEquals((await bringBack(id)).status, 404);
  const left = await client.from("quotation_lines").select("position")
    .eq("quotation_id", id).throwOnError();
  assertEquals(left.data, []);
  assertEquals(
    (await historyOf(ada, id)).map((row) => [row.action, row.changed_by]),
    [["created", ada.userId], ["status_changed", ada.userId], [
      "deleted",
      null,
    ]],
  );
});

Deno.test("a table of one's own is archived and restored with one line of SQL, not by who may only read it", async () => {
  await stack().sql(`create table public.leads (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
    name text not null,
    constraint leads_user_id_name_key unique (user_id, name)
  )`);
  try {
    await stack().sql("alter table public.leads enable row level security");
    await stack().sql(
      `create policy leads_own on public.leads to authenticated
        using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id)`,
    );
    await stack().sql(
      "grant select, insert, update, delete on public.leads to authenticated",
    );
    await stack().sql("select public.enable_soft_delete('public.leads')");
    const leads = ({ client }: Actor) => client.from("leads" as "quotations");
    const { data } = await leads(ada).insert({ name: "Ada" } as never)
      .select("id").single().throwOnError();
    const { error } = await leads(ada).delete().eq("id", data.id);
    assertEquals(error?.code, "42501");
    const table = "leads" as "quotations";
    assertEquals(await archive(ada.client, table, data.id), true);
    const live = () => leads(ada).select("id").throwOnError();
    assertEquals((await live()).data, []);
    const { data: second } = await leads(ada).insert({ name: "Ada" } as never)
      .select("id").single().throwOnError();
    const taken = await assertRejects(
      () => restore(ada.client, table, data.id),
      ArchiveError,
    );
    assertEquals(taken.code, "VALUE_TAKEN");
    assertEquals(await archive(ada.client, table, second.id), true);
    assertEquals(await restore(ada.client, table, data.id), true);
    assertEquals((await live()).data, [data]);
    await stack().sql("delete from public.leads where id = $1", [second.id]);
    await stack().sql(
      "select public.enable_soft_delete('public.leads', $$name <> 'Ada'$$)",
    );
    const kept = await assertRejects(
      () => archive(ada.client, table, data.id),
      ArchiveError,
    );
    assertEquals(kept.code, "ARCHIVING_NOT_ALLOWED");
    assertEquals((await live()).data, [data]);
    await stack().sql("select public.enable_soft_delete('public.leads')");
    await stack().sql(
      "create policy leads_read on public.leads for select to authenticated using (true)",
    );
    assertEquals(await archive(ben.client, table, data.id), false);
    assertEquals((await live()).data, [data]);
    assertEquals(await restore(ben.client, table, data.id), true);
    assertEquals(await archive(ada.client, table, data.id), true);
    assertEquals(await restore(ben.client, table, data.id), false);
    assertEquals(await archive(ben.client, table, data.id), true);
    assertEquals((await live()).data, []);
  } finally {
    await stack().sql("drop table public.leads");
  }
});
