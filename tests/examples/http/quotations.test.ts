import { assert, assertEquals, assertMatch } from "@std/assert";
import { call } from "../../support/call.ts";
import { heard } from "../../support/heard.ts";
import { unique } from "../../support/probe.ts";
import { DRAFT, historyOf, newQuotation } from "../../support/quotations.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };
let ben: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  ben = await signUp(stack());
});

const ask = (path: string, request: Parameters<typeof call>[3] = {}) =>
  call(stack(), ada, path, request);
const get = (path: string, actor: Actor = ada) =>
  call(stack(), actor, path, { method: "GET" });

Deno.test("a quotation is created as a draft, with amounts in minor units", async () => {
  const answer = await ask("quotations", { body: DRAFT, key: unique("key") });
  const { id, createdAt, updatedAt, ...rest } = answer.body;
  assertEquals(answer.status, 201);
  assertEquals(answer.headers.get("x-idempotency-stored"), "true");
  assertEquals(answer.headers.get("location"), `quotations/${id}`);
  assertEquals(createdAt, updatedAt);
  assertEquals(rest, {
    organizationId: null,
    status: "draft",
    version: 1,
    customerName: "Analytical Engines Ltd",
    currency: "EUR",
    validUntil: "2999-12-31",
    // 2.5 × 99.99 = 249.975, half away from zero; 31.50 and 19 % of it, 5.985.
    netMinor: 24_998 + 3_150,
    taxMinor: 599,
    totalMinor: 24_998 + 3_150 + 599,
    archivedAt: null,
    lines: [
      {
        ...DRAFT.lines[0],
        taxBasisPoints: 0,
        netMinor: 24_998,
        taxMinor: 0,
      },
      { ...DRAFT.lines[1], netMinor: 3_150, taxMinor: 599 },
    ],
  });
  const read = await get(`quotations/${id}`);
  assertEquals([read.status, read.body], [200, answer.body]);
  assertMatch(read.headers.get("etag")!, /^(W\/)?"1"$/);
});

Deno.test("a retry of a creation gets the stored answer, and there is one quotation", async () => {
  const customerName = unique("once");
  const request = { body: { ...DRAFT, customerName }, key: unique("key") };
  const first = await ask("quotations", request);
  const again = await ask("quotations", request);
  assertEquals([again.status, again.replayed], [201, true]);
  assertEquals(again.body, first.body);
  const { data } = await ada.client.from("quotations").select("id")
    .eq("customer_name", customerName).throwOnError();
  assertEquals(data, [{ id: first.body.id }]);
});

Deno.test("an attempt after one whose answer was never recorded finds the quotation it made", async () => {
  const requestId = unique("request");
  const create = () =>
    ada.client.rpc("create_quotation", {
      p_quotation: {
        customer_name: "Once",
        currency: "EUR",
        lines: [{ description: "a", quantity: 1, unit_price_minor: 5 }],
      },
      p_request_id: requestId,
    }).throwOnError();
  const first = await create();
  const again = await create();
  assertEquals(again.data, first.data);
  const { id } = first.data as { id: string };
  const update = () =>
    ada.client.rpc("update_quotation", {
      p_id: id,
      p_changes: { customer_name: "Twice?" },
      p_versions: [1],
      p_request_id: `${requestId}-update`,
    }).throwOnError();
  const changed = await update();
  assertEquals((await update()).data, changed.data);
  const send = () =>
    ada.client.rpc("change_quotation_status", {
      p_id: id,
      p_status: "sent",
      p_versions: [2],
      p_request_id: `${requestId}-send`,
    }).throwOnError();
  const sent = await send();
  assertEquals((await send()).data, sent.data);
  assertEquals(
    (await historyOf(ada, id)).map(({ action, version }) => [action, version]),
    [["created", 1], ["updated", 2], ["status_changed", 3]],
  );
  // Of another quotation it is no repetition: refused, not taken for done.
  const other = await newQuotation(stack(), ada);
  const { error } = await ada.client.rpc("update_quotation", {
    p_id: other.id,
    p_changes: { customer_name: "Other" },
    p_versions: [1],
    p_request_id: `${requestId}-update`,
  });
  assertEquals(error?.code, "23505");
});

