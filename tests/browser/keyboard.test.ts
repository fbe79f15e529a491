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
  const { keyboard } = page;
  const focused = (id: string) => page.locator(`#${id}:focus`).waitFor();

  await keyboard.press("Tab");
  await focused("email");
  await keyboard.type(`${crypto.randomUUID()}@example.com`);
  await keyboard.press("Tab");
  await keyboard.type("correct horse");
  await keyboard.press("Enter");
  await focused("sample");
  await keyboard.press("Enter");
  await focused("process");
  await keyboard.press("Tab");
  await focused("new-attempt");
  await keyboard.press("Tab");
  await focused("cut");
  await keyboard.press("Space");
  await keyboard.press("Shift+Tab");
  await keyboard.press("Shift+Tab");
  await keyboard.press("Space");
  await keyboard.press("Enter");
  await tried.saw("No answer: the network is cut");
  await keyboard.press("Tab");
  await keyboard.press("Tab");
  await keyboard.press("Space");
  await tried.saw("Answered 200, first run");
  assertEquals(await tried.number("presses"), 2);
  assertEquals(await countJobs(tried, stack()), 1);
  assertNoComplaints(visitor);
});
