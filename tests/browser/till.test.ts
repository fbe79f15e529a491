import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Page } from "playwright-core";
import {
  assertNoComplaints,
  takePicture,
  type Visitor,
  withBrowser,
} from "../support/browser.ts";
import { call } from "../support/call.ts";
import {
  holdAnswer,
  loseAnswer,
  openForm,
  pressFiveTimes,
  ready,
  userOf,
} from "../support/forms.ts";
import { inspectEverywhere } from "../support/inspect_page.ts";
import { REGISTRATION } from "../support/shop.ts";
import { withStack } from "../support/stack.ts";

const stack = withStack();
const visit = withBrowser();

const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true };
const SALES = "**/functions/v1/pos/sales";

async function salesOf(page: Page) {
  return await stack().sql<{ total: number }>(
    "select total::int from public.sales where sold_by = $1 order by number",
    [await userOf(page, stack())],
  );
}

const says = (page: Page, text: string | RegExp) =>
  page.locator("#message").getByText(text).waitFor();

const take = (page: Page, product: string) =>
  page.getByRole("button", { name: product }).first().click();

const sellButton = (page: Page) => page.locator("#sell");

for (
  const [device, options] of [["desk", undefined], ["phone", PHONE]] as const
) {
  Deno.test(`five fast clicks and a lost answer make one sale, on a ${device}`, async () => {
    await using visitor = await visit(options);
    const page = await openForm(visitor, stack(), "/till");
    await take(page, "Cup");
    await take(page, "Cup");
    await take(page, "Teapot");
    await page.getByLabel("Handed over").fill("70");
    await page.getByText(/Give back .*2.00/).waitFor();
    await loseAnswer(page, SALES);
    await sellButton(page).click({ clickCount: 5 });
    await says(page, /INV-\d{6}-0001: .*68.00, give back .*2.00/);
    await page.locator("#count").getByText("1", { exact: true }).waitFor();
    await page.getByText("Empty: press a product.").waitFor();
    assertEquals(await salesOf(page), [{ total: 6800 }]);
    await page.getByRole("button", { name: "Cup" }).getByText("38 left")
      .waitFor();
    // The next cart is another sale.
    await take(page, "Cup");
    await sellButton(page).click();
    await says(page, /INV-\d{6}-0002/);
    assertEquals((await salesOf(page)).length, 2);
  });
}

Deno.test("while a sale is on its way its buttons are disabled, and pressing goes nowhere", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/till");
  assertEquals(await sellButton(page).isDisabled(), true);
  await take(page, "Cup");
  const held = Promise.withResolvers<void>();
  let sent = 0;
  await page.route(SALES, async (route) => {
    sent++;
    await held.promise;
    await route.continue();
  });
  await sellButton(page).click();
  await page.getByRole("button", { name: "Selling …" }).waitFor();
  const enabled = await page.locator("button:enabled:visible").count();
  await pressFiveTimes(page);
  held.resolve();
  await says(page, "INV-");
  assertEquals([enabled, sent, (await salesOf(page)).length], [0, 1, 1]);
  assertNoComplaints(visitor);
});

Deno.test("a till that is reloaded before the answer finds its sale, and sells nothing more", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/till");
  await take(page, "Cup");
  const held = await holdAnswer(page, SALES);
  await sellButton(page).click();
  await held.done;
  assertEquals((await salesOf(page)).length, 1);
  await page.reload();
  await says(page, "INV-");
  await ready(page);
  assertEquals((await salesOf(page)).length, 1);
});

Deno.test("offline the cart is kept as it was sent, and is sold once the network is back", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/till");
  await take(page, "Cup");
  await visitor.context.setOffline(true);
  await sellButton(page).click();
  await page.getByRole("button", { name: "Selling …" }).waitFor();
  assertEquals(await salesOf(page), []);
  await visitor.context.setOffline(false);
  await says(page, "INV-");
  assertEquals((await salesOf(page)).length, 1);
});

