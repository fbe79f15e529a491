import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import {
  addProduct,
  assertBooks,
  draftReceipt,
  draftTransfer,
  fill,
  type Lines,
  linesOf,
  openShop,
  register,
  REGISTRATION,
  saleOf,
  sell,
  type Shop,
  stockOf,
} from "../../support/shop.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";
import { untilBlockedBy } from "../../support/until_blocked_by.ts";

const AT_ONCE = 50;
const ROUNDS = 2;

const stack = withStack();
let ada: Actor & { userId: string };
let sql: postgres.Sql;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  sql = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: 8 });
});
Deno.test.afterAll(() => sql.end());

async function stockedShop(...quantities: number[]) {
  const shop = await openShop(ada);
  const products: string[] = [];
  for (const _ of quantities) products.push(await addProduct(shop));
  await fill(
    stack(),
    shop,
    products.map((product, n) => [product, quantities[n]!]),
  );
  return { shop, products };
}

const count = (answers: { status: number }[], status: number) =>
  answers.filter((answer) => answer.status === status).length;

const atOnce = <T>(work: (n: number) => Promise<T>, times = AT_ONCE) =>
  Promise.all(Array.from({ length: times }, (_, n) => work(n)));

Deno.test(`${AT_ONCE} sales with one key: one is made, all are told of it`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { shop, products: [tea] } = await stockedShop(100);
    const key = unique("key");
    const answers = await atOnce(() => sell(stack(), shop, [[tea!, 7]], key));
    assertEquals(count(answers, 201), AT_ONCE);
    assertEquals(new Set(answers.map(({ body }) => body.number)).size, 1);
    assertEquals(answers.filter(({ replayed }) => !replayed).length, 1);
    assertEquals(await stockOf(shop, shop.counter, tea!), 93);
    assertEquals((await assertBooks(stack(), shop)).sales, 1);
  }
});

Deno.test(`${AT_ONCE} sales of the last 10 pieces: ten are made, the others are refused for good, and no number is lost`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { shop, products: [tea] } = await stockedShop(10);
    const keys = Array.from({ length: AT_ONCE }, () => unique("key"));
    const ask = () => atOnce((n) => sell(stack(), shop, [[tea!, 1]], keys[n]));
    const answers = await ask();
    assertEquals([count(answers, 201), count(answers, 422)], [
      10,
      AT_ONCE - 10,
    ]);
    const again = await ask();
    assert(again.every(({ replayed }) => replayed));
    assertEquals(
      again.map(({ body }) => body),
      answers.map(({ body }) => body),
    );
    assertEquals(await stockOf(shop, shop.counter, tea!), 0);
    assertEquals((await assertBooks(stack(), shop)).sales, 10);
  }
});

Deno.test("refunds of one sale at once never give back more than was sold", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { shop, products: [tea] } = await stockedShop(10);
    const { body: { saleId } } = await sell(stack(), shop, [[tea!, 10]]);
    const answers = await atOnce((n) =>
      call(stack(), ada, `pos/sales/${saleId}/refund`, {
        // every fifth wants all that is left
        body: n % 5 === 4 ? {} : { lines: linesOf([[tea!, 1 + n % 3]]) },
        key: unique("key"),
      })
    );
    assertEquals(count(answers, 201) + count(answers, 422), AT_ONCE);
    const left = await stockOf(shop, shop.counter, tea!);
    const { refunds } = await assertBooks(stack(), shop);
    assertEquals([left, refunds], [10, count(answers, 201)]);
  }
});

Deno.test("a receipt approved by many at once brings its goods in once", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { shop, products: [tea] } = await stockedShop(1);
    const receiptId = await draftReceipt(shop, [[tea!, 5]]);
    const answers = await atOnce(() =>
      call(stack(), ada, `pos/purchases/receipts/${receiptId}/approve`, {
        key: unique("key"),
      })
    );
    assertEquals([count(answers, 200), count(answers, 409)], [1, AT_ONCE - 1]);
    assertEquals(await stockOf(shop, shop.counter, tea!), 6);
    await assertBooks(stack(), shop);
  }
});

