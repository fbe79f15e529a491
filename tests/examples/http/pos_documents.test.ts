import { assertEquals, assertMatch } from "@std/assert";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import {
  addProduct,
  draftReceipt,
  draftTransfer,
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
let eve: Actor & { userId: string };
let cas: Actor & { userId: string };
let shop: Shop;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  eve = await signUp(stack());
  cas = await signUp(stack());
  shop = await openShop(ada);
  await ada.client.from("memberships").insert({
    business_id: shop.businessId,
    user_id: cas.userId,
    role: "cashier",
  }).throwOnError();
});

/** A sale of some pieces of a product; the counter held ten. */
async function sold(quantity: number, price?: number) {
  const productId = await addProduct(shop, price);
  await fill(stack(), shop, [[productId, 10]]);
  const { body } = await sell(stack(), shop, [[productId, quantity]]);
  return { productId, saleId: body.saleId as string };
}

const refund = (
  saleId: string,
  lines?: Lines,
  key = unique("key"),
  actor = ada,
) =>
  call(stack(), actor, `pos/sales/${saleId}/refund`, {
    body: lines === undefined ? {} : { lines: linesOf(lines) },
    key,
  });

const approve = (
  receiptId: string,
  key = unique("key"),
  actor: Actor = ada,
) =>
  call(stack(), actor, `pos/purchases/receipts/${receiptId}/approve`, { key });

const move = (
  transferId: string,
  step: "send" | "receive",
  key = unique("key"),
  actor: Actor = ada,
) => call(stack(), actor, `pos/transfers/${transferId}/${step}`, { key });

const atCounter = (productId: string) => stockOf(shop, shop.counter, productId);
const inWarehouse = (productId: string) =>
  stockOf(shop, shop.warehouse, productId);

async function keys(key: string): Promise<number> {
  const rows = await stack().sql(
    "select from public.idempotency_keys where idempotency_key = $1",
    [key],
  );
  return rows.length;
}

Deno.test("a refund brings the goods back, pays what they cost then, and has a number", async () => {
  const { productId, saleId } = await sold(5, 199);
  await ada.client.from("products").update({ price: 1 }).eq("id", productId)
    .throwOnError();
  const key = unique("key");
  const first = await refund(saleId, [[productId, 2]], key);
  assertEquals([first.status, first.body.total], [201, 398]);
  assertMatch(first.body.number, /^RET-\d{6}-\d{4}$/);
  assertEquals(await atCounter(productId), 7);
  const again = await refund(saleId, [[productId, 2]], key);
  assertEquals([again.status, again.replayed, again.body], [
    201,
    true,
    first.body,
  ]);
  assertEquals(await atCounter(productId), 7);
  const { body } = await call(stack(), ada, `pos/sales/${saleId}`, {
    method: "GET",
  });
  assertEquals(
    [body.lines[0].refundedQuantity, body.refunds[0].number],
    [2, first.body.number],
  );
});

Deno.test("a refund without lines takes back all that is left of the sale", async () => {
  const { productId, saleId } = await sold(5, 100);
  await refund(saleId, [[productId, 1]], unique("key"));
  const { status, body } = await refund(saleId, undefined, unique("key"));
  assertEquals([status, body.total, body.lines[0].quantity], [201, 400, 4]);
  assertEquals(await atCounter(productId), 10);
  const third = await refund(saleId, undefined, unique("key"));
  assertEquals([third.status, third.body.code], [422, "REFUND_EXCEEDS_SALE"]);
});

Deno.test("a refund that misspells its lines is refused, and gives nothing back", async () => {
  const { productId, saleId } = await sold(3);
  const key = unique("key");
  const lines = linesOf([[productId, 1]]);
  for (
    const body of [
      { line: lines },
      { lines: [{ ...lines[0], price: 1 }] },
      { lines, payment: [{ method: "card", amount: 250 }] },
    ]
  ) {
    const { status, body: { code } } = await call(
      stack(),
      ada,
      `pos/sales/${saleId}/refund`,
      { body, key },
    );
    assertEquals([status, code], [400, "REQUEST_INVALID"]);
  }
  assertEquals([await keys(key), await atCounter(productId)], [0, 7]);
});

Deno.test("more than was sold is not refunded, and the refusal is recorded", async () => {
  const { productId, saleId } = await sold(3);
  const other = await addProduct(shop);
  await refund(saleId, [[productId, 1]], unique("key"));
  const key = unique("key");
  for (const replayed of [false, true]) {
    const answer = await refund(saleId, [[productId, 3], [other, 1]], key);
    assertEquals(
      [answer.status, answer.body.code, answer.replayed],
      [422, "REFUND_EXCEEDS_SALE", replayed],
    );
    assertEquals(
      answer.body.products.map((
        { refundable }: { refundable: number },
      ) => refundable).toSorted(),
      [0, 2],
    );
    assertEquals(answer.body.instance, `/pos/sales/${saleId}/refund`);
  }
  assertEquals(await atCounter(productId), 8);
});

