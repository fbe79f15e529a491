import { assertEquals, assertStringIncludes } from "@std/assert";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import {
  addProduct,
  assertBooks,
  fill,
  openShop,
  register,
  REGISTRATION,
  saleOf,
  sell,
  type Shop,
} from "../../support/shop.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

/** A shop with a hundred pieces of one product. */
async function openStocked(): Promise<{ shop: Shop; tea: string }> {
  const shop = await openShop(ada);
  const tea = await addProduct(shop, 1120, 1200);
  await fill(stack(), shop, [[tea, 100]]);
  return { shop, tea };
}

const readSale = async (saleId: string) =>
  (await call(stack(), ada, `pos/sales/${saleId}`, { method: "GET" })).body;

const series = (firstSerial: number, lastSerial: number, number = "PTU-1") => ({
  permit: { ...REGISTRATION.permit, number, firstSerial, lastSerial },
});

Deno.test("an invoice says who sold, under which permit and serial number, to whom, and what was vatable, zero-rated and exempt", async () => {
  const { shop, tea } = await openStocked();
  const book = await addProduct(shop, 500);
  const freight = await addProduct(shop, 700);
  await ada.client.from("products").update({ zero_rated: true })
    .eq("id", freight).throwOnError();
  await fill(stack(), shop, [[book, 9], [freight, 9]]);
  const accreditation = { number: "ACC-7", issuedOn: "2025-12-01" };
  const registered = await call(
    stack(),
    ada,
    `pos/businesses/${shop.businessId}/registration`,
    { body: { ...REGISTRATION, accreditation }, key: unique("key") },
  );
  assertEquals([registered.status, registered.body.version], [200, 1]);
  const buyer = { name: "Ben Cruz", tin: "987-654-321-00000" };
  const { status, body } = await call(stack(), ada, "pos/sales", {
    body: {
      ...saleOf(shop.counter, [[tea, 2], [book, 1], [freight, 3]]),
      buyer,
    },
    key: unique("key"),
  });
  assertEquals([status, body.total, body.tax], [201, 4840, 240]);
  assertEquals(body.invoice, {
    serialNumber: "0001",
    seller: { ...REGISTRATION, accreditation },
    buyer: { ...buyer, address: null },
    vatableSales: 2000,
    vatAmount: 240,
    zeroRatedSales: 2100,
    exemptSales: 500,
  });
  assertEquals((await readSale(body.saleId)).invoice, body.invoice);
});

Deno.test("a shop that is not registered sells without a serial number, and its taxes are told all the same", async () => {
  const { shop, tea } = await openStocked();
  const { body } = await sell(stack(), shop, [[tea, 1]]);
  assertEquals(body.invoice, {
    serialNumber: null,
    seller: null,
    buyer: null,
    vatableSales: 1000,
    vatAmount: 120,
    zeroRatedSales: 0,
    exemptSales: 0,
  });
});

Deno.test("what is registered later changes no invoice that has been issued, and its numbers go on", async () => {
  const { shop, tea } = await openStocked();
  await register(stack(), shop);
  const key = unique("key");
  const { body: first } = await sell(stack(), shop, [[tea, 1]], key);
  const moved = await register(stack(), shop, { address: "1 Rizal Avenue" });
  assertEquals([moved.body.version, moved.body.usedSerial], [2, 1]);
  const { body: second } = await sell(stack(), shop, [[tea, 1]]);

  assertEquals(
    [(await readSale(first.saleId)).invoice, second.invoice.serialNumber],
    [first.invoice, "0002"],
  );
  assertEquals(first.invoice.seller.address, REGISTRATION.address);
  assertEquals(second.invoice.seller.address, "1 Rizal Avenue");
  const { body: again } = await sell(stack(), shop, [[tea, 1]], key);
  assertEquals(again, first);
});

Deno.test("thirty tills at once get the twenty invoices of a permit, each its own number, and the rest get them under the next one", async () => {
  const { shop, tea } = await openStocked();
  await register(stack(), shop, series(81, 100));
  const keys = Array.from({ length: 30 }, () => unique("till"));
  const answers = await Promise.all(
    keys.map((key) => sell(stack(), shop, [[tea, 1]], key)),
  );
  const serials = answers.filter(({ status }) => status === 201)
    .map(({ body }) => body.invoice.serialNumber);
  assertEquals(
    serials.sort(),
    Array.from({ length: 20 }, (_, index) => `${81 + index}`.padStart(3, "0")),
  );
  const refused = answers.filter(({ status }) => status !== 201);
  for (const { status, body } of refused) {
    assertEquals(
      [status, body.code, body.permitNumber, body.lastSerial],
      [409, "SERIES_USED_UP", "PTU-1", 100],
    );
  }
  // Nothing was sold, and the key is free: the till sends it again.
  await register(stack(), shop, series(1, 9_999, "PTU-2"));
  const again = await Promise.all(
    keys.map((key) => sell(stack(), shop, [[tea, 1]], key)),
  );
  assertEquals(again.map(({ status }) => status), Array(30).fill(201));
  const later = again.filter(({ replayed }) => !replayed)
    .map(({ body }) => body.invoice.serialNumber).sort();
  assertEquals([later.length, later[0], later.at(-1)], [10, "0001", "0010"]);
  assertEquals((await assertBooks(stack(), shop)).sales, 30);
});

