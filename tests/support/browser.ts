import { assertEquals } from "@std/assert";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type ConsoleMessage,
  type Page,
  type Request,
  type WebError,
} from "playwright-core";
import { findChromium, missingChromium } from "../../scripts/test/chromium.ts";

/** Somebody with a browser that nobody has used before. */
export interface Visitor extends AsyncDisposable {
  readonly context: BrowserContext;
  /** Opens another tab. */
  open(url: string): Promise<Page>;
  /** Errors and warnings of all tabs so far, and calls to somebody else's host. */
  readonly complaints: readonly string[];
}

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Nobody here is to be kept from anybody: a process a tab only takes time.
  "--disable-site-isolation-trials",
  "--renderer-process-limit=1",
  "--in-process-gpu",
];
const PATIENCE_MS = 30_000;

// One for all files of a run that imports several of them.
let starting: Promise<Browser> | undefined;
let files = 0;
// A window takes a core for seconds, a tab in an open one a third of that: what
// a visitor leaves is cleared, and the next one has tabs in the same window.
const windows: BrowserContext[] = [];

/**
 * Starts a browser for the test file that calls it, and closes it after the
 * last test.
 *
 * @returns Makes a visitor, for use inside the tests.
 */
export function withBrowser(): (
  options?: BrowserContextOptions,
) => Promise<Visitor> {
  let browser: Browser | undefined;
  Deno.test.beforeAll(async () => {
    files++;
    starting ??= start();
    browser = await starting;
  });
  Deno.test.afterAll(async () => {
    if (--files === 0) await browser?.close();
  });
  return async (options) =>
    options === undefined
      ? visitorIn(windows.pop() ?? await openWindow(browser!), clearWindow)
      : visitorIn(await newContext(browser!, options), (own) => own.close());
}

async function openWindow(browser: Browser): Promise<BrowserContext> {
  const context = await newContext(browser);
  await context.newPage();
  return context;
}

async function newContext(
  browser: Browser,
  options?: BrowserContextOptions,
): Promise<BrowserContext> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE_MS);
  return context;
}

async function clearWindow(context: BrowserContext): Promise<void> {
  const [, ...tabs] = context.pages();
  await Promise.all(tabs.map((tab) => tab.close()));
  await context.unrouteAll();
  await context.setOffline(false);
  await context.setStorageState({ cookies: [], origins: [] });
  windows.push(context);
}

async function start(): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === null) throw new Error(missingChromium()!);
  return await chromium.launch({ executablePath, args: FLAGS });
}

function visitorIn(
  context: BrowserContext,
  leave: (context: BrowserContext) => Promise<void>,
): Visitor {
  const complaints: string[] = [];
  const onConsole = (message: ConsoleMessage) => {
    if (["error", "warning"].includes(message.type())) {
      complaints.push(message.text());
    }
  };
  const onError = (error: WebError) => complaints.push(String(error.error()));
  const onRequest = (request: Request) => {
    const { hostname, protocol } = new URL(request.url());
    if (protocol.startsWith("http") && hostname !== "127.0.0.1") {
      complaints.push(`asked ${hostname}`);
    }
  };
  context.on("console", onConsole).on("weberror", onError)
    .on("request", onRequest);
  return {
    context,
    complaints,
    async open(url) {
      const page = await context.newPage();
      await page.goto(url);
      return page;
    },
    [Symbol.asyncDispose]: () => {
      context.off("console", onConsole).off("weberror", onError)
        .off("request", onRequest);
      return leave(context);
    },
  };
}

/** Keeps a picture of the whole page in `.artifacts/`. */
export async function takePicture(page: Page, name: string): Promise<void> {
  const path = new URL(`../../.artifacts/${name}.png`, import.meta.url);
  await page.screenshot({
    path: decodeURIComponent(path.pathname),
    fullPage: true,
    animations: "disabled",
  });
}

/** Fails where a page has said that something is wrong. */
export function assertNoComplaints({ complaints }: Visitor): void {
  assertEquals(complaints, []);
}