Deno.test("one key on two sales is another request: 422, and nothing is refunded", async () => {
  const [first, second] = [await sold(1), await sold(1)];
  const key = unique("key");
  await refund(first.saleId, undefined, key);
  const { status, body } = await refund(second.saleId, undefined, key);
  assertEquals([status, body.code], [422, "IDEMPOTENCY_KEY_REUSED"]);
  assertEquals(await atCounter(second.productId), 9);
});

Deno.test("somebody else's sale, receipt and transfer are not found, and the keys stay free", async () => {
  const { productId, saleId } = await sold(1);
  const key = unique("key");
  const answers = [
    await refund(saleId, undefined, key, eve),
    await approve(await draftReceipt(shop, [[productId, 1]]), key, eve),
    await move(await draftTransfer(shop, [[productId, 1]]), "send", key, eve),
    await move(crypto.randomUUID(), "receive", key, eve),
  ];
  assertEquals(answers.map(({ status, body }) => [status, body.code]), [
    [404, "SALE_NOT_FOUND"],
    [404, "RECEIPT_NOT_FOUND"],
    [404, "TRANSFER_NOT_FOUND"],
    [404, "TRANSFER_NOT_FOUND"],
  ]);
  assertEquals([await keys(key), await atCounter(productId)], [0, 9]);
});

Deno.test("approving a receipt brings its goods in and numbers it; a retry is told the same", async () => {
  const productId = await addProduct(shop);
  const receiptId = await draftReceipt(shop, [[productId, 12]]);
  const key = unique("key");
  const first = await approve(receiptId, key);
  assertEquals([first.status, first.body.status], [200, "approved"]);
  assertMatch(first.body.number, /^RCP-\d{6}-\d{4}$/);
  const again = await approve(receiptId, key);
  assertEquals([again.status, again.replayed, again.body], [
    200,
    true,
    first.body,
  ]);
  assertEquals(await atCounter(productId), 12);
});

Deno.test("a receipt is approved once, whatever key comes second", async () => {
  const productId = await addProduct(shop);
  const receiptId = await draftReceipt(shop, [[productId, 12]]);
  const { body: { number } } = await approve(receiptId, unique("key"));
  const key = unique("key");
  const second = await approve(receiptId, key);
  assertEquals(
    [second.status, second.body.code, second.body.number],
    [409, "RECEIPT_NOT_DRAFT", number],
  );
  assertEquals([await keys(key), await atCounter(productId)], [0, 12]);
});

Deno.test("a cashier approves nothing; with the same key a manager's role lets it through", async () => {
  const productId = await addProduct(shop);
  const receiptId = await draftReceipt(shop, [[productId, 1]]);
  const key = unique("key");
  const refused = await approve(receiptId, key, cas);
  assertEquals([refused.status, refused.body.code], [403, "ROLE_REQUIRED"]);
  const role = (role: string) =>
    ada.client.from("memberships").update({ role }).eq("user_id", cas.userId)
      .throwOnError();
  await role("manager");
  const { status } = await approve(receiptId, key, cas);
  await role("cashier");
  assertEquals([status, await atCounter(productId)], [200, 1]);
});

Deno.test("a receipt without lines is not approved, and is once it has some, with the same key", async () => {
  const productId = await addProduct(shop);
  const receiptId = await draftReceipt(shop, []);
  const key = unique("key");
  const empty = await approve(receiptId, key);
  assertEquals([empty.status, empty.body.code], [409, "RECEIPT_EMPTY"]);
  await ada.client.from("purchase_receipt_lines").insert({
    business_id: shop.businessId,
    receipt_id: receiptId,
    product_id: productId,
    quantity: 2,
  }).throwOnError();
  assertEquals((await approve(receiptId, key)).status, 200);
});

Deno.test("a location holds at most a thousand million pieces, and a receipt for more is refused", async () => {
  const productId = await addProduct(shop);
  await fill(stack(), shop, [[productId, 1_000_000]]);
  await stack().sql(
    "update public.stock set quantity = 999999999 where product_id = $1",
    [productId],
  );
  const receiptId = await draftReceipt(shop, [[productId, 2]]);
  const { status, body } = await approve(receiptId, unique("key"));
  assertEquals([status, body.code], [422, "STOCK_TOO_LARGE"]);
});

