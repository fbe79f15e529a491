import type { Page } from "playwright-core";
import type { Stack } from "../../scripts/stack/stack.ts";
import type { Visitor } from "./browser.ts";

/** The page to try it, as somebody uses it. */
export interface TryPage {
  readonly page: Page;
  press(): Promise<void>;
  /** Turns a switch of the network. */
  turn(name: Fault, on: boolean): Promise<void>;
  /** Waits until the timeline has an entry that says so, and answers its key. */
  saw(text: string | RegExp): Promise<string>;
  /** How many entries of the timeline say so. */
  count(text: string | RegExp): Promise<number>;
  /** A number under "What resulted". */
  number(of: "presses" | "requests" | "attempts" | "jobs"): Promise<number>;
}

/** What a switch is called. */
export type Fault = "Cut the network" | "Lose answers" | "Slow answers (3 s)";

/** Opens the page in a new tab. */
export async function openTryPage(
  visitor: Visitor,
  { apiUrl }: Stack,
): Promise<TryPage> {
  const page = await visitor.open(apiUrl);
  const entries = (text: string | RegExp) =>
    page.locator("#timeline li").filter({ hasText: text });
  return {
    page,
    press: () => page.getByRole("button", { name: "Process" }).click(),
    turn: (name, on) => page.getByRole("switch", { name }).setChecked(on),
    async saw(text) {
      const entry = entries(text).first();
      await entry.waitFor();
      return await entry.locator("code").or(entry).last().innerText();
    },
    count: (text) => entries(text).count(),
    number: async (of) => Number(await page.locator(`#${of}`).innerText()),
  };
}

/** Creates an account on the page. */
export async function createAccount({ page }: TryPage): Promise<string> {
  const email = `${crypto.randomUUID()}@example.com`;
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill("correct horse");
  await page.getByRole("button", { name: "Create account" }).click();
  await page.getByText(`Signed in as ${email}`).waitFor();
  return email;
}

/** Opens the page, and gets as far as the sample uploaded. */
export async function openWithSample(
  visitor: Visitor,
  stack: Stack,
): Promise<TryPage> {
  const tried = await openTryPage(visitor, stack);
  await createAccount(tried);
  await tried.page.getByRole("button", { name: "Use the sample" }).click();
  await tried.page.getByText("Uploaded: taking-effect-once.md").waitFor();
  return tried;
}

/** How many jobs there are for the visitor's document, past the page. */
export async function countJobs(
  { page }: TryPage,
  stack: Stack,
): Promise<number> {
  const id = await page.evaluate(() =>
    JSON.parse(localStorage.getItem("try:document")!).id
  );
  const [row] = await stack.sql<{ count: number }>(
    "select count(*)::int from public.processing_jobs where document_id = $1",
    [id],
  );
  return row!.count;
}