/** Sells one teapot more than there are. */
async function askForTooMany(visitor: Visitor): Promise<Page> {
  const page = await openForm(visitor, stack(), "/till");
  await page.getByRole("button", { name: "Teapot" }).click({ clickCount: 41 });
  await page.getByText("41 ×").waitFor();
  await sellButton(page).click();
  await says(page, "Too little stock");
  return page;
}

Deno.test("more than there is is refused, and with fewer pieces the cart is another sale", async () => {
  await using visitor = await visit();
  const page = await askForTooMany(visitor);
  await inspectEverywhere(page, "till-refused");
  await page.getByRole("button", { name: "One Teapot less" }).click();
  await sellButton(page).click();
  await says(page, "INV-");
  assertEquals(await salesOf(page), [{ total: 40 * 4900 }]);
  await inspectEverywhere(page, "till");
});

Deno.test("a cart that was refused is sold as it is, once its goods have come", async () => {
  await using visitor = await visit();
  const page = await askForTooMany(visitor);
  await stack().sql(
    `insert into public.stock_movements
      (business_id, location_id, product_id, quantity, reason, document_id)
    select s.business_id, s.location_id, s.product_id, 1, 'receipt', gen_random_uuid()
    from public.stock as s
    join public.memberships as m using (business_id)
    where m.user_id = $1`,
    [await userOf(page, stack())],
  );
  await sellButton(page).click();
  await says(page, "INV-");
  assertEquals(await salesOf(page), [{ total: 41 * 4900 }]);
});

Deno.test("the receipt shows what the owner registered, and is what is printed", async () => {
  await using visitor = await visit({
    viewport: { width: 390, height: 844 },
    hasTouch: true,
  });
  const page = await openForm(visitor, stack(), "/till");
  const receipt = page.getByRole("list", { name: /Receipt|Invoice/ });
  const lines = async () =>
    (await receipt.getByRole("listitem").allTextContents()).join("\n");
  await take(page, "Cup");
  await sellButton(page).click();
  await page.getByRole("heading", { name: /Receipt INV-/ }).waitFor();
  assertEquals((await lines()).includes("TIN"), false);

  const [{ business_id }] = await stack().sql<{ business_id: string }>(
    "select business_id from public.sales where sold_by = $1",
    [await userOf(page, stack())],
  ) as [{ business_id: string }];
  const session = JSON.parse(
    await page.evaluate(`localStorage.getItem("try:session")`),
  );
  const { status } = await call(
    stack(),
    {
      headers: {
        apikey: stack().publishableKey,
        Authorization: `Bearer ${session.token}`,
      },
    },
    `pos/businesses/${business_id}/registration`,
    { body: REGISTRATION, key: crypto.randomUUID() },
  );
  assertEquals(status, 200);
  await take(page, "Teapot");
  await loseAnswer(page, SALES);
  await sellButton(page).dblclick();
  await page.getByRole("heading", { name: "Invoice 0001" }).waitFor();
  const text = await lines();
  for (
    const said of [
      "Leaf and Cup Trading Corporation",
      "VAT Reg. TIN 123-456-789-00000",
      "12 Mabini Street, Ermita, Manila 1000",
      "Permit to use FP012026-001-0123456-00000 of 2026-01-15, serial numbers 1 to 1000",
    ]
  ) assertStringIncludes(text, said);
  assertMatch(text, /^Total.*49.00$/m);
  assertMatch(text, /^VATable sales.*41.18$/m);
  assertMatch(text, /^VAT€?.*7.82$/m);
  await inspectEverywhere(page, "till-receipt");
  await page.emulateMedia({ media: "print" });
  assertEquals(
    await page.getByRole("heading").allTextContents(),
    ["Invoice 0001"],
  );
  await takePicture(page, "till-receipt-print");
});

Deno.test("too little money is said before anything is sent", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/till");
  await take(page, "Cup");
  for (const tendered of ["9", "nine"]) {
    await page.getByLabel("Handed over").fill(tendered);
    await sellButton(page).click();
    await says(page, /At least .*9.50/);
  }
  assertEquals(await salesOf(page), []);
  await page.getByLabel("Paid by").selectOption("Card");
  await sellButton(page).click();
  await says(page, "INV-");
});
