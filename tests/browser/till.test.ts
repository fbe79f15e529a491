import { assertEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { assertNoComplaints, withBrowser } from "../support/browser.ts";
import {
  holdAnswer,
  loseAnswer,
  openForm,
  pressFiveTimes,
  ready,
  userOf,
} from "../support/forms.ts";
import { inspectEverywhere } from "../support/inspect_page.ts";
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
  const enabled = await page.locator("button:enabled").count();
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

Deno.test("more than there is is refused, and with fewer pieces the cart is another sale", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/till");
  await page.getByRole("button", { name: "Teapot" }).click({ clickCount: 41 });
  await page.getByText("41 ×").waitFor();
  await sellButton(page).click();
  await says(page, "Too little stock");
  await inspectEverywhere(page, "till-refused");
  await page.getByRole("button", { name: "One Teapot less" }).click();
  await sellButton(page).click();
  await says(page, "INV-");
  assertEquals(await salesOf(page), [{ total: 40 * 4900 }]);
  await inspectEverywhere(page, "till");
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
