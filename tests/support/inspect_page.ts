import { assertEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { takePicture } from "./browser.ts";
import { cutOff, hardToRead } from "./in_page.js";

const CONTROLS = [
  "button",
  "checkbox",
  "combobox",
  "link",
  "radio",
  "searchbox",
  "switch",
  "tab",
  "textbox",
];

/** What would keep somebody from using the page, one problem a line. */
export async function inspectPage(page: Page): Promise<string[]> {
  return [
    ...await namelessControls(page),
    ...await page.evaluate(hardToRead),
    ...await page.evaluate(cutOff),
  ];
}

/** Inspects a page in two windows, light and dark, and keeps pictures of it. */
export async function inspectEverywhere(
  page: Page,
  name: string,
): Promise<void> {
  const windows = { phone: 360, desk: 1100 };
  for (const [window, width] of Object.entries(windows)) {
    await page.setViewportSize({ width, height: 800 });
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      assertEquals(await inspectPage(page), [], `${window}, ${colorScheme}`);
      await takePicture(page, `${name}-${window}-${colorScheme}`);
    }
  }
}

/** Asks the browser for what a screen reader is told. */
async function namelessControls(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send("Accessibility.getFullAXTree");
  await session.detach();
  return nodes
    .filter(({ ignored, role, name }) =>
      !ignored && CONTROLS.includes(role?.value) && !name?.value?.trim()
    )
    .map(({ role }) => `a ${role!.value} has no name`);
}
