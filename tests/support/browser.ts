import { assertEquals } from "@std/assert";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
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
];
const PATIENCE_MS = 30_000;

// One for all files of a run that imports several of them.
let starting: Promise<Browser> | undefined;
let files = 0;

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
  return async (options) => {
    const context = await browser!.newContext(options);
    context.setDefaultTimeout(PATIENCE_MS);
    return visitorIn(context);
  };
}

async function start(): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === null) throw new Error(missingChromium()!);
  return await chromium.launch({ executablePath, args: FLAGS });
}

function visitorIn(context: BrowserContext): Visitor {
  const complaints: string[] = [];
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      complaints.push(message.text());
    }
  });
  context.on("weberror", (error) => complaints.push(String(error.error())));
  context.on("request", (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (protocol.startsWith("http") && hostname !== "127.0.0.1") {
      complaints.push(`asked ${hostname}`);
    }
  });
  return {
    context,
    complaints,
    async open(url) {
      const page = await context.newPage();
      await page.goto(url);
      return page;
    },
    [Symbol.asyncDispose]: () => context.close(),
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
