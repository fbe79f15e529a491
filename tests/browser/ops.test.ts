import { assertEquals } from "@std/assert";
import { call, formWith } from "../support/call.ts";
import { assertNoComplaints, withBrowser } from "../support/browser.ts";
import { inspectEverywhere } from "../support/inspect_page.ts";
import { loseAnswer } from "../support/ledger_row.ts";
import { unique } from "../support/probe.ts";
import { signUp, withStack } from "../support/stack.ts";

const stack = withStack();
const visit = withBrowser();

Deno.test("the operators' page shows a stuck key, and records how it ended", async () => {
  const key = unique("stuck");
  const ada = await signUp(stack());
  const body = formWith("A label.", "label.txt");
  await call(stack(), ada, "process-document", { body, key });
  await loseAnswer(stack(), key);

  await using visitor = await visit();
  const page = await visitor.open(`${stack().apiUrl}/ops`);
  await inspectEverywhere(page, "ops-fresh");
  await page.keyboard.type(stack().secretKey);
  await page.keyboard.press("Enter");
  const stuck = page.locator("#stuck-list li").filter({ hasText: key });
  await stuck.waitFor();
  await inspectEverywhere(page, "ops");

  await stuck.getByRole("button", { name: "It did not" }).press("Enter");
  await page.getByLabel("Note").fill("no job was there");
  await page.getByRole("button", { name: "Record as failed" }).press("Enter");
  await stuck.waitFor({ state: "detached" });
  const [row] = await stack().sql<{ status: string }>(
    "select status from public.idempotency_keys where idempotency_key = $1",
    [key],
  );
  assertEquals(row, { status: "failed" });
  assertNoComplaints(visitor);
});

Deno.test("the operators' page says that a key is not the secret one", async () => {
  await using visitor = await visit();
  const page = await visitor.open(`${stack().apiUrl}/ops`);
  await page.getByRole("textbox", { name: "Secret key" }).fill("sb_secret_no");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByText("not the secret key of this project").waitFor();
});
