import { assertEquals, assertMatch } from "@std/assert";
import type { Json } from "../../../shared/database.types.ts";
import { assertHeadIsGet, call } from "../../support/call.ts";
import { tripsOf } from "../../support/database_calls.ts";
import { unique } from "../../support/probe.ts";
import {
  addProduct,
  fill,
  openShop,
  saleOf,
  sell,
  type Shop,
  stockOf,
} from "../../support/shop.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };
let shop: Shop;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  shop = await openShop(ada);
});

/** A product of which the counter holds this many pieces. */
async function stocked(quantity: number, price?: number): Promise<string> {
  const productId = await addProduct(shop, price);
  await fill(stack(), shop, [[productId, quantity]]);
  return productId;
}

async function keys(key: string): Promise<number> {
  const rows = await stack().sql(
    "select from public.idempotency_keys where idempotency_key = $1",
    [key],
  );
  return rows.length;
}

Deno.test("a sale takes the goods, has an invoice number and adds up, and is answered with 201, stored", async () => {
  const [tea, pot] = [await stocked(10, 250), await stocked(3, 1999)];
  const answer = await sell(
    stack(),
    shop,
    [[tea, 4], [pot, 1]],
    unique("key"),
  );
  assertEquals([answer.status, answer.replayed], [201, false]);
  assertEquals(answer.headers.get("x-idempotency-stored"), "true");
  assertMatch(answer.body.number, /^INV-\d{6}-\d{4}$/);
  assertEquals([answer.body.total, answer.body.currency], [2999, "EUR"]);
  assertEquals(
    [
      await stockOf(shop, shop.counter, tea),
      await stockOf(shop, shop.counter, pot),
    ],
    [6, 2],
  );
  const read = await call(stack(), ada, `pos/sales/${answer.body.saleId}`, {
    method: "GET",
  });
  assertEquals([read.status, read.body.number], [200, answer.body.number]);
  await assertHeadIsGet(stack(), ada, `pos/sales/${answer.body.saleId}`);
  assertEquals(
    read.body.lines.map(
      ({ refundedQuantity: _, ...line }: Record<string, unknown>) => line,
    ),
    answer.body.lines,
  );
});

Deno.test("a retry of a sale gets the stored answer, and sells nothing more", async () => {
  const tea = await stocked(10);
  const key = unique("key");
  const first = await sell(stack(), shop, [[tea, 4]], key);
  const again = await sell(stack(), shop, [[tea, 4]], key);
  assertEquals([again.status, again.replayed], [201, true]);
  assertEquals(again.body, first.body);
  assertEquals(await stockOf(shop, shop.counter, tea), 6);
});

Deno.test("a sale, its retry and its refusal are one trip to the database each", async () => {
  const tea = await stocked(10);
  const key = unique("key");
  for (const [quantity, of] of [[4, key], [4, key], [40, unique("key")]]) {
    assertEquals(
      await tripsOf(() =>
        sell(stack(), shop, [[tea, quantity as number]], of as string)
      ),
      ["rpc/pos_perform"],
    );
  }
});

Deno.test("too little stock is refused for good: the retry is told the same although there is more now", async () => {
  const tea = await stocked(3);
  const key = unique("key");
  const refused = await sell(stack(), shop, [[tea, 4]], key);
  assertEquals([refused.status, refused.body.code], [
    422,
    "INSUFFICIENT_STOCK",
  ]);
  assertEquals(refused.body.instance, "/pos/sales");
  assertEquals(refused.body.products[0].available, 3);
  await fill(stack(), shop, [[tea, 10]]);
  const again = await sell(stack(), shop, [[tea, 4]], key);
  assertEquals([again.status, again.replayed], [422, true]);
  assertEquals(again.body, refused.body);
  assertEquals(await stockOf(shop, shop.counter, tea), 13);
});

