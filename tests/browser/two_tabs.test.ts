import { assertEquals } from "@std/assert";
import { withBrowser } from "../support/browser.ts";
import { withStack } from "../support/stack.ts";
import { countJobs, openTryPage } from "../support/try_page.ts";

const stack = withStack();
const visit = withBrowser();

Deno.test("two tabs, opened at once, share a user; pressed at once, they make one job", async () => {
  await using visitor = await visit();
  const [first, second] = await Promise.all([
    openTryPage(visitor, stack()),
    openTryPage(visitor, stack()),
  ]);
  const who = await Promise.all(
    [first, second].map(({ page }) => page.locator("#who").innerText()),
  );
  assertEquals(who[0], who[1]);
  await Promise.all([first.press(), second.press()]);
  const keys = await Promise.all([first, second].map((tab) => tab.saw("200")));
  assertEquals(keys[0], keys[1]);
  for (const tab of [first, second]) {
    await tab.showsJobs("with", 1);
    await tab.count("without", "200 ran");
  }
  assertEquals(await countJobs(first, stack()), 1);
  assertEquals(await countJobs(first, stack(), "without"), 2);
});

Deno.test("a tab that presses after the other was answered gets the same answer", async () => {
  await using visitor = await visit();
  const first = await openTryPage(visitor, stack());
  const early = await openTryPage(visitor, stack());
  await first.press();
  const key = await first.saw("200 first run");
  const late = await openTryPage(visitor, stack());
  for (const tab of [early, late]) {
    await tab.press();
    assertEquals(await tab.saw("200 replayed"), key);
  }
  assertEquals(await countJobs(first, stack()), 1);
});

Deno.test("a new attempt holds in the other tab too", async () => {
  await using visitor = await visit();
  const first = await openTryPage(visitor, stack());
  const second = await openTryPage(visitor, stack());
  await first.press();
  await first.saw("200 first run");
  await first.page.getByRole("button", { name: "New attempt" }).click();
  await second.page.locator("#with .state").getByText("Attempt 2").waitFor();
  await second.press();
  const key = await second.saw("200 first run");
  await first.press();
  assertEquals(await first.saw("200 replayed"), key);
  assertEquals(await countJobs(first, stack()), 2);
});
