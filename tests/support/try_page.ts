import type { Page } from "playwright-core";
import type { Stack } from "../../scripts/stack/stack.ts";
import type { Visitor } from "./browser.ts";

/** One half of the page to try it. */
export type Side = "without" | "with";

/** The page to try it, as somebody uses it. */
export interface TryPage {
  readonly page: Page;
  press(): Promise<void>;
  /** Turns a switch of the network. */
  turn(name: Fault, on: boolean): Promise<void>;
  /** Waits until a lane of the protected side says so, and answers its key. */
  saw(text: string | RegExp): Promise<string>;
  /** Waits until so many lanes of a side say so, and counts all that do. */
  count(side: Side, text: string | RegExp, atLeast?: number): Promise<number>;
  /** Waits until a side shows so many jobs. */
  showsJobs(side: Side, count: number): Promise<void>;
}

/** What a switch is called. */
export type Fault = "Cut the network" | "Lose answers" | "Slow answers (3 s)";

/** Opens the page in a new tab, and waits until it has signed in by itself. */
export async function openTryPage(
  visitor: Visitor,
  { apiUrl }: Stack,
): Promise<TryPage> {
  const page = await visitor.open(apiUrl);
  const lanes = (side: Side, text: string | RegExp) =>
    page.locator(`#${side} .lanes li`).filter({ hasText: text });
  await page.locator("#process:enabled").waitFor();
  return {
    page,
    press: () => page.getByRole("button", { name: "Process" }).click(),
    turn: (name, on) => page.getByRole("switch", { name }).setChecked(on),
    async saw(text) {
      const lane = lanes("with", text).first();
      await lane.waitFor();
      return await lane.locator("code").or(lane).last().innerText();
    },
    async count(side, text, atLeast = 1) {
      await lanes(side, text).nth(atLeast - 1).waitFor();
      return await lanes(side, text).count();
    },
    showsJobs: (side, count) =>
      page.locator(`#${side} .jobs strong`).getByText(String(count), {
        exact: true,
      }).waitFor(),
  };
}

/** How many jobs there are for the document of a side, past the page. */
export async function countJobs(
  { page }: TryPage,
  { sql }: Stack,
  side: Side = "with",
): Promise<number> {
  const id = await page.evaluate(
    (side) => JSON.parse(localStorage.getItem("try:document")!)[side],
    side,
  );
  const [row] = await sql<{ count: number }>(
    "select count(*)::int from public.processing_jobs where document_id = $1",
    [id],
  );
  return row!.count;
}
