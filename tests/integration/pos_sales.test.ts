import { assertEquals, assertMatch } from "@std/assert";
import { call } from "../support/call.ts";
import { unique } from "../support/probe.ts";
import {
  addProduct,
  fill,
  openShop,
  saleOf,
  sell,
  type Shop,
  stockOf,
} from "../support/shop.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

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

Deno.test("somebody else's location is not found, and the key stays free", async () => {
  const tea = await stocked(3);
  const key = unique("key");
  const eve = await signUp(stack());
  const body = saleOf(shop.counter, [[tea, 1]]);
  const answer = await call(stack(), eve, "pos/sales", { body, key });
  assertEquals([answer.status, answer.body.code], [404, "LOCATION_NOT_FOUND"]);
  assertEquals(await keys(key), 0);
});
