import { assertEquals } from "@std/assert";
import { withBrowser } from "../support/browser.ts";
import { withStack } from "../support/stack.ts";
import { countJobs, openTryPage, openWithSample } from "../support/try_page.ts";

const stack = withStack();
const visit = withBrowser();

Deno.test("two tabs that press at once make one job, and both show it", async () => {
  await using visitor = await visit();
  const first = await openWithSample(visitor, stack());
  const second = await openTryPage(visitor, stack());
  await Promise.all([first.press(), second.press()]);
  const keys = await Promise.all(
    [first, second].map((tab) => tab.saw("Answered 200")),
  );
  assertEquals(keys[0], keys[1]);
  for (const { page } of [first, second]) {
    await page.locator("#job-list li").waitFor();
  }
  const shown = await Promise.all(
    [first, second].map(({ page }) => page.locator("#job-list").innerText()),
  );
  assertEquals(shown[0], shown[1]);
  assertEquals(await countJobs(first, stack()), 1);
});

Deno.test("a tab that presses after the other was answered gets the same answer", async () => {
  await using visitor = await visit();
  const first = await openWithSample(visitor, stack());
  const early = await openTryPage(visitor, stack());
  await first.press();
  const key = await first.saw("Answered 200, first run");
  const late = await openTryPage(visitor, stack());
  for (const tab of [early, late]) {
    await tab.press();
    assertEquals(await tab.saw("Answered 200, replayed"), key);
  }
  assertEquals(await countJobs(first, stack()), 1);
});

Deno.test("a new attempt, and signing out, hold in the other tab too", async () => {
  await using visitor = await visit();
  const first = await openWithSample(visitor, stack());
  const second = await openTryPage(visitor, stack());
  await first.press();
  await first.saw("Answered 200, first run");
  await first.page.getByRole("button", { name: "New attempt" }).click();
  await second.page.locator("#attempts").filter({ hasText: "2" }).waitFor();
  await second.press();
  const key = await second.saw("Answered 200, first run");
  await first.press();
  assertEquals(await first.saw("Answered 200, replayed"), key);
  assertEquals(await countJobs(first, stack()), 2);

  await first.page.getByRole("button", { name: "Sign out" }).click();
  await second.page.getByRole("button", { name: "Create account" }).waitFor();
});