Deno.test("documents of two kinds that clients gave one id both move their goods", async () => {
  const productId = await addProduct(shop);
  await fill(stack(), shop, [[productId, 10]]);
  const id = crypto.randomUUID();
  const business_id = shop.businessId;
  const line = { business_id, product_id: productId, quantity: 4 };
  await cas.client.from("transfers").insert({
    id,
    business_id,
    from_location_id: shop.counter,
    to_location_id: shop.warehouse,
  }).throwOnError();
  await cas.client.from("transfer_lines").insert({ ...line, transfer_id: id })
    .throwOnError();
  await ada.client.from("purchase_receipts").insert({
    id,
    business_id,
    location_id: shop.counter,
    supplier: "Leaf & Co",
  }).throwOnError();
  await ada.client.from("purchase_receipt_lines")
    .insert({ ...line, receipt_id: id }).throwOnError();
  const sent = await move(id, "send", unique("key"), cas);
  const approved = await approve(id);
  assertEquals([sent.status, approved.status], [200, 200]);
  assertEquals(await atCounter(productId), 10);
});

Deno.test("a transfer leaves the source when sent and is in the destination when received, once each", async () => {
  const productId = await addProduct(shop);
  await fill(stack(), shop, [[productId, 10]]);
  const transferId = await draftTransfer(shop, [[productId, 4]]);
  const [send, receive] = [unique("key"), unique("key")];
  const early = await move(transferId, "receive", receive);
  assertEquals([early.status, early.body.code], [409, "TRANSFER_NOT_SENT"]);
  for (const replayed of [false, true]) {
    const sent = await move(transferId, "send", send);
    assertEquals([sent.status, sent.replayed], [200, replayed]);
    assertEquals(sent.body.status, "sent");
    assertMatch(sent.body.number, /^TRF-\d{6}-\d{4}$/);
    assertEquals(
      [await atCounter(productId), await inWarehouse(productId)],
      [6, 0],
    );
  }
  // The key of the early try was left free.
  for (const replayed of [false, true]) {
    const received = await move(transferId, "receive", receive);
    assertEquals(
      [received.status, received.replayed, received.body.status],
      [200, replayed, "received"],
    );
    assertEquals(
      [await atCounter(productId), await inWarehouse(productId)],
      [6, 4],
    );
  }
  const twice = [
    await move(transferId, "send", unique("key")),
    await move(transferId, "receive", unique("key")),
  ];
  assertEquals(twice.map(({ status, body }) => [status, body.code]), [
    [409, "TRANSFER_NOT_DRAFT"],
    [409, "TRANSFER_NOT_SENT"],
  ]);
});

Deno.test("a transfer of more than there is stays a draft, and the refusal is recorded", async () => {
  const productId = await addProduct(shop);
  await fill(stack(), shop, [[productId, 3]]);
  const transferId = await draftTransfer(shop, [[productId, 4]]);
  const key = unique("key");
  const refused = await move(transferId, "send", key);
  assertEquals(
    [refused.status, refused.body.code, refused.body.products[0].available],
    [422, "INSUFFICIENT_STOCK", 3],
  );
  await fill(stack(), shop, [[productId, 3]]);
  const again = await move(transferId, "send", key);
  assertEquals([again.replayed, again.body], [true, refused.body]);
  const anew = await move(transferId, "send", unique("key"));
  assertEquals([anew.status, await atCounter(productId)], [200, 2]);
});

Deno.test("a document that has left its draft takes no line and loses none", async () => {
  const productId = await addProduct(shop);
  const other = await addProduct(shop);
  const receiptId = await draftReceipt(shop, [[productId, 5]]);
  await approve(receiptId);
  const transferId = await draftTransfer(shop, [[productId, 5]]);
  await move(transferId, "send");
  const { client } = ada;
  const line = { business_id: shop.businessId, product_id: other, quantity: 1 };
  const tries = await Promise.all([
    client.from("purchase_receipt_lines").insert({
      ...line,
      receipt_id: receiptId,
    }),
    client.from("purchase_receipt_lines").update({ quantity: 9 })
      .eq("receipt_id", receiptId),
    client.from("purchase_receipt_lines").delete().eq("receipt_id", receiptId),
    client.from("transfer_lines").insert({ ...line, transfer_id: transferId }),
    client.from("transfer_lines").update({ quantity: 9 })
      .eq("transfer_id", transferId),
    client.from("transfer_lines").delete().eq("transfer_id", transferId),
  ]);
  assertEquals(tries.map(({ error }) => error?.code), Array(6).fill("PT409"));
});

Deno.test("a draft can be thrown away with its lines", async () => {
  const products = [await addProduct(shop), await addProduct(shop)];
  const receiptId = await draftReceipt(shop, products.map((id) => [id, 1]));
  await ada.client.from("purchase_receipts").delete().eq("id", receiptId)
    .throwOnError();
  const { data } = await ada.client.from("purchase_receipt_lines").select()
    .eq("receipt_id", receiptId).throwOnError();
  assertEquals(data, []);
});