Deno.test("a transfer sent and received by many at once moves its goods once", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { shop, products: [tea] } = await stockedShop(9);
    const transferId = await draftTransfer(shop, [[tea!, 5]]);
    for (const step of ["send", "receive"]) {
      const answers = await atOnce(() =>
        call(stack(), ada, `pos/transfers/${transferId}/${step}`, {
          key: unique("key"),
        })
      );
      assertEquals([count(answers, 200), count(answers, 409)], [
        1,
        AT_ONCE - 1,
      ]);
    }
    assertEquals(
      [
        await stockOf(shop, shop.counter, tea!),
        await stockOf(shop, shop.warehouse, tea!),
      ],
      [4, 5],
    );
    await assertBooks(stack(), shop);
  }
});

Deno.test("whatever moves the same products at once, in whatever order they are named, nobody waits in a circle", async () => {
  const { shop, products } = await stockedShop(
    ...Array.from({ length: 8 }, () => 500),
  );
  const { body: { saleId } } = await sell(
    stack(),
    shop,
    products.map((product) => [product, 50]),
  );
  const receipts = await Promise.all(
    Array.from({ length: 8 }, (_, n) => draftReceipt(shop, some(products, n))),
  );
  const transfers = await Promise.all(
    Array.from({ length: 8 }, (_, n) => draftTransfer(shop, some(products, n))),
  );
  const { data: named } = await ada.client.from("products").select("id, sku")
    .eq("business_id", shop.businessId).throwOnError();
  const skus = new Map(named.map(({ id, sku }) => [id, sku]));
  const answers = await Promise.all([
    ...Array.from(
      { length: 10 },
      (_, n) =>
        call(stack(), ada, `pos/locations/${shop.counter}/counts`, {
          body: `sku,counted\n${
            some(products, n).map(([id]) => `${skus.get(id)},300`).join("\n")
          }`,
          headers: { "Content-Type": "text/csv" },
          key: unique("key"),
        }),
    ),
    ...Array.from(
      { length: 60 },
      (_, n) => sell(stack(), shop, some(products, n), unique("key")),
    ),
    ...Array.from(
      { length: 20 },
      (_, n) =>
        call(stack(), ada, `pos/sales/${saleId}/refund`, {
          body: { lines: linesOf(some(products, n)) },
          key: unique("key"),
        }),
    ),
    ...receipts.map((id) =>
      call(stack(), ada, `pos/purchases/receipts/${id}/approve`, {
        key: unique("key"),
      })
    ),
    ...transfers.map(async (id) => {
      const key = unique("key");
      const sent = await call(stack(), ada, `pos/transfers/${id}/send`, {
        key,
      });
      assertEquals(sent.status, 200);
      return call(stack(), ada, `pos/transfers/${id}/receive`, { key });
    }),
  ]);
  const failed = answers.filter(({ status }) => status > 201);
  assertEquals(failed.map(({ body }) => body), []);
  assertEquals((await assertBooks(stack(), shop)).sales, 61);
});

/** Three of the products, in an order of its own for each `n`. */
function some(products: string[], n: number): Lines {
  const picked = [n, n * 3 + 1, n * 5 + 2].map((i) => i % products.length);
  const ids = [...new Set(picked)].map((i) => products[i]!);
  return (n % 2 === 0 ? ids : ids.toReversed()).map((id) => [id, 1]);
}

