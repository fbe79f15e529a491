import { Buffer } from "node:buffer";
import { assertEquals } from "@std/assert";
import { fixture } from "../support/call.ts";
import { withBrowser } from "../support/browser.ts";
import { withStack } from "../support/stack.ts";
import { countJobs, createAccount, openTryPage } from "../support/try_page.ts";

const stack = withStack();
const visit = withBrowser();

Deno.test("what is wrong with an account is said next to its field", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  const { page } = tried;
  const email = await createAccount(tried);
  await page.getByRole("button", { name: "Sign out" }).click();

  const enter = async (password: string, button: string) => {
    await page.getByLabel("E-mail").fill(email);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: button }).click();
  };
  await enter("incorrect horse", "Sign in");
  await page.locator("#password-error").getByText("do not match").waitFor();
  const invalid = (id: string) =>
    page.locator(`#${id}`).getAttribute("aria-invalid");
  assertEquals(await invalid("password"), "true");

  await enter("incorrect horse", "Create account");
  await page.locator("#email-error").getByText("has an account already")
    .waitFor();
  assertEquals([await invalid("email"), await invalid("password")], [
    "true",
    null,
  ]);

  await enter("correct horse", "Sign in");
  await page.getByText(`Signed in as ${email}`).waitFor();
  assertEquals(await page.locator(".error:not(:empty)").count(), 0);
});

Deno.test("files are taken as they are, and what is wrong with one is said next to it", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  const { page } = tried;
  await createAccount(tried);
  const choose = (name: string, bytes: Uint8Array) =>
    page.getByLabel("Text, Markdown or PDF").setInputFiles({
      name,
      mimeType: "",
      buffer: Buffer.from(bytes),
    });
  const saidOfFile = async (text: string) =>
    await page.locator("#file-error").getByText(text).waitFor();

  await choose("photo.png", new Uint8Array([1]));
  await saidOfFile("is no text, Markdown or PDF");
  await choose("nothing.txt", new Uint8Array());
  await saidOfFile("is empty");
  await choose("latin1.txt", await fixture("latin1.txt"));
  await saidOfFile("is not text in UTF-8");
  assertEquals(
    await page.getByRole("button", { name: "Process" }).isEnabled(),
    false,
  );

  await choose("broken.pdf", await fixture("broken.pdf"));
  await page.getByText("Uploaded: broken.pdf").waitFor();
  await tried.press();
  await tried.saw("Answered 422");
  await page.locator("#process-error").getByText("Document cannot be read")
    .waitFor();
  assertEquals(await countJobs(tried, stack()), 0);

  await choose("claims.pdf", await fixture("claims.pdf"));
  await page.getByText("Uploaded: claims.pdf").waitFor();
  await tried.press();
  await tried.saw("Answered 200, first run");
  assertEquals(await page.locator(".error:not(:empty)").count(), 0);
  assertEquals(await countJobs(tried, stack()), 1);
});

Deno.test("a session that the server does not know ends with a word, not in silence", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  await createAccount(tried);
  await tried.page.evaluate(() => {
    const session = JSON.parse(localStorage.getItem("try:session")!);
    const over = { ...session, expiresAt: 0, refreshToken: "spent" };
    localStorage.setItem("try:session", JSON.stringify(over));
  });
  await tried.page.getByRole("button", { name: "Use the sample" }).click();
  await tried.page.getByText("Your session is over: sign in again.").waitFor();
});
