import type { Page } from "playwright-core";
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
