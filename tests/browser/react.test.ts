import { assertEquals, assertNotEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { bundle } from "../../scripts/bundle.ts";
import { assertNoComplaints, withBrowser } from "../support/browser.ts";
import type { FormKind, FormSettings } from "../support/react_forms.ts";
import { type TwoFunctions, twoFunctions } from "../support/two_functions.ts";

const visit = withBrowser();
let code: string;

Deno.test.beforeAll(async () => {
  ({ code } = await bundle("tests/support/react_forms.ts"));
});

interface Loaded {
  readonly forms: typeof import("../support/react_forms.ts");
}

/** A shop's page, with a form in it. */
interface Form extends AsyncDisposable {
  readonly page: Page;
  /** Loads the page, anew or for the first time. */
  load(kind: FormKind, settings?: Partial<FormSettings>): Promise<void>;
  /** Gives the form that is shown other settings. */
  change(settings: Partial<FormSettings>, kind?: FormKind): Promise<void>;
  press(name?: string): Promise<void>;
  submitAtOnce(times: number): Promise<void>;
  /** Waits until the form says so. */
  says(text: string): Promise<void>;
  /** Lets what was sent be answered, and waits until the form has heard it. */
  answers(finish: () => void): Promise<void>;
  keys(): Promise<string[]>;
}

async function form(functions: TwoFunctions): Promise<Form> {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) =>
      new URL(request.url).pathname === "/forms.js"
        ? new Response(code, { headers: { "Content-Type": "text/javascript" } })
        : new Response(
          // What React is told by every bundler of an app.
          `<!DOCTYPE html><html lang="en"><link rel="icon" href="data:,"><title>Shop</title>
          <div id="root"></div>
          <script>process = { env: { NODE_ENV: "development" } }</script>`,
          { headers: { "Content-Type": "text/html" } },
        ),
  );
  const visitor = await visit();
  const url = `http://127.0.0.1:${server.addr.port}/`;
  const page = await visitor.open(url);
  const output = page.locator("output");
  return {
    page,
    async load(kind, settings = {}) {
      await page.goto(url);
      await page.evaluate(async ([kind, settings]) => {
        const forms: Loaded["forms"] = await import(
          `${location.origin}/forms.js`
        );
        Object.assign(globalThis, { forms });
        forms.show(kind, settings);
      }, [kind, { url: functions.url, ...settings }] as const);
    },
    change: (settings, kind = "plain") =>
      page.evaluate(
        ([kind, settings]) =>
          (globalThis as unknown as Loaded).forms.show(kind, settings),
        [kind, { url: functions.url, ...settings }] as const,
      ),
    press: (name = "Sell") => page.getByRole("button", { name }).click(),
    submitAtOnce: (times) =>
      page.evaluate(
        (times) => (globalThis as unknown as Loaded).forms.submitAtOnce(times),
        times,
      ),
    says: (text) => output.getByText(text).waitFor(),
    async answers(finish) {
      const answered = page.waitForResponse((response) =>
        response.request().method() === "POST"
      );
      finish();
      await (await answered).finished();
      // Long enough to do harm; nothing tells when it is over.
      await page.waitForTimeout(100);
    },
    keys: () =>
      page.evaluate(() => (globalThis as unknown as Loaded).forms.sentKeys()),
    async [Symbol.asyncDispose]() {
      const lost = /net::ERR_|DevTools|status of/;
      assertNoComplaints({
        ...visitor,
        complaints: visitor.complaints.filter((text) => !lost.test(text)),
      });
      await visitor[Symbol.asyncDispose]();
      await server.shutdown();
    },
  };
}

Deno.test("a form that is submitted five times at once makes one sale, and its button is busy meanwhile", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("plain", { wanted: { waits: true } });
  await shop.submitAtOnce(5);
  await shop.page.locator("button:disabled").waitFor();
  functions.finish();
  await shop.says("row 1");
  assertEquals(await shop.page.locator("button:disabled").count(), 0);
  assertEquals([functions.rows("protected"), (await shop.keys()).length], [
    1,
    1,
  ]);

  await shop.press();
  await shop.says("row 2");
  const [first, second] = await shop.keys();
  assertNotEquals(second, first);
});

Deno.test("a sale whose answer was lost is found under its key, and the next is another", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("plain", { wanted: { loses: 1 } });
  await shop.press();
  await shop.says("failed: lost");
  await shop.press();
  await shop.says("row 1");
  await shop.press();
  await shop.says("row 2");
  const [first, again, next] = await shop.keys();
  assertEquals(again, first);
  assertNotEquals(next, first);
});

