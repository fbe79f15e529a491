import { assertEquals } from "@std/assert";
import type { Page } from "playwright-core";
import {
  assertNoComplaints,
  type Visitor,
  withBrowser,
} from "../support/browser.ts";
import { inspectEverywhere } from "../support/inspect_page.ts";
import { withStack } from "../support/stack.ts";

const stack = withStack();
const visit = withBrowser();

async function openQuotations(visitor: Visitor): Promise<Page> {
  const page = await visitor.open(`${stack().apiUrl}/quotations`);
  await page.locator("#add:enabled").waitFor();
  return page;
}

async function add(page: Page, customer: string): Promise<void> {
  await page.getByLabel("Customer").fill(customer);
  await page.getByLabel("What for").fill("Brass");
  await page.getByLabel("Price in euros").fill("99,95");
  await page.getByRole("button", { name: "Add" }).dblclick();
  await page.getByRole("listitem").filter({ hasText: customer }).waitFor();
}

const rows = (page: Page) =>
  page.getByRole("listitem").evaluateAll((items) =>
    items.map((item) =>
      [
        ...(item as unknown as { children: Iterable<{ textContent: string }> })
          .children,
      ].map(({ textContent }) => textContent)
    )
  );

async function counts(page: Page, text: string): Promise<void> {
  await page.locator("#count").getByText(text, { exact: true }).waitFor();
}

Deno.test("quotations are archived, shown with a badge where somebody asks, and restored", async () => {
  await using visitor = await visit();
  const page = await openQuotations(visitor);
  await counts(page, "None yet.");
  await inspectEverywhere(page, "quotations-none");
  await add(page, "Analytical Engines");
  await add(page, "Difference Engines");
  // Pressed twice, made once.
  await counts(page, "2 in use");

  await page.getByRole("button", { name: "Archive Analytical Engines" })
    .click();
  await counts(page, "1 in use");
  assertEquals(await rows(page), [
    ["Difference Engines", "€99.95, draft", "Archive"],
  ]);
  assertEquals(
    await page.evaluate("document.activeElement.id"),
    "list-title",
  );

  const toggle = page.getByRole("switch", { name: "Show archived" });
  await toggle.check();
  await counts(page, "2 shown, 1 of them archived");
  assertEquals(await rows(page), [
    ["Difference Engines", "€99.95, draft", "Archive"],
    ["Analytical Engines", "€99.95, draftArchived", "Restore"],
  ]);
  await inspectEverywhere(page, "quotations");

  await page.getByRole("button", { name: "Restore Analytical Engines" })
    .click();
  await counts(page, "2 shown, 0 of them archived");
  await toggle.uncheck();
  await counts(page, "2 in use");
  await page.reload();
  await counts(page, "2 in use");
  assertNoComplaints(visitor);
});

Deno.test("an answer that gets lost makes no second quotation, and archives once", async () => {
  await using visitor = await visit();
  const page = await openQuotations(visitor);
  let lost = 0;
  await page.route("**/functions/v1/quotations**", async (route) => {
    const request = route.request();
    if (request.method() === "GET" || lost > 1) return await route.continue();
    // The function has done its part; nobody hears of it.
    lost++;
    await route.fetch();
    await route.abort("connectionreset");
  });
  await add(page, "Lost Engines");
  await counts(page, "1 in use");
  assertEquals(lost, 2);
  await page.unrouteAll();
  const made = await stack().sql(
    "select from public.quotations where customer_name = 'Lost Engines'",
  );
  assertEquals(made.length, 1);
});

Deno.test("what the server refuses is said, and nothing typed is lost", async () => {
  await using visitor = await visit();
  const page = await openQuotations(visitor);
  await page.getByLabel("Customer").fill(" ");
  await page.getByLabel("What for").fill("Brass");
  await page.getByLabel("Price in euros").fill("1");
  await page.getByRole("button", { name: "Add" }).click();
  await page.getByRole("alert").getByText("Invalid request").waitFor();
  assertEquals(await page.getByLabel("What for").inputValue(), "Brass");
});