Deno.test("PATCH changes what it names, PUT replaces everything, each counts one version", async () => {
  const { id, lines } = await newQuotation(stack(), ada);
  const patched = await ask(`quotations/${id}`, {
    method: "PATCH",
    body: { customerName: "Difference Engines" },
    key: unique("key"),
  });
  assertEquals([patched.status, patched.body.version], [200, 2]);
  assertEquals(
    [patched.body.customerName, patched.body.lines],
    ["Difference Engines", lines],
  );
  const line = { description: "All in", quantity: 1, unitPriceMinor: 10_000 };
  const put = await ask(`quotations/${id}`, {
    method: "PUT",
    body: { customerName: "C. Babbage", currency: "GBP", lines: [line] },
    key: unique("key"),
  });
  assertEquals([put.status, put.body.version], [200, 3]);
  assertEquals(
    [put.body.currency, put.body.validUntil, put.body.totalMinor],
    ["GBP", null, 10_000],
  );
  assertEquals(put.body.lines.length, 1);
  assertEquals(
    (await historyOf(ada, id)).map(({ action, version }) => [action, version]),
    [["created", 1], ["updated", 2], ["updated", 3]],
  );
});

Deno.test("two tabs do not overwrite each other: the later one is told 412 and may try again with the same key", async () => {
  const { id } = await newQuotation(stack(), ada);
  const change = (customerName: string, version: string, key: string) =>
    ask(`quotations/${id}`, {
      method: "PATCH",
      body: { customerName },
      headers: { "If-Match": version },
      key,
    });
  assertEquals((await change("first tab", '"1"', unique("key"))).status, 200);
  const key = unique("key");
  const late = await change("second tab", 'W/"1"', key);
  assertEquals(
    [late.status, late.body.code, late.body.retryable],
    [412, "QUOTATION_CHANGED", false],
  );
  const { body } = await get(`quotations/${id}`);
  assertEquals([body.customerName, body.version], ["first tab", 2]);
  const after = await change("second tab", '"1", "2"', key);
  assertEquals([after.status, after.replayed], [200, false]);
  const any = await change("third tab", "*", unique("key"));
  assertEquals([any.status, any.body.version], [200, 4]);
  const status = await ask(`quotations/${id}/status`, {
    body: { status: "sent" },
    headers: { "If-Match": '"3"' },
    key: unique("key"),
  });
  assertEquals([status.status, status.body.code], [412, "QUOTATION_CHANGED"]);
});