Deno.test("a line that comes while its receipt is being approved is in it with its goods, or not at all", async () => {
  for (let round = 0; round < 20; round++) {
    const { shop, products: [tea, pot] } = await stockedShop(1, 1);
    const receiptId = await draftReceipt(shop, [[tea!, 5]]);
    const [{ error }, approved] = await Promise.all([
      ada.client.from("purchase_receipt_lines").insert({
        business_id: shop.businessId,
        receipt_id: receiptId,
        product_id: pot!,
        quantity: 5,
      }),
      call(stack(), ada, `pos/purchases/receipts/${receiptId}/approve`, {
        key: unique("key"),
      }),
    ]);
    assertEquals(approved.status, 200);
    if (error !== null) assertEquals(error.code, "PT409");
    const [lines] = await sql<{ pieces: number }[]>`
      select sum(quantity)::int as pieces from public.purchase_receipt_lines
      where receipt_id = ${receiptId}`;
    const [moved] = await sql<{ pieces: number }[]>`
      select sum(quantity)::int as pieces from public.stock_movements
      where document_id = ${receiptId}`;
    assertEquals(lines!.pieces, moved!.pieces);
    assertEquals(lines!.pieces, error === null ? 10 : 5);
  }
});

Deno.test("a sale whose transaction is rolled back gives back the goods, the number and the key", async () => {
  const { shop, products: [tea] } = await stockedShop(10);
  const key = unique("key");
  const perform = (tx: postgres.ISql) => performSale(tx, shop, tea!, key);
  let lost = "";
  await assertRejects(() =>
    sql.begin(async (tx) => {
      lost = (await perform(tx)).response;
      throw new Error("the connection is gone");
    })
  );
  assertEquals(await stockOf(shop, shop.counter, tea!), 10);
  const made = await sql.begin(perform);
  assertEquals(made.outcome, "completed");
  assertEquals(
    JSON.parse(made.response).number,
    JSON.parse(lost).number,
  );
  assertEquals((await sql.begin(perform)).outcome, "replay");
  assertEquals((await assertBooks(stack(), shop)).sales, 1);
});

Deno.test("a count that comes while goods are being sold waits, and counts against what is left, also of a product that it is the first to know", async () => {
  const { shop, products: [tea] } = await stockedShop(10);
  const cup = await addProduct(shop, 250, 0, "cup");
  const { data } = await ada.client.from("products").select("sku")
    .eq("id", tea!).single().throwOnError();
  const count = () =>
    call(stack(), ada, `pos/locations/${shop.counter}/counts`, {
      body: `sku,counted\n${data.sku},5\ncup,3\n`,
      headers: { "Content-Type": "text/csv" },
      key: unique("key"),
    });
  let counting: ReturnType<typeof count>[] = [];
  await sql.begin(async (tx) => {
    await performSale(tx, shop, tea!, unique("key"));
    const [session] = await tx<{ pid: number }[]>`
      select pg_backend_pid() as pid`;
    counting = [count(), count()];
    await untilBlockedBy(sql, session!.pid);
  });
  const answers = await Promise.all(counting);
  assertEquals(answers.map(({ status }) => status), [201, 201]);
  const differences = answers.map(({ body }) => body.differences)
    .sort((a, b) => b.length - a.length);
  assertEquals(
    differences[0].map(({ expected, difference }: Record<string, unknown>) => [
      expected,
      difference,
    ]).sort(),
    [[0, 3], [9, -4]],
  );
  assertEquals(differences[1], []);
  assertEquals(
    [
      await stockOf(shop, shop.counter, tea!),
      await stockOf(shop, shop.counter, cup),
    ],
    [5, 3],
  );
  await assertBooks(stack(), shop);
});