Deno.test("a series may grow, and leaves out no number that is in use", async () => {
  const { shop, tea } = await openStocked();
  await register(stack(), shop, series(1, 5));
  // Not used yet: a slip of the pen is mended.
  await register(stack(), shop, series(11, 12));
  await sell(stack(), shop, [[tea, 1]]);
  await sell(stack(), shop, [[tea, 1]]);
  for (const changed of [series(1, 12), series(11, 11)]) {
    const { status, body } = await register(stack(), shop, changed);
    assertEquals(
      [status, body.code, body.firstSerial, body.usedSerial],
      [409, "SERIES_IN_USE", 11, 12],
    );
  }
  assertEquals(
    (await register(stack(), shop, series(11, 13))).body.usedSerial,
    12,
  );
  const { body } = await sell(stack(), shop, [[tea, 1]]);
  assertEquals(body.invoice.serialNumber, "13");
});

Deno.test("without a registration for VAT nothing is sold with tax, and the key stays free", async () => {
  const { shop, tea } = await openStocked();
  await register(stack(), shop, { vatRegistered: false });
  const key = unique("key");
  for (
    const taxes of [
      { tax_rate: 0, zero_rated: true },
      { tax_rate: 0, zero_rated: false },
    ]
  ) {
    const { status, body } = await sell(stack(), shop, [[tea, 1]], key);
    assertEquals([status, body.code], [409, "NOT_VAT_REGISTERED"]);
    for (const column of Object.keys(taxes)) {
      assertStringIncludes(body.detail, column);
    }
    await ada.client.from("products").update(taxes).eq("id", tea)
      .throwOnError();
  }
  const { body: { invoice } } = await sell(stack(), shop, [[tea, 1]], key);
  assertEquals(
    [invoice.serialNumber, invoice.vatAmount, invoice.exemptSales],
    ["0001", 0, 1120],
  );
});

Deno.test("the owner alone registers a business: a manager is refused, and a stranger finds none", async () => {
  const { shop } = await openStocked();
  const [mo, eve] = [await signUp(stack()), await signUp(stack())];
  await ada.client.from("memberships").insert({
    business_id: shop.businessId,
    user_id: mo.userId,
    role: "manager",
  }).throwOnError();
  const as = async (owner: Actor) => {
    const { status, body } = await register(stack(), { ...shop, owner });
    return [status, body.code];
  };
  assertEquals([await as(mo), await as(eve)], [
    [403, "ROLE_REQUIRED"],
    [404, "BUSINESS_NOT_FOUND"],
  ]);
  await register(stack(), shop);
  const seen = async ({ client }: Actor) =>
    (await client.from("tax_registrations").select("version")
      .eq("business_id", shop.businessId).throwOnError()).data;
  assertEquals([await seen(mo), await seen(eve)], [[{ version: 1 }], []]);
});

Deno.test("what is no TIN, branch, date or series is refused by name, and so is a buyer of that kind", async () => {
  const { shop, tea } = await openStocked();
  const wrong: [string, Record<string, unknown>][] = [
    ["tin", { tin: "12345" }],
    ["branchCode", { branchCode: "0001" }],
    ["registeredName", { registeredName: " " }],
    ["permit", { permit: { ...REGISTRATION.permit, firstSerial: 1001 } }],
    ...["2026-02-30", "0000-01-01"].map((
      issuedOn,
    ): [string, Record<string, unknown>] => [
      "issuedOn",
      { permit: { ...REGISTRATION.permit, issuedOn } },
    ]),
  ];
  for (const [name, changed] of wrong) {
    const { status, body } = await register(stack(), shop, changed);
    assertEquals([name, status, body.code], [name, 400, "REQUEST_INVALID"]);
    assertEquals([name, body.detail.includes(name)], [name, true]);
  }
  const { status, body } = await call(stack(), ada, "pos/sales", {
    body: { ...saleOf(shop.counter, [[tea, 1]]), buyer: { tin: "1" } },
    key: unique("key"),
  });
  assertEquals([status, body.code], [400, "REQUEST_INVALID"]);
});