Deno.test("every product that is short is named, and none of the others is sold", async () => {
  const [tea, pot, cup] = [
    await stocked(1),
    await stocked(9),
    await addProduct(shop),
  ];
  const { status, body } = await sell(stack(), shop, [
    [tea, 2],
    [pot, 9],
    [cup, 1],
  ], unique("key"));
  assertEquals(status, 422);
  assertEquals(
    new Map(
      body.products.map((
        { productId, available, asked }: Record<string, unknown>,
      ) => [productId, [available, asked]]),
    ),
    new Map([[tea, [1, 2]], [cup, [0, 1]]]),
  );
  assertEquals(await stockOf(shop, shop.counter, pot), 9);
});

Deno.test("a sale that is refused takes no number: the next one has the next", async () => {
  const tea = await stocked(2);
  const counter = (body: { number: string }) =>
    Number(body.number.split("-")[2]);
  const before = await sell(stack(), shop, [[tea, 1]], unique("key"));
  await sell(stack(), shop, [[tea, 5]], unique("key"));
  const after = await sell(stack(), shop, [[tea, 1]], unique("key"));
  assertEquals(counter(after.body), counter(before.body) + 1);
});

Deno.test("the key of one sale does not pay for another: 422, and nothing is sold", async () => {
  const tea = await stocked(10);
  const key = unique("key");
  await sell(stack(), shop, [[tea, 1]], key);
  const { status, body, replayed } = await sell(stack(), shop, [[tea, 2]], key);
  assertEquals(
    [status, body.code, replayed],
    [422, "IDEMPOTENCY_KEY_REUSED", false],
  );
  assertEquals(await stockOf(shop, shop.counter, tea), 9);
});

Deno.test("what is on the books keeps the price and the name that it was sold at", async () => {
  const tea = await stocked(10, 100);
  const { body } = await sell(stack(), shop, [[tea, 3]], unique("key"));
  await ada.client.from("products").update({ price: 999, name: "Other" })
    .eq("id", tea).throwOnError();
  const read = await call(stack(), ada, `pos/sales/${body.saleId}`, {
    method: "GET",
  });
  const [{ unitPrice, name }] = read.body.lines;
  assertEquals([read.body.total, unitPrice, name], [300, 100, "Tea"]);
  assertEquals(body.lines[0].name, "Tea");
});

Deno.test("tax and payments of a sale add up in the smallest unit, rounded half up a line, with what was tendered", async () => {
  const [tea, pot, gift] = [
    await addProduct(shop, 1290, 700),
    await addProduct(shop, 2990, 1900),
    await addProduct(shop, 0, 1900),
  ];
  await fill(stack(), shop, [[tea, 9], [pot, 9], [gift, 9]]);
  const payments = [
    { method: "card", amount: 4000, reference: "terminal 7" },
    { method: "cash", amount: 1570, tendered: 2000 },
  ];
  const { status, body } = await call(stack(), ada, "pos/sales", {
    body: {
      ...saleOf(shop.counter, [[tea, 2], [pot, 1], [gift, 1]]),
      payments,
    },
    key: unique("key"),
  });
  assertEquals(status, 201);
  // 2580 × 7/107 = 168.79, 2990 × 19/119 = 477.39
  assertEquals([body.total, body.tax], [5570, 169 + 477]);
  assertEquals(
    new Map(
      body.lines.map((
        { productId, taxRate, total, tax }: Record<string, unknown>,
      ) => [
        productId,
        [taxRate, total, tax],
      ]),
    ),
    new Map([[tea, [700, 2580, 169]], [pot, [1900, 2990, 477]], [gift, [
      1900,
      0,
      0,
    ]]]),
  );
  const told = [
    {
      method: "card",
      amount: 4000,
      tendered: null,
      change: null,
      reference: "terminal 7",
    },
    {
      method: "cash",
      amount: 1570,
      tendered: 2000,
      change: 430,
      reference: null,
    },
  ];
  assertEquals(body.payments, told);
  const read = await call(stack(), ada, `pos/sales/${body.saleId}`, {
    method: "GET",
  });
  assertEquals([read.body.tax, read.body.payments], [646, told]);
});