Deno.test("sales of goods that are delivered while they wait for others wait in no circle", async () => {
  const { shop, products: [tea] } = await stockedShop(9);
  // Before the tea in the order of locks, and nowhere in stock.
  let pot: string;
  do pot = await addProduct(shop); while (pot > tea!);
  const receiptId = await draftReceipt(shop, [[pot, 5]]);
  const sellBoth = () => sell(stack(), shop, [[tea!, 1], [pot, 1]]);
  let asking: ReturnType<typeof call>[] = [];
  await sql.begin(async (tx) => {
    await performSale(tx, shop, tea!, unique("key"));
    const [session] = await tx<{ pid: number }[]>`
      select pg_backend_pid() as pid`;
    const first = sellBoth();
    await untilBlockedBy(sql, session!.pid);
    const [firsts] = await sql<{ pid: number }[]>`
      select pid from pg_stat_activity
      where ${session!.pid} = any (pg_blocking_pids(pid))`;
    const delivery = call(
      stack(),
      ada,
      `pos/purchases/receipts/${receiptId}/approve`,
      { key: unique("key") },
    );
    await Promise.race([delivery, untilBlockedBy(sql, firsts!.pid)]);
    asking = [first, delivery, sellBoth()];
    await untilBlockedBy(sql, firsts!.pid);
  });
  const answers = await Promise.all(asking);
  assertEquals(answers.filter(({ status }) => status >= 500), []);
  assertEquals(answers[1]!.status, 200);
  await assertBooks(stack(), shop);
});

Deno.test("who is no member any more when the draft is free approves nothing", async () => {
  const { shop, products: [tea] } = await stockedShop(1);
  const cashier = await signUp(stack());
  const membership = { business_id: shop.businessId, user_id: cashier.userId };
  await ada.client.from("memberships")
    .insert({ ...membership, role: "cashier" }).throwOnError();
  const receiptId = await draftReceipt(shop, [[tea!, 5]]);
  let approving: ReturnType<typeof call> | undefined;
  await sql.begin(async (tx) => {
    const [session] = await tx<{ pid: number }[]>`
      select pg_backend_pid() as pid`;
    await tx`select from public.purchase_receipts where id = ${receiptId}
      for update`;
    approving = call(
      stack(),
      cashier,
      `pos/purchases/receipts/${receiptId}/approve`,
      { key: unique("key") },
    );
    await untilBlockedBy(sql, session!.pid);
    await ada.client.from("memberships").delete().match(membership)
      .throwOnError();
  });
  const { status, body } = await approving!;
  assertEquals([status, body.code], [403, "ROLE_REQUIRED"]);
  assertEquals(await stockOf(shop, shop.counter, tea!), 1);
});

Deno.test("who is no member any more when the document is free refunds nothing, and neither sends nor receives", async () => {
  const { shop, products: [tea] } = await stockedShop(10);
  const { body: sale } = await sell(stack(), shop, [[tea!, 2]]);
  const draft = await draftTransfer(shop, [[tea!, 1]]);
  const sent = await draftTransfer(shop, [[tea!, 1]]);
  await call(stack(), ada, `pos/transfers/${sent}/send`, {
    key: unique("key"),
  });
  const cashier = await signUp(stack());
  const membership = { business_id: shop.businessId, user_id: cashier.userId };
  for (
    const [table, id, path, body] of [
      ["sales", sale.saleId, `pos/sales/${sale.saleId}/refund`, {}],
      ["transfers", draft, `pos/transfers/${draft}/send`],
      ["transfers", sent, `pos/transfers/${sent}/receive`],
    ] as const
  ) {
    await ada.client.from("memberships")
      .insert({ ...membership, role: "cashier" }).throwOnError();
    let asking: ReturnType<typeof call> | undefined;
    await sql.begin(async (tx) => {
      const [session] = await tx<{ pid: number }[]>`
        select pg_backend_pid() as pid`;
      await tx`select from ${tx(`public.${table}`)} where id = ${id}
        for update`;
      asking = call(stack(), cashier, path, { body, key: unique("key") });
      await untilBlockedBy(sql, session!.pid);
      await ada.client.from("memberships").delete().match(membership)
        .throwOnError();
    });
    assertEquals([path, (await asking!).status], [path, 404]);
  }
  assertEquals(await stockOf(shop, shop.counter, tea!), 7);
  assertEquals(await stockOf(shop, shop.warehouse, tea!), 0);
  assertEquals((await assertBooks(stack(), shop)).refunds, 0);
});

