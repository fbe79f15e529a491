import type { Page, Route } from "playwright-core";
import type { Stack } from "../../scripts/stack/stack.ts";
import type { Visitor } from "./browser.ts";

/** Opens a page with a form, and waits until its attempt is open. */
export async function openForm(
  visitor: Visitor,
  { apiUrl }: Stack,
  path: "/events" | "/till",
): Promise<Page> {
  const page = await visitor.open(apiUrl + path);
  await ready(page);
  return page;
}

/** Waits until somebody can press. */
export async function ready(page: Page): Promise<void> {
  const first = page.locator("#title:enabled, #goods button:enabled").first();
  await first.waitFor();
}

/** Lets the database do its part once, and the answer get lost. */
export async function loseAnswer(page: Page, url: string): Promise<void> {
  await onFirstChange(page, url, async (route) => {
    await route.fetch();
    await route.abort("connectionreset");
  });
}

/**
 * Lets the database do its part once, and the answer never come.
 *
 * @returns Resolves when the database has done its part.
 */
export async function holdAnswer(
  page: Page,
  url: string,
): Promise<{ done: Promise<void> }> {
  const { promise: done, resolve } = Promise.withResolvers<void>();
  await onFirstChange(page, url, async (route) => {
    await route.fetch();
    resolve();
  });
  return { done };
}

async function onFirstChange(
  page: Page,
  url: string,
  act: (route: Route) => Promise<void>,
): Promise<void> {
  let isFirst = true;
  await page.route(url, async (route) => {
    const isChange = route.request().method() !== "GET";
    if (!isChange || !isFirst) return await route.fallback();
    isFirst = false;
    await act(route);
  });
}

/** Who the page has signed in as. */
export async function userOf(page: Page, { sql }: Stack): Promise<string> {
  const email = await page.evaluate(
    `JSON.parse(localStorage.getItem("try:session")).email`,
  );
  const [user] = await sql<{ id: string }>(
    "select id from auth.users where email = $1",
    [email],
  );
  return user!.id;
}

/** Presses past what is disabled, faster than any finger. */
export async function pressFiveTimes(page: Page): Promise<void> {
  await page.evaluate(
    `for (let press = 0; press < 5; press++) {
      document.getElementById("form").requestSubmit();
    }`,
  );
}
