import { assertEquals } from "@std/assert";
import { assertNoComplaints, withBrowser } from "../support/browser.ts";
import { withStack } from "../support/stack.ts";
import { countJobs, openTryPage } from "../support/try_page.ts";

const stack = withStack();
const visit = withBrowser();

Deno.test("everything can be done with a keyboard alone", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  const { page } = tried;
  const press = async (...keys: string[]) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const focused = (id: string) => page.locator(`#${id}:focus`).waitFor();

  // Past the links to the other pages.
  await press("Tab", "Tab", "Tab", "Tab", "Tab");
  await focused("process");
  await press("Tab", "Tab", "Tab", "Tab", "Tab");
  await focused("cut");
  await press("Space");
  for (let back = 0; back < 5; back++) await press("Shift+Tab");
  await focused("process");
  await press("Space", "Enter");
  await tried.saw("network cut");
  for (let on = 0; on < 5; on++) await press("Tab");
  await press("Space");
  await tried.saw("200 first run");
  await page.locator("#with .state").getByText("for 2 presses").waitFor();
  assertEquals(await countJobs(tried, stack()), 1);
  assertNoComplaints(visitor);
});