Deno.test("starting over is another attempt", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("plain", { wanted: { loses: 1 } });
  await shop.press();
  await shop.says("failed: lost");
  await shop.press("Start over");
  await shop.says("nothing yet");
  await shop.press();
  await shop.says("row 2");
  assertEquals(functions.rows("protected"), 2);
});

Deno.test("of an attempt that was given up while it was sent nothing is shown", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("plain", { wanted: { waits: true } });
  await shop.press();
  await shop.says("selling");
  await shop.press("Start over");
  await shop.answers(functions.finish);
  await shop.says("nothing yet");
  await shop.press();
  await shop.says("row 2");
});

Deno.test("a form that is closed while it sends goes on, and says nothing of it", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("plain", { wanted: { waits: true } });
  await shop.press();
  await shop.says("selling");
  await shop.press("Open or close");
  await shop.answers(functions.finish);
  assertEquals(functions.rows("protected"), 1);
  await shop.press("Open or close");
  await shop.says("nothing yet");
});

Deno.test("a form with a name finds its attempt when it is opened again, and after a reload with a fresh token", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  const settings = { name: "till", wanted: { loses: 2 } };
  await shop.load("plain", settings);
  await shop.press();
  await shop.says("failed: lost");
  const [key] = await shop.keys();
  await shop.press("Open or close");
  await shop.press("Open or close");
  await shop.press();
  await shop.says("failed: lost");
  assertEquals(await shop.keys(), [key, key]);

  await shop.page.evaluate(() => sessionStorage.setItem("token", "fresh"));
  await shop.load("plain", settings);
  await shop.press();
  await shop.says("row 1");
  assertEquals(await shop.keys(), [key]);
  await shop.press();
  await shop.says("row 2");
});

Deno.test("a key that the app has kept is gone on with, once", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  const key = "idem_from-a-queue";
  await shop.load("plain", { resumes: key });
  assertEquals(await shop.page.locator("code").innerText(), key);
  await shop.press();
  await shop.says("row 1");
  await shop.press();
  await shop.says("row 2");
  await shop.press();
  await shop.says("row 3");
  const [first, ...others] = await shop.keys();
  assertEquals(first, key);
  assertEquals(new Set([key, ...others]).size, 3);
});

Deno.test("nor is one that the form itself has told the app", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("plain", { wanted: { loses: 1 } });
  await shop.press();
  await shop.says("failed: lost");
  const [key] = await shop.keys();
  await shop.change({ resumes: key!, wanted: { loses: 1 } });
  for (const row of [1, 2]) {
    await shop.press();
    await shop.says(`row ${row}`);
  }
});

Deno.test("nor is it gone on with after it was given up", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  const key = "idem_from-a-queue";
  await shop.load("plain", { resumes: key });
  await shop.press("Start over");
  for (const row of [1, 2]) {
    await shop.press();
    await shop.says(`row ${row}`);
  }
  assertEquals(new Set([key, ...await shop.keys()]).size, 3);
});

Deno.test("a form that comes to edit another thing has another attempt, also while the first is sent", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  const one = { name: "item:1", wanted: { waits: true } };
  await shop.load("plain", one);
  await shop.submitAtOnce(1);
  await shop.says("selling");
  await shop.change({ name: "item:2" });
  await shop.submitAtOnce(1);
  await shop.says("row 2");
  assertEquals(functions.rows("protected"), 2);
  // Its attempt ends, though nobody looks.
  await shop.answers(functions.finish);
  await shop.change(one);
  await shop.press();
  await shop.says("row 3");
  assertEquals(new Set(await shop.keys()).size, 3);
});

Deno.test("a form shows what became of the thing that it is to edit, and of no other", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  const wanted = { waits: true };
  await shop.load("plain", { name: "item:1", wanted });
  await shop.press();
  await shop.says("selling");
  await shop.change({ name: "item:2", wanted });
  await shop.says("nothing yet");
  await shop.page.getByText("no attempt").waitFor();
  assertEquals(await shop.page.locator("button:disabled").count(), 0);
  functions.finish();
  await shop.change({ name: "item:1", wanted });
  await shop.says("row 1");
  await shop.change({ name: "item:2", wanted });
  await shop.says("nothing yet");
});

Deno.test("starting over leaves no key in the browser, and an old one is not gone on with", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("plain", { name: "till", wanted: { loses: 1 } });
  await shop.press();
  await shop.says("failed: lost");
  await shop.press("Start over");
  await shop.says("nothing yet");
  assertEquals(await shop.page.evaluate(() => sessionStorage.length), 0);
  await shop.press();
  await shop.says("row 2");
  assertNotEquals(...await shop.keys() as [string, string]);
});

