import { assertEquals } from "@std/assert";
import { assertNoComplaints, withBrowser } from "../support/browser.ts";
import { inspectEverywhere, inspectPage } from "../support/inspect_page.ts";
import { withStack } from "../support/stack.ts";
import { openTryPage } from "../support/try_page.ts";

const stack = withStack();
const visit = withBrowser();

Deno.test("the page to try it is fit for use on a phone and a desk, light and dark", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  await inspectEverywhere(tried.page, "try-fresh");
  await tried.page.getByRole("button", { name: "Press 5 times" }).click();
  await tried.showsJobs("without", 5);
  await tried.turn("Lose answers", true);
  await tried.press();
  await tried.saw("answer lost");
  await tried.turn("Lose answers", false);
  await tried.saw(/try.*|200 replayed/);
  await tried.page.locator('#with[aria-busy="false"]').waitFor();
  await inspectEverywhere(tried.page, "try");
  assertNoComplaints(visitor);
});

Deno.test("results are to be seen on a phone beside the button that makes them", async () => {
  await using visitor = await visit({ viewport: { width: 360, height: 740 } });
  const { page } = await openTryPage(visitor, stack());
  for (const side of ["without", "with"]) {
    const box = await page.locator(`#${side} .jobs`).boundingBox();
    assertEquals(box!.y + box!.height < 740, true, `${side}: ${box!.y}`);
  }
});

Deno.test("the code that the page shows is the code that it runs", async () => {
  await using visitor = await visit();
  const page = await visitor.open(stack().apiUrl);
  const read = (path: string) =>
    Deno.readTextFile(new URL(`../../${path}`, import.meta.url));
  const page_code = await read("scripts/stack/pages/try/sides.js");
  const sources = [
    await read("scripts/stack/unprotected.ts"),
    page_code,
    await read("functions/process-document/index.ts"),
    page_code,
  ];
  const blocks = await page.locator("pre").allInnerTexts();
  assertEquals(blocks.length, sources.length);
  const compact = (text: string) => text.replaceAll(/\s/g, "");
  blocks.forEach((block, index) => {
    // "…" stands for whatever is between.
    const parts = compact(block).split("…");
    let source = compact(sources[index]!);
    for (const part of parts) {
      const at = source.indexOf(part);
      assertEquals(at >= 0, true, `${part} is not there`);
      source = source.slice(at + part.length);
    }
  });
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
      `[document.cookie, localStorage.left, sessionStorage.left, navigator.onLine]`,
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
  assertEquals(first[0], ["", undefined, undefined, true]);
  assertEquals(await look(), first);
});
