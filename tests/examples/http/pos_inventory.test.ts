import { assertEquals, assertMatch } from "@std/assert";
import { type Call, call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import {
  addProduct,
  assertBooks,
  draftCorrection,
  draftReceipt,
  draftReturn,
  fill,
  type Lines,
  linesOf,
  openShop,
  sell,
  type Shop,
  stockOf,
} from "../../support/shop.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };
let cas: Actor & { userId: string };
let shop: Shop;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  cas = await signUp(stack());
  shop = await openShop(ada);
  await ada.client.from("memberships").insert({
    business_id: shop.businessId,
    user_id: cas.userId,
    role: "cashier",
  }).throwOnError();
});

async function stocked(quantity: number, sku = unique("sku")) {
  const id = await addProduct(shop, 250, 1900, sku);
  if (quantity > 0) await fill(stack(), shop, [[id, quantity]]);
  return { id, sku };
}

const post = (path: string, init: Call = {}, actor: Actor = ada) =>
  call(stack(), actor, `pos/${path}`, { key: unique("key"), ...init });

const atCounter = (id: string) => stockOf(shop, shop.counter, id);

const count = (csv: string, init: Call = {}, actor: Actor = ada) =>
  post(`locations/${shop.counter}/counts`, {
    body: csv,
    headers: { "Content-Type": "text/csv" },
    ...init,
  }, actor);

Deno.test("a correction moves goods either way once a manager approves it, whatever keys are used", async () => {
  const [tea, pot] = [await stocked(9), await stocked(0)];
  const id = await draftCorrection(shop, [[tea.id, -2], [pot.id, 3]]);
  const path = `inventory/corrections/${id}/approve`;
  const refused = await post(path, {}, cas);
  assertEquals([refused.status, refused.body.code], [403, "ROLE_REQUIRED"]);
  assertEquals(await atCounter(tea.id), 9);
  const key = unique("key");
  const approved = await post(path, { key });
  assertEquals(
    [approved.status, approved.body.correctionId, approved.body.status],
    [200, id, "approved"],
  );
  assertEquals(approved.body.lines.length, 2);
  assertEquals((await post(path, { key })).replayed, true);
  const again = await post(path);
  assertEquals([again.status, again.body.code], [409, "CORRECTION_NOT_DRAFT"]);
  assertEquals([await atCounter(tea.id), await atCounter(pot.id)], [7, 3]);
  await assertBooks(stack(), shop);
});

Deno.test("a correction takes no more away than there is, and none of it is booked", async () => {
  const [tea, pot] = [await stocked(1), await stocked(5)];
  const id = await draftCorrection(shop, [[tea.id, -2], [pot.id, 3]]);
  const refused = await post(`inventory/corrections/${id}/approve`);
  assertEquals(
    [refused.status, refused.body.code, refused.body.products],
    [422, "INSUFFICIENT_STOCK", [{
      productId: tea.id,
      sku: tea.sku,
      asked: 2,
      available: 1,
    }]],
  );
  assertEquals([await atCounter(tea.id), await atCounter(pot.id)], [1, 5]);
});

Deno.test("a return to a supplier takes goods out of stock, under a number of the row that refunds are in", async () => {
  const tea = await stocked(9);
  const sale = await sell(stack(), shop, [[tea.id, 1]]);
  const refund = await post(`sales/${sale.body.saleId}/refund`, { body: {} });
  const id = await draftReturn(shop, [[tea.id, 4]]);
  const path = `purchases/returns/${id}/approve`;
  const approved = await post(path);
  assertEquals([approved.status, approved.body.returnId], [200, id]);
  assertMatch(approved.body.number, /^RET-\d{6}-\d{4}$/);
  const counter = (number: string) => Number(number.split("-")[2]);
  assertEquals(
    counter(approved.body.number),
    counter(refund.body.number) + 1,
  );
  assertEquals((await post(path)).body.code, "RETURN_NOT_DRAFT");
  const over = await draftReturn(shop, [[tea.id, 6]]);
  assertEquals(
    (await post(`purchases/returns/${over}/approve`)).body.code,
    "INSUFFICIENT_STOCK",
  );
  assertEquals(await atCounter(tea.id), 5);
  await assertBooks(stack(), shop);
});

