import { Buffer } from "node:buffer";
import { assertEquals, assertNotEquals } from "@std/assert";
import { fixture } from "../support/call.ts";
import { withBrowser } from "../support/browser.ts";
import { withStack } from "../support/stack.ts";
import { countJobs, openTryPage } from "../support/try_page.ts";

const stack = withStack();
const visit = withBrowser();

Deno.test("files are taken as they are, and what is wrong with one is said next to it", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  const { page } = tried;
  const choose = (name: string, bytes: Uint8Array) =>
    page.getByLabel("Another one").setInputFiles({
      name,
      mimeType: "",
      buffer: Buffer.from(bytes),
    });
  const said = async (where: string, text: string) =>
    await page.locator(`#${where}`).getByText(text).waitFor();

  await choose("photo.png", new Uint8Array([1]));
  await said("file-error", "is no text, Markdown or PDF");
  await choose("nothing.txt", new Uint8Array());
  await said("file-error", "is empty");
  await choose("latin1.txt", await fixture("latin1.txt"));
  await said("file-error", "is not text in UTF-8");
  await said("document-name", "taking-effect-once.md");

  await choose("broken.pdf", await fixture("broken.pdf"));
  await said("document-name", "broken.pdf");
  await tried.press();
  await tried.saw("422");
  await said("error", "Document cannot be read");
  assertEquals(await countJobs(tried, stack()), 0);

  await choose("claims.pdf", await fixture("claims.pdf"));
  await said("document-name", "claims.pdf");
  await tried.press();
  await tried.saw("200 first run");
  await tried.showsJobs("without", 1);
  assertEquals(await page.locator(".error:not(:empty)").count(), 0);
  assertEquals(await countJobs(tried, stack()), 1);
});

Deno.test("a session that the server does not know is replaced, and the page says so", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  const who = tried.page.locator("#who");
  const before = await who.innerText();
  await tried.page.evaluate(() => {
    const session = JSON.parse(localStorage.getItem("try:session")!);
    const over = { ...session, expiresAt: 0, refreshToken: "spent" };
    localStorage.setItem("try:session", JSON.stringify(over));
  });
  await tried.press();
  await tried.page.getByText("this is a new user").waitFor();
  assertNotEquals(await who.innerText(), before);
  await tried.press();
  await tried.saw("200 first run");
});