Deno.test("without payments a sale is paid in cash; payments that do not add up sell nothing, and it is told what would", async () => {
  const tea = await stocked(9, 250);
  const plain = await sell(stack(), shop, [[tea, 2]]);
  assertEquals(plain.body.payments, [
    {
      method: "cash",
      amount: 500,
      tendered: null,
      change: null,
      reference: null,
    },
  ]);
  const free = await stocked(1, 0);
  assertEquals((await sell(stack(), shop, [[free, 1]])).body.payments, []);
  const key = unique("key");
  const pay = (amount: number) =>
    call(stack(), ada, "pos/sales", {
      body: {
        ...saleOf(shop.counter, [[tea, 2]]),
        payments: [{ method: "card", amount }],
      },
      key,
    });
  const refused = await pay(499);
  assertEquals(
    [refused.status, refused.body.code, refused.body.total, refused.body.paid],
    [422, "PAYMENTS_DIFFER", 500, 499],
  );
  assertEquals((await pay(499)).replayed, true);
  assertEquals(await stockOf(shop, shop.counter, tea), 7);
});

Deno.test("the largest sale there can be adds up to the last cent", async () => {
  const dear = await stocked(10_000, 4_000_000_000);
  const odd = await stocked(9_999, 3_999_999_999);
  const { status, body } = await sell(
    stack(),
    shop,
    [[dear, 10_000], [odd, 9_999]],
    unique("key"),
  );
  assertEquals(status, 201);
  assertEquals(body.total, 10_000 * 4_000_000_000 + 9_999 * 3_999_999_999);
});

Deno.test("an unknown product is not found, and the key stays free for the mended request", async () => {
  const tea = await stocked(3);
  const key = unique("key");
  const unknown = crypto.randomUUID();
  const refused = await sell(stack(), shop, [[tea, 1], [unknown, 1]], key);
  assertEquals(
    [refused.status, refused.body.code, refused.body.productIds],
    [404, "PRODUCT_NOT_FOUND", [unknown]],
  );
  assertEquals(await keys(key), 0);
  const mended = await sell(stack(), shop, [[tea, 1]], key);
  assertEquals(mended.status, 201);
});

Deno.test("another business's product is as unknown as one that does not exist", async () => {
  const other = await openShop(ada);
  const foreign = await addProduct(other);
  await fill(stack(), other, [[foreign, 5]]);
  const { status, body } = await sell(
    stack(),
    shop,
    [[foreign, 1]],
    unique("k"),
  );
  assertEquals([status, body.code], [404, "PRODUCT_NOT_FOUND"]);
});

Deno.test("somebody else's location is not found, and the key stays free", async () => {
  const tea = await stocked(3);
  const key = unique("key");
  const eve = await signUp(stack());
  const body = saleOf(shop.counter, [[tea, 1]]);
  const answer = await call(stack(), eve, "pos/sales", { body, key });
  assertEquals([answer.status, answer.body.code], [404, "LOCATION_NOT_FOUND"]);
  assertEquals(await keys(key), 0);
  const sale = await sell(stack(), shop, [[tea, 1]], unique("key"));
  const read = await call(stack(), eve, `pos/sales/${sale.body.saleId}`, {
    method: "GET",
  });
  assertEquals([read.status, read.body.code], [404, "SALE_NOT_FOUND"]);
});

