import { assertEquals } from "@std/assert";
import type { Page } from "playwright-core";
import {
  assertNoComplaints,
  type Visitor,
  withBrowser,
} from "../support/browser.ts";
import { holdAnswer, loseAnswer, userOf } from "../support/forms.ts";
import { inspectEverywhere, inspectPage } from "../support/inspect_page.ts";
import { withStack } from "../support/stack.ts";

const stack = withStack();
const visit = withBrowser();

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true };
const QUOTATIONS = "**/functions/v1/quotations**";

async function openQuotations(visitor: Visitor): Promise<Page> {
  const page = await visitor.open(`${stack().apiUrl}/quotations`);
  await page.locator("#add:enabled").waitFor();
  return page;
}

async function pressAdd(page: Page, customer: string): Promise<void> {
  await page.getByLabel("Customer").fill(customer);
  await page.getByLabel("What for").fill("Brass");
  await page.getByLabel("Price in euros").fill("99,95");
  await page.getByRole("button", { name: "Add" }).dblclick();
}

async function add(page: Page, customer: string): Promise<void> {
  await pressAdd(page, customer);
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

/** What the user's quotations went through, by their audit trail. */
async function changesOf(page: Page): Promise<string[]> {
  const changes = await stack().sql<{ action: string }>(
    "select action from public.quotation_history where user_id = $1 order by id",
    [await userOf(page, stack())],
  );
  return changes.map(({ action }) => action);
}

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

Deno.test("an amount is shown in the digits of its currency", async () => {
  await using visitor = await visit();
  const page = await openQuotations(visitor);
  for (const currency of ["EUR", "JPY", "KWD"]) {
    await add(page, currency);
    await stack().sql(
      "update public.quotations set currency = $1 where customer_name = $1 and user_id = $2",
      [currency, await userOf(page, stack())],
    );
  }
  await page.reload();
  await counts(page, "3 in use");
  assertEquals((await rows(page)).map(([, amount]) => amount), [
    "KWD\u00a09.995, draft",
    "¥9,995, draft",
    "€99.95, draft",
  ]);
});

for (
  const [device, options] of [["desk", undefined], ["phone", PHONE]] as const
) {
  Deno.test(`pressed twice and its answers lost, each change is made once, on a ${device}`, async () => {
    await using visitor = await visit(options);
    const page = await openQuotations(visitor);
    await loseAnswer(page, QUOTATIONS);
    await add(page, "Lost Engines");
    await counts(page, "1 in use");
    assertEquals(await changesOf(page), ["created"]);

    await loseAnswer(page, QUOTATIONS);
    await page.getByRole("button", { name: "Archive Lost Engines" })
      .dblclick();
    await counts(page, "None yet.");
    await page.getByRole("switch", { name: "Show archived" }).check();
    await counts(page, "1 shown, 1 of them archived");

    await loseAnswer(page, QUOTATIONS);
    await page.getByRole("button", { name: "Restore Lost Engines" })
      .dblclick();
    await counts(page, "1 shown, 0 of them archived");
    assertEquals(await changesOf(page), ["created", "archived", "restored"]);
    assertEquals(await inspectPage(page), []);
  });
}

Deno.test("a page that is reloaded before the answer shows what was done, and does it no second time", async () => {
  await using visitor = await visit();
  const page = await openQuotations(visitor);
  const reload = async (press: () => Promise<void>) => {
    const held = await holdAnswer(page, QUOTATIONS);
    await press();
    await held.done;
    await page.reload();
    await page.locator("#add:enabled").waitFor();
  };
  await reload(() => pressAdd(page, "Held Engines"));
  await counts(page, "1 in use");
  // Who did not look, and types it once more, means the same one.
  await pressAdd(page, "Held Engines");
  await page.locator("#customer:focus").waitFor();
  await counts(page, "1 in use");
  await reload(() =>
    page.getByRole("button", { name: "Archive Held Engines" }).click()
  );
  await counts(page, "None yet.");
  assertEquals(await changesOf(page), ["created", "archived"]);
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

Deno.test("while a quotation is sent the form says so, and takes nothing that would be lost", async () => {
  await using visitor = await visit();
  const page = await openQuotations(visitor);
  const held = Promise.withResolvers<void>();
  await page.route(QUOTATIONS, async (route) => {
    if (route.request().method() === "POST") await held.promise;
    await route.continue();
  });
  await pressAdd(page, "Ada");
  await page.getByRole("button", { name: "Sending …" }).waitFor();
  const enabled = page.locator("#new :is(input, button):enabled");
  assertEquals(await enabled.count(), 0);
  held.resolve();
  await page.getByRole("listitem").filter({ hasText: "Ada" }).waitFor();
  await page.getByRole("button", { name: "Add" }).waitFor();
  assertEquals(await enabled.count(), 4);
  assertNoComplaints(visitor);
});

Deno.test("what a gateway answers in the function's place is told, and nothing typed is lost", async () => {
  await using visitor = await visit();
  const page = await openQuotations(visitor);
  for (
    const [status, text] of [
      [502, "There is no answer yet"],
      [404, "The server said 404: Not Found."],
    ] as const
  ) {
    await page.route(QUOTATIONS, async (route) => {
      if (route.request().method() === "GET") return await route.fallback();
      // Longer than the client waits.
      const headers = { "Retry-After": "1000" };
      await route.fulfill({ status, headers, body: "<h1>Not today</h1>" });
    });
    await pressAdd(page, "Ada");
    await page.getByRole("alert").getByText(text).waitFor();
    await page.unroute(QUOTATIONS);
  }
  // Where the keyboard was.
  await page.locator("#add:focus").press("Enter");
  await page.getByRole("listitem").filter({ hasText: "Ada" }).waitFor();
});
