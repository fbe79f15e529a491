import { assertEquals, assertNotEquals } from "@std/assert";
import { assertNoComplaints, withBrowser } from "../support/browser.ts";
import { withStack } from "../support/stack.ts";
import { countJobs, openWithSample } from "../support/try_page.ts";

const stack = withStack();
const visit = withBrowser();

for (
  const [how, clickCount] of [["a double-click", 2], [
    "ten clicks",
    10,
  ]] as const
) {
  Deno.test(`${how} as fast as a mouse can make one job`, async () => {
    await using visitor = await visit();
    const tried = await openWithSample(visitor, stack());
    const process = tried.page.getByRole("button", { name: "Process" });
    if (clickCount === 2) await process.dblclick();
    else await process.click({ clickCount });
    await tried.saw("Answered 200");
    await tried.page.locator("#job-list li").waitFor();
    assertEquals(await tried.number("presses"), clickCount);
    assertEquals(await tried.count("Answered 200, first run"), 1);
    assertEquals(await tried.number("jobs"), 1);
    assertEquals(await countJobs(tried, stack()), 1);
    assertNoComplaints(visitor);
  });
}

Deno.test("pressing after the answer shows a replay, also after a reload, until a new attempt", async () => {
  await using visitor = await visit();
  const tried = await openWithSample(visitor, stack());
  await tried.press();
  const key = await tried.saw("Answered 200, first run");
  await tried.press();
  assertEquals(await tried.saw("Answered 200, replayed"), key);

  await tried.page.reload();
  await tried.press();
  await tried.page.locator("#timeline li").filter({
    hasText: "Answered 200, replayed",
  }).nth(1).waitFor();
  assertEquals(await countJobs(tried, stack()), 1);

  await tried.page.getByRole("button", { name: "New attempt" }).click();
  await tried.saw("New attempt");
  await tried.press();
  await tried.page.locator("#job-list li").nth(1).waitFor();
  assertNotEquals(await tried.saw("Answered 200, first run"), key);
  assertEquals(await tried.number("attempts"), 2);
  assertEquals(await countJobs(tried, stack()), 2);
  assertNoComplaints(visitor);
});