Deno.test("a cashier sells for the business, and who has left it does not", async () => {
  const tea = await stocked(3);
  const cas = await signUp(stack());
  await ada.client.from("memberships").insert({
    business_id: shop.businessId,
    user_id: cas.userId,
    role: "cashier",
  }).throwOnError();
  const body = saleOf(shop.counter, [[tea, 1]]);
  const sale = await call(stack(), cas, "pos/sales", {
    body,
    key: unique("key"),
  });
  assertEquals(sale.status, 201);
  await ada.client.from("memberships").delete().eq("user_id", cas.userId)
    .throwOnError();
  const late = await call(stack(), cas, "pos/sales", {
    body,
    key: unique("key"),
  });
  assertEquals([late.status, late.body.code], [404, "LOCATION_NOT_FOUND"]);
});

Deno.test("a sale that is malformed is refused, whatever is wrong, and leaves the key free", async () => {
  const tea = await stocked(3);
  const key = unique("key");
  const line = { productId: tea, quantity: 1 };
  const sale = { locationId: shop.counter, lines: [line] };
  const malformed: unknown[] = [
    {},
    { ...sale, lines: [] },
    { ...sale, lines: [line, line] },
    { ...sale, lines: [line, { ...line, productId: tea.toUpperCase() }] },
    { ...sale, lines: [{ ...line, quantity: 0 }] },
    { ...sale, lines: [{ ...line, quantity: -1 }] },
    { ...sale, lines: [{ ...line, quantity: 1.5 }] },
    { ...sale, lines: [{ ...line, quantity: 10_001 }] },
    { ...sale, lines: [{ ...line, quantity: "1" }] },
    { ...sale, lines: [{ quantity: 1 }] },
    { ...sale, lines: [{ ...line, unitPrice: 1 }] },
    { ...sale, payment: [{ method: "card", amount: 250 }] },
    {
      ...sale,
      lines: Array.from({ length: 201 }, () => ({
        productId: crypto.randomUUID(),
        quantity: 1,
      })),
    },
    { ...sale, locationId: "counter" },
    { ...sale, payments: [{ method: "gold", amount: 250 }] },
    { ...sale, payments: [{ method: "cash", amount: 0 }] },
    { ...sale, payments: [{ method: "cash", amount: 2.5 }] },
    { ...sale, payments: [{ method: "cash", amount: 250, tendered: 249 }] },
    { ...sale, payments: [{ method: "card", amount: 250, tendered: 300 }] },
    { ...sale, payments: Array(11).fill({ method: "cash", amount: 1 }) },
    [],
    null,
  ];
  for (const body of malformed) {
    const answer = await call(stack(), ada, "pos/sales", { body, key });
    assertEquals(
      [answer.status, answer.body.code],
      [400, "REQUEST_INVALID"],
      JSON.stringify(body)?.slice(0, 200),
    );
  }
  const noJson = await call(stack(), ada, "pos/sales", { body: "{", key });
  assertEquals([noJson.status, noJson.body.code], [400, "JSON_MALFORMED"]);
  assertEquals(await keys(key), 0);
  assertEquals(await stockOf(shop, shop.counter, tea), 3);
});

Deno.test("who calls the database past the function meets the same bounds", async () => {
  const tea = await stocked(3);
  const perform = (request: Record<string, unknown>) =>
    ada.client.rpc("pos_perform", {
      p_operation: "pos/sales",
      p_idempotency_key: unique("key"),
      p_fingerprint: "a".repeat(64),
      p_request: { locationId: shop.counter, ...request } as Json,
    });
  const line = { productId: tea, quantity: 1 };
  const tries = await Promise.all(
    [
      {},
      { lines: "all" },
      { lines: [] },
      { lines: [line, line] },
      { lines: [{ ...line, quantity: -1 }] },
      { lines: [{ ...line, quantity: 10_001 }] },
      { lines: [{ quantity: 1 }] },
      { lines: [line], payments: "all" },
      {
        lines: [line],
        payments: Array(11).fill({ method: "card", amount: 1 }),
      },
    ].map(perform),
  );
  assertEquals(tries.map(({ error }) => error?.code), Array(9).fill("22023"));
  assertEquals(await stockOf(shop, shop.counter, tea), 3);
});