Deno.test("a count books the difference once, and says what differed", async () => {
  const [less, more, same, fresh] = [
    await stocked(9),
    await stocked(2),
    await stocked(3),
    await stocked(0),
  ];
  const csv =
    `sku,counted\n${less.sku},7\n${more.sku},5\n${same.sku},3\n${fresh.sku},4\n`;
  const key = unique("key");
  const counted = await count(csv, { key });
  assertEquals([counted.status, counted.body.counted], [201, 4]);
  assertEquals(
    counted.body.differences.map((
      { sku, expected, counted, difference }: Record<string, unknown>,
    ) => [sku, expected, counted, difference]),
    [[less.sku, 9, 7, -2], [more.sku, 2, 5, 3], [fresh.sku, 0, 4, 4]]
      .sort(([a], [b]) => String(a) < String(b) ? -1 : 1),
  );
  const again = await count(csv, { key });
  assertEquals([again.replayed, again.body], [true, counted.body]);
  // The same list under another key finds nothing that differs.
  assertEquals((await count(csv)).body.differences, []);
  assertEquals(
    await Promise.all([less, more, same, fresh].map(({ id }) => atCounter(id))),
    [7, 5, 3, 4],
  );
  await assertBooks(stack(), shop);
});

Deno.test("a count comes as spreadsheets save it", async () => {
  const [tea, pot] = [
    await stocked(0, `Tee; "grün" ${unique("x")}`),
    await stocked(0),
  ];
  const quoted = `"${tea.sku.replaceAll('"', '""')}"`;
  for (
    const [index, csv] of [
      `\ufeffSKU;Name;Counted\r\n${quoted};Tea;1\r\n\r\n${pot.sku};"Pot; blue";1\r\n`,
      `counted,sku\n2,${quoted}\n 2 , ${pot.sku} `,
      `sku\tcounted\tnote\n${quoted}\t3\t\n${pot.sku}\t3\ta, b\n`,
    ].entries()
  ) {
    const { status, body } = await count(csv);
    assertEquals([status, body.counted], [201, 2], body.detail);
    assertEquals(
      [await atCounter(tea.id), await atCounter(pot.id)],
      [index + 1, index + 1],
    );
  }
});

Deno.test("a count that is malformed or names what there is not is refused, and leaves the key free", async () => {
  const tea = await stocked(3);
  const key = unique("key");
  const refusals: [csv: string, status: number, code: string][] = [
    ["", 400, "CSV_INVALID"],
    ["sku,counted\n", 400, "CSV_INVALID"],
    [`sku,pieces\n${tea.sku},1`, 400, "CSV_INVALID"],
    [`sku,counted,Counted\n${tea.sku},3,30`, 400, "CSV_INVALID"],
    [`sku,sku,counted\nnone,${tea.sku},30`, 400, "CSV_INVALID"],
    [`sku,counted\n${tea.sku},-1`, 400, "CSV_INVALID"],
    [`sku,counted\n${tea.sku},1.5`, 400, "CSV_INVALID"],
    [`sku,counted\n${tea.sku},1e3`, 400, "CSV_INVALID"],
    [`sku,counted\n${tea.sku},`, 400, "CSV_INVALID"],
    [`sku,counted\n${tea.sku},1000000001`, 400, "CSV_INVALID"],
    [`sku,counted\n,1`, 400, "CSV_INVALID"],
    [`sku,counted\n${tea.sku},1\n${tea.sku},2`, 400, "CSV_INVALID"],
    [`sku,counted\n"${tea.sku},1`, 400, "CSV_INVALID"],
    [`sku,counted\n${tea.sku},1,2`, 400, "CSV_INVALID"],
    [`sku,counted\nnone,1`, 404, "PRODUCT_NOT_FOUND"],
    [`sku,counted\n${"x".repeat(1_100_000)},1`, 413, "REQUEST_TOO_LARGE"],
  ];
  for (const [csv, status, code] of refusals) {
    const answer = await count(csv, { key });
    assertEquals([answer.status, answer.body.code], [status, code], csv);
  }
  const json = await count("{}", {
    headers: { "Content-Type": "application/json" },
  });
  assertEquals(json.status, 415);
  const cashier = await count(`sku,counted\n${tea.sku},1`, {}, cas);
  assertEquals([cashier.status, cashier.body.code], [403, "ROLE_REQUIRED"]);
  const eve = await signUp(stack());
  const foreign = await count(`sku,counted\n${tea.sku},1`, {}, eve);
  assertEquals([foreign.status, foreign.body.code], [
    404,
    "LOCATION_NOT_FOUND",
  ]);
  assertEquals(await atCounter(tea.id), 3);
  assertEquals((await count(`sku,counted\n${tea.sku},2`, { key })).status, 201);
});

