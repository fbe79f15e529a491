import { assertEquals, assertNotEquals } from "@std/assert";
import { assertNoComplaints, withBrowser } from "../support/browser.ts";
import { withStack } from "../support/stack.ts";
import { countJobs, openTryPage } from "../support/try_page.ts";

const stack = withStack();
const visit = withBrowser();

for (const clickCount of [2, 10]) {
  Deno.test(`${clickCount} clicks as fast as a mouse can make ${clickCount} jobs without protection, and one with it`, async () => {
    await using visitor = await visit();
    const tried = await openTryPage(visitor, stack());
    const process = tried.page.getByRole("button", { name: "Process" });
    if (clickCount === 2) await process.dblclick();
    else await process.click({ clickCount });
    await tried.showsJobs("without", clickCount);
    await tried.showsJobs("with", 1);
    assertEquals(await tried.count("with", "first run"), 1);
    assertEquals(
      await tried.count("without", "200 ran", clickCount),
      clickCount,
    );
    assertEquals(await countJobs(tried, stack(), "without"), clickCount);
    assertEquals(await countJobs(tried, stack()), 1);
    await tried.page.locator("#with .state")
      .getByText(`for ${clickCount} presses`).waitFor();
    assertNoComplaints(visitor);
  });
}

Deno.test("one button presses five times: five jobs beside one, each request in its lane", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  const { page } = tried;
  await tried.turn("Slow answers (3 s)", true);
  await page.getByRole("button", { name: "Press 5 times" }).click();
  await page.locator('#with[aria-busy="true"]').waitFor();
  await tried.showsJobs("without", 5);
  await tried.showsJobs("with", 1);
  assertEquals(await tried.count("without", "", 5), 5);
  assertEquals(await tried.count("with", "joined", 4), 4);
  const widths = await page.locator("#without .track i").evaluateAll((bars) =>
    (bars as unknown as { offsetWidth: number }[])
      .map(({ offsetWidth }) => offsetWidth)
  );
  assertEquals(widths.every((width) => width > 20), true, String(widths));
  await page.locator('#with[aria-busy="false"]').waitFor();
});

Deno.test("pressing after the answer shows a replay, also after a reload, until a new attempt", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  await tried.press();
  const key = await tried.saw("200 first run");
  await tried.press();
  assertEquals(await tried.saw("200 replayed"), key);

  await tried.page.reload();
  await tried.press();
  await tried.page.locator("#with li").filter({ hasText: "200 replayed" })
    .nth(1).waitFor();
  assertEquals(await countJobs(tried, stack()), 1);
  await tried.showsJobs("without", 3);

  await tried.page.getByRole("button", { name: "New attempt" }).click();
  await tried.press();
  await tried.showsJobs("with", 2);
  assertEquals(await tried.count("with", "200 first run", 2), 2);
  assertNotEquals(await tried.saw("200 first run"), key);
  await tried.page.getByText("in 2 attempts").waitFor();
  assertEquals(await countJobs(tried, stack()), 2);
  assertNoComplaints(visitor);
});