Deno.test("what another form of the name has begun is kept when the first one's answer comes", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("plain", { name: "till" });
  const begun = Promise.withResolvers<void>();
  let isFirst = true;
  await shop.page.route("**/protected", async (route) => {
    if (!isFirst || route.request().method() !== "POST") {
      return await route.continue();
    }
    isFirst = false;
    const response = await route.fetch();
    await begun.promise;
    await route.fulfill({ response });
  });
  await shop.press();
  await shop.says("selling");
  await shop.press("Open or close");
  await shop.press("Open or close");
  await shop.press("Start over");
  await shop.change({ name: "till", wanted: { takesMs: 20_000 } });
  await shop.press();
  const key = (await shop.keys())[1]!;
  await shop.answers(begun.resolve);
  assertEquals(
    await shop.page.evaluate(() =>
      sessionStorage.getItem("idempotency:form:till")
    ),
    key,
  );
});

Deno.test("a refusal that came after a lost answer does not end the attempt", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("plain", { attempts: 2 });
  let count = 0;
  await shop.page.route("**/protected", async (route) => {
    const [method, nth] = [route.request().method(), ++count];
    if (method !== "POST" || nth > 2) return await route.continue();
    if (nth === 2) return await route.fulfill({ status: 404 });
    await route.fetch();
    await route.abort();
  });
  await shop.press();
  await shop.says("failed: HTTP_404");
  await shop.press();
  await shop.says("row 1");
  assertEquals(functions.rows("protected"), 1);
});

Deno.test("a form that is corrected after its sale failed is refused once, and then makes another sale", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("plain", { wanted: { status: 500 } });
  await shop.press();
  await shop.says("failed: HTTP_500");
  await shop.change({});
  await shop.press();
  await shop.says("failed: IDEMPOTENCY_KEY_REUSED");
  await shop.press();
  await shop.says("row 2");
});

Deno.test("a refusal of what follows on a sale does not end its attempt", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("plain", { isTold: true });
  let count = 0;
  await shop.page.route("**/protected/mails", async (route) => {
    const isFirst = route.request().method() === "POST" && ++count === 1;
    const headers = { "Access-Control-Allow-Origin": "*" };
    if (isFirst) await route.fulfill({ status: 404, headers });
    else await route.continue();
  });
  await shop.press();
  await shop.says("failed: HTTP_404");
  await shop.press();
  await shop.says("row 1");
  assertEquals(new Set(await shop.keys()).size, 1);
});

Deno.test("a form that is given the next key of a queue leaves the attempt of the one before", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  const wanted = { waits: true };
  await shop.load("plain", { resumes: "idem_first-of-queue", wanted });
  await shop.submitAtOnce(1);
  await shop.says("selling");
  await shop.change({ resumes: "idem_second-of-queue" });
  await shop.says("nothing yet");
  await shop.page.getByText("idem_second-of-queue").waitFor();
  await shop.submitAtOnce(1);
  await shop.says("row 2");
  await shop.answers(functions.finish);
  assertEquals(functions.rows("protected"), 2);
  assertEquals(await shop.keys(), [
    "idem_first-of-queue",
    "idem_second-of-queue",
  ]);
});

Deno.test("what a part of the form submits when it comes to edit another thing is that thing's attempt", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("unasked", { name: "item:1", wanted: { loses: 1 } });
  await shop.says("failed: lost");
  await shop.change({ name: "item:2" }, "unasked");
  await shop.says("row 2");
  assertNotEquals(...await shop.keys() as [string, string]);
});

Deno.test("useActionState, whose button it disables, makes one sale of a double click, and goes on after a lost answer", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("action", { wanted: { takesMs: 700, loses: 1 } });
  for (const text of ["failed: lost", "row 1"]) {
    await shop.page.getByRole("button", { name: "Sell" }).dblclick();
    await shop.says(text);
  }
  const keys = await shop.keys();
  assertEquals([keys.length, new Set(keys).size], [2, 1]);
  await shop.press();
  await shop.says("row 2");
});

Deno.test("TanStack Query's useMutation retries under the one key of the attempt", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("queried", { wanted: { loses: 2 }, retry: 3 });
  await shop.press();
  await shop.says("row 1");
  assertEquals(functions.rows("protected"), 1);
  const keys = await shop.keys();
  assertEquals([keys.length, new Set(keys).size], [3, 1]);
  await shop.press();
  await shop.says("row 2");
});

Deno.test("TanStack Query's useMutation, pressed again and again, makes one sale", async () => {
  await using functions = await twoFunctions();
  await using shop = await form(functions);
  await shop.load("queried", { wanted: { takesMs: 150 } });
  await shop.submitAtOnce(5);
  await shop.says("row 1");
  assertEquals([functions.rows("protected"), (await shop.keys()).length], [
    1,
    1,
  ]);
});