Deno.test("a list goes from the newest to the oldest, page by page, and is the caller's own", async () => {
  const cara = await signUp(stack());
  const made: string[] = [];
  for (let n = 0; n < 5; n++) made.push((await newQuotation(stack(), cara)).id);
  // Two of one instant, at the end of the first page: the id decides.
  await stack().sql(
    "update public.quotations set created_at = (select created_at from public.quotations where id = $1) where id = $2",
    [made[2], made[3]],
  );
  const seen: string[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const page: Awaited<ReturnType<typeof call>> = await get(
      `quotations?limit=2${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
      cara,
    );
    assertEquals(page.status, 200, JSON.stringify(page.body));
    assertEquals(page.headers.get("x-archived-included"), null);
    seen.push(...page.body.quotations.map(({ id }: { id: string }) => id));
    cursor = page.body.nextCursor;
  }
  assertEquals(seen.length, 5);
  assertEquals(seen.toSorted(), made.toSorted());
  assertEquals([seen[0], seen[4]], [made[4], made[0]]);
  const whole = await get("quotations", cara);
  assertEquals(
    whole.body.quotations.map(({ id }: { id: string }) => id),
    seen,
  );
  assertEquals(whole.body.quotations[0].totalMinor, 28_747);
});

Deno.test("a list is narrowed to one status", async () => {
  const cara = await signUp(stack());
  const { id } = await newQuotation(stack(), cara);
  await newQuotation(stack(), cara);
  await call(stack(), cara, `quotations/${id}/status`, {
    method: "PATCH",
    body: { status: "sent" },
    key: unique("key"),
  });
  const sent = await get("quotations?status=sent", cara);
  assertEquals(
    sent.body.quotations.map((one: { id: string }) => one.id),
    [id],
  );
});

Deno.test("a user neither sees nor changes another's quotation, and is not told that it exists", async () => {
  const { id } = await newQuotation(stack(), ada);
  const asBen = (path: string, request: Parameters<typeof call>[3]) =>
    call(stack(), ben, path, { key: unique("key"), ...request });
  const answers = await Promise.all([
    get(`quotations/${id}`, ben),
    get(`quotations/${id}?include_archived=true`, ben),
    asBen(`quotations/${id}`, { method: "PUT", body: DRAFT }),
    asBen(`quotations/${id}`, {
      method: "PATCH",
      body: { customerName: "mine" },
    }),
    asBen(`quotations/${id}/status`, { body: { status: "sent" } }),
    asBen(`quotations/${id}`, { method: "DELETE" }),
    asBen(`quotations/${id}/restore`, {}),
  ]);
  for (const { status, body } of answers) {
    assertEquals([status, body.code], [404, "QUOTATION_NOT_FOUND"]);
  }
  const list = await get("quotations?include_archived=true", ben);
  assertEquals(list.body.quotations, []);
  assertEquals(await historyOf(ben, id), []);
  const { body } = await get(`quotations/${id}`);
  assertEquals([body.version, body.archivedAt], [1, null]);
});

Deno.test("who sends no key makes a quotation each time, and is warned", async () => {
  const lines = await heard("warn", async () => {
    const { status, headers } = await ask("quotations", { body: DRAFT });
    assertEquals(status, 201);
    assertEquals(headers.get("x-idempotency-missing"), "true");
  });
  assertEquals(lines.length, 1);
});

Deno.test("two users with one key make a quotation each", async () => {
  const request = { body: DRAFT, key: unique("key") };
  const [adas, bens] = await Promise.all([
    call(stack(), ada, "quotations", request),
    call(stack(), ben, "quotations", request),
  ]);
  assertEquals([adas.status, bens.status], [201, 201]);
  assert(adas.body.id !== bens.body.id);
});

Deno.test("one key serves each kind of write by itself, and each quotation only once", async () => {
  const [one, two] = [
    await newQuotation(stack(), ada),
    await newQuotation(stack(), ada),
  ];
  const key = unique("key");
  const body = { status: "sent" };
  const sent = await ask(`quotations/${one.id}/status`, { body, key });
  assertEquals(sent.status, 200);
  const other = await ask(`quotations/${two.id}/status`, { body, key });
  assertEquals([other.status, other.body.code], [
    422,
    "IDEMPOTENCY_KEY_REUSED",
  ]);
  const created = await ask("quotations", { body: DRAFT, key });
  assertEquals(created.status, 201);
});

Deno.test("the rules hold for whoever goes past the function, too", async () => {
  const { id } = await newQuotation(stack(), ada);
  const { client } = ada;
  const lines = () => client.from("quotation_lines");
  const line = {
    quotation_id: id,
    position: 3,
    description: "Steam",
    quantity: 1,
    unit_price_minor: 100,
  };
  await lines().insert(line).throwOnError();
  const { body } = await get(`quotations/${id}`);
  assertEquals([body.version, body.totalMinor], [2, 28_847]);
  await client.from("quotations").update({ status: "sent" }).eq("id", id)
    .throwOnError();
  const refused = [
    await client.from("quotations").update({ status: "draft" }).eq("id", id),
    await client.from("quotations").update({ currency: "USD" }).eq("id", id),
    await lines().insert({ ...line, position: 4 }),
    await lines().delete().eq("quotation_id", id),
    await lines().update({ quantity: 9 }).eq("quotation_id", id),
    await client.from("quotations").update({ net_minor: 1 })
      .eq("id", id),
    await client.from("quotations").delete().eq("id", id),
    await client.from("quotation_history").delete().eq("quotation_id", id),
    await client.from("quotation_history").update({ action: "created" })
      .eq("quotation_id", id),
    await client.from("quotation_history").insert({
      user_id: ada.userId,
      quotation_id: id,
      action: "created",
      version: 1,
    }),
  ];
  assertEquals(refused.map(({ error }) => error?.code), [
    "QT001",
    "QT004",
    "QT004",
    "QT004",
    ...Array(6).fill("42501"),
  ]);
  const foreign = await ben.client.from("quotation_lines").insert(line);
  assertEquals(foreign.error?.code, "42501");
});