Deno.test("a receipt of a thousand lines is written, approved and counted", async () => {
  const other = await openShop(ada);
  const shelf = Array.from({ length: 1000 }, (_, n) => ({
    id: crypto.randomUUID(),
    sku: `sku-${n}`,
  }));
  await ada.client.from("products").insert(
    shelf.map(({ id, sku }) => ({
      id,
      sku,
      business_id: other.businessId,
      name: "Tea",
      price: 250,
    })),
  ).throwOnError();
  const lines: Lines = shelf.map(({ id }) => [id, 2]);
  const receiptId = await draftReceipt(other, lines);
  const approved = await post(`purchases/receipts/${receiptId}/approve`);
  assertEquals([approved.status, approved.body.lines.length], [200, 1000]);
  const csv = shelf.map(({ sku }) => `${sku},1`).join("\n");
  const counted = await post(`locations/${other.counter}/counts`, {
    body: `sku,counted\n${csv}`,
    headers: { "Content-Type": "text/csv" },
  });
  assertEquals(
    [counted.status, counted.body.differences.length],
    [201, 1000],
  );
  await assertBooks(stack(), other);
});

Deno.test("a refund gives back tax and money to the last unit, in as many parts as it comes", async () => {
  const id = await addProduct(shop, 333, 1900);
  await fill(stack(), shop, [[id, 9]]);
  const { body: sale } = await sell(stack(), shop, [[id, 5]]);
  assertEquals([sale.total, sale.tax], [1665, 266]);
  const refund = (body: unknown, key = unique("key")) =>
    post(`sales/${sale.saleId}/refund`, { body, key });
  const one = await refund({ lines: linesOf([[id, 1]]) });
  const two = await refund({
    lines: linesOf([[id, 2]]),
    payments: [
      { method: "card", amount: 600, reference: "terminal 7" },
      { method: "cash", amount: 66 },
    ],
  });
  assertEquals(two.body.payments, [
    { method: "card", amount: 600, reference: "terminal 7" },
    { method: "cash", amount: 66, reference: null },
  ]);
  const differing = await refund({
    payments: [{ method: "cash", amount: 667 }],
  });
  assertEquals([differing.status, differing.body.code], [
    422,
    "PAYMENTS_DIFFER",
  ]);
  const rest = await refund({});
  assertEquals(
    [one, two, rest].map(({ body }) => [body.total, body.tax]),
    [[333, 53], [666, 107], [666, 106]],
  );
  await assertBooks(stack(), shop);
});

Deno.test("who belongs to another business neither writes nor approves drafts, and nobody changes one that is approved", async () => {
  const eve = await signUp(stack());
  const tea = await stocked(9);
  for (
    const [draft, path, table, key] of [
      [
        draftReturn(shop, [[tea.id, 1]]),
        "purchases/returns",
        "supplier_return_lines",
        "return_id",
      ],
      [
        draftCorrection(shop, [[tea.id, 1]]),
        "inventory/corrections",
        "inventory_correction_lines",
        "correction_id",
      ],
    ] as const
  ) {
    const id = await draft;
    assertEquals((await post(`${path}/${id}/approve`, {}, eve)).status, 404);
    const line = {
      business_id: shop.businessId,
      product_id: tea.id,
      quantity: 1,
      [key]: id,
    };
    const { error } = await eve.client.from(table).insert(line as never);
    assertEquals(error?.code, "42501");
    assertEquals((await post(`${path}/${id}/approve`)).status, 200);
    const late = await ada.client.from(table).update({ quantity: 7 } as never)
      .eq(key as never, id as never);
    assertEquals(late.error?.code, "PT409");
  }
});
