import { assertEquals } from "@std/assert";
import { assertNoComplaints, withBrowser } from "../support/browser.ts";
import { inspectEverywhere, inspectPage } from "../support/inspect_page.ts";
import { withStack } from "../support/stack.ts";
import { openWithSample } from "../support/try_page.ts";

const stack = withStack();
const visit = withBrowser();

Deno.test("the page to try it is fit for use on a phone and a desk, light and dark", async () => {
  await using visitor = await visit();
  const fresh = await visitor.open(stack().apiUrl);
  await fresh.getByRole("button", { name: "Create account" }).waitFor();
  await inspectEverywhere(fresh, "try-fresh");
  await fresh.close();

  const tried = await openWithSample(visitor, stack());
  await tried.page.getByRole("button", { name: "Process" }).dblclick();
  await tried.saw("Answered 200, first run");
  await tried.turn("Lose answers", true);
  await tried.press();
  await tried.saw("No answer");
  await tried.turn("Lose answers", false);
  await tried.saw("Answered 200, replayed");
  await tried.page.locator("#job-list li").waitFor();
  await inspectEverywhere(tried.page, "try");
  assertNoComplaints(visitor);
});

Deno.test("a page that names its controls badly, cannot be read or does not fit is found out", async () => {
  await using visitor = await visit({ viewport: { width: 360, height: 740 } });
  const page = await visitor.open("about:blank");
  await page.setContent(
    `<button></button><input><p style="color: #aaa">faint</p><pre style="width: 500px">wide</pre>`,
  );
  assertEquals(await inspectPage(page), [
    "a button has no name",
    "a textbox has no name",
    '"faint" has a contrast of 2.3',
    "the page is 508 px wide in a window of 360 px",
  ]);
});

Deno.test("a page that breaks its security policy or throws is found out", async () => {
  await using visitor = await visit();
  const page = await visitor.open(stack().apiUrl);
  await page.evaluate(`
    const script = document.createElement("script");
    script.textContent = "document.title = 'injected'";
    document.head.append(script);
    setTimeout(() => { throw new Error("thrown"); });
  `);
  await page.waitForTimeout(50);
  assertEquals(visitor.complaints.length, 2);
  assertEquals(await page.title(), "Press it twice");
});

Deno.test("a visitor finds nothing of the one before", async () => {
  const look = async () => {
    await using visitor = await visit();
    const page = await visitor.open(stack().apiUrl);
    const found = await page.evaluate(
      `[document.cookie, localStorage.length, sessionStorage.length, navigator.onLine]`,
    );
    await page.evaluate(`
      document.cookie = "left=behind";
      localStorage.setItem("left", "behind");
      sessionStorage.setItem("left", "behind");
    `);
    await visitor.context.setOffline(true);
    return [found, visitor.context.pages().length];
  };
  const first = await look();
  assertEquals(first[0], ["", 0, 0, true]);
  assertEquals(await look(), first);
});