Deno.test("a sale that waits for a registration gets a number within the series that its invoice names", async () => {
  const { shop, products: [tea] } = await stockedShop(1);
  const permit = { ...REGISTRATION.permit, firstSerial: 1, lastSerial: 5 };
  await register(stack(), shop, { permit });
  const mended = { ...permit, firstSerial: 11, lastSerial: 12 };
  let selling: ReturnType<typeof sell> | undefined;
  await sql.begin(async (tx) => {
    await performAs(tx, unique("key"), {
      operation: "pos/businesses/:id/registration",
      subjectId: shop.businessId,
      request: { ...REGISTRATION, permit: mended },
    });
    const [session] = await tx<{ pid: number }[]>`
      select pg_backend_pid() as pid`;
    selling = sell(stack(), shop, [[tea!, 1]]);
    await untilBlockedBy(sql, session!.pid);
  });
  const { status, body } = await selling!;
  assertEquals([status, body.invoice.serialNumber], [201, "11"]);
  assertEquals(body.invoice.seller.permit, mended);
});

Deno.test("a sale that has begun under one permit ends under it, whatever is registered meanwhile", async () => {
  const { shop, products: [tea, pot] } = await stockedShop(1, 2);
  await register(stack(), shop);
  let selling: ReturnType<typeof sell> | undefined;
  await sql.begin(async (tx) => {
    await performSale(tx, shop, tea!, unique("key"));
    const [session] = await tx<{ pid: number }[]>`
      select pg_backend_pid() as pid`;
    selling = sell(stack(), shop, [[pot!, 1]]);
    await untilBlockedBy(sql, session!.pid);
    const permit = { ...REGISTRATION.permit, number: "PTU-2" };
    await register(stack(), shop, { permit });
  });
  const { status, body } = await selling!;
  assertEquals([status, body.invoice.serialNumber], [201, "0002"]);
  assertEquals(body.invoice.seller.permit, REGISTRATION.permit);
  await sell(stack(), shop, [[pot!, 1]]);
  const { data } = await ada.client.from("invoice_series").select("used_serial")
    .eq("business_id", shop.businessId).order("permit_number").throwOnError();
  assertEquals(data, [{ used_serial: 2 }, { used_serial: 1 }]);
});

Deno.test("two registrations at once are two versions", async () => {
  const shop = await openShop(ada);
  const permit = { ...REGISTRATION.permit, number: "PTU-2" };
  let registering: ReturnType<typeof register> | undefined;
  await sql.begin(async (tx) => {
    await performAs(tx, unique("key"), {
      operation: "pos/businesses/:id/registration",
      subjectId: shop.businessId,
      request: REGISTRATION,
    });
    const [session] = await tx<{ pid: number }[]>`
      select pg_backend_pid() as pid`;
    registering = register(stack(), shop, { permit });
    await untilBlockedBy(sql, session!.pid);
  });
  const { status, body } = await registering!;
  assertEquals([status, body.version], [200, 2]);
});

const performSale = (
  tx: postgres.ISql,
  shop: Shop,
  product: string,
  key: string,
) =>
  performAs(tx, key, {
    operation: "pos/sales",
    request: saleOf(shop.counter, [[product, 1]]),
  });

/** As the API does it: one transaction under the caller's role and claims. */
async function performAs(
  tx: postgres.ISql,
  key: string,
  { operation, subjectId = null, request }: {
    operation: string;
    subjectId?: string | null;
    request: unknown;
  },
) {
  const claims = JSON.stringify({ sub: ada.userId });
  await tx`select set_config('role', 'authenticated', true),
    set_config('request.jwt.claims', ${claims}, true)`;
  const [answer] = await tx<{ outcome: string; response: string }[]>`
    select * from public.pos_perform(
      ${operation}, ${key}, ${"a".repeat(64)}, ${subjectId}, ${
    JSON.stringify(request)
  }::text::jsonb)`;
  return answer!;
}
