import { assertEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { assertNoComplaints, withBrowser } from "../support/browser.ts";
import {
  holdAnswer,
  loseAnswer,
  openForm,
  pressFiveTimes,
  ready,
  userOf,
} from "../support/forms.ts";
import { inspectEverywhere } from "../support/inspect_page.ts";
import { withStack } from "../support/stack.ts";

const stack = withStack();
const visit = withBrowser();

const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true };
const EVENTS = "**/functions/v1/events*";

async function eventsOf(page: Page) {
  return await stack().sql<{ title: string; cost: number }>(
    `select title, cost from public.events where user_id = $1
    order by created_at`,
    [await userOf(page, stack())],
  );
}

const says = (page: Page, text: string | RegExp) =>
  page.locator("#message").getByText(text).waitFor();

const cards = (page: Page) => page.locator("#events li");

async function buy(page: Page, balance: number) {
  await page.getByRole("button", { name: "Get 25 credits" }).click();
  await page.locator("#balance").getByText(`${balance}`, { exact: true })
    .waitFor();
}

Deno.test("nobody can type or press before the page has opened its attempt", async () => {
  await using visitor = await visit();
  const held = Promise.withResolvers<void>();
  await visitor.context.route("**/auth/v1/signup", async (route) => {
    await held.promise;
    await route.continue();
  });
  for (const path of ["/events", "/till"]) {
    const page = await visitor.open(stack().apiUrl + path);
    const enabled = page.locator(
      "#form :is(input, select, button):enabled",
    );
    assertEquals(await enabled.count(), 0, path);
  }
  held.resolve();
});

for (
  const [device, options] of [["desk", undefined], ["phone", PHONE]] as const
) {
  Deno.test(`a double click makes one event, on a ${device}`, async () => {
    await using visitor = await visit(options);
    const page = await openForm(visitor, stack(), "/events");
    await page.getByLabel("Title").fill("Party");
    await page.getByRole("button", { name: "Create event" }).dblclick();
    await says(page, "Created “Party” for 0 credits.");
    await cards(page).getByText("Party").waitFor();
    assertEquals((await eventsOf(page)).length, 1);
    assertEquals(await page.getByLabel("Title").inputValue(), "");
    assertNoComplaints(visitor);
  });
}

Deno.test("while an event is on its way its fields and buttons are disabled, and pressing goes nowhere", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/events");
  const held = Promise.withResolvers<void>();
  let sent = 0;
  await page.route(EVENTS, async (route) => {
    if (route.request().method() === "POST") {
      sent++;
      await held.promise;
    }
    await route.continue();
  });
  await page.getByLabel("Title").fill("Party");
  await page.getByRole("button", { name: "Create event" }).click();
  const sending = page.getByRole("button", { name: "Sending …" });
  await sending.waitFor();
  assertEquals(await sending.isDisabled(), true);
  assertEquals(await page.getByLabel("Title").isDisabled(), true);
  await pressFiveTimes(page);
  held.resolve();
  await says(page, "Created “Party”");
  assertEquals([sent, (await eventsOf(page)).length], [1, 1]);
});

Deno.test("an answer that is lost is asked for again, and there is one event", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/events");
  await loseAnswer(page, EVENTS);
  await page.getByLabel("Title").fill("Party");
  await page.getByRole("button", { name: "Create event" }).click();
  await says(page, "Created “Party”");
  assertEquals((await eventsOf(page)).length, 1);
});

Deno.test("what a gateway answers in the function's place is told, and the same press goes on", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/events");
  await page.getByLabel("Title").fill("Tasting");
  const keys: (string | undefined)[] = [];
  for (
    const [status, text] of [[502, "No answer yet"], [404, "said 404"]] as const
  ) {
    await page.route(EVENTS, async (route) => {
      if (route.request().method() === "GET") return await route.fallback();
      keys.push(route.request().headers()["idempotency-key"]);
      await route.fulfill({
        status,
        // Longer than the client waits.
        headers: { "Content-Type": "text/html", "Retry-After": "1000" },
        body: "<h1>Not today</h1>",
      });
    });
    await page.locator("#submit").click();
    await says(page, text);
    await page.unroute(EVENTS);
  }
  await page.locator("#submit").click();
  await says(page, "Created");
  assertEquals([keys[1], (await eventsOf(page)).length], [keys[0], 1]);
});

Deno.test("a page that is reloaded before the answer finds its event, and not another", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/events");
  await page.getByLabel("Title").fill("Party");
  const held = await holdAnswer(page, EVENTS);
  await page.getByRole("button", { name: "Create event" }).click();
  await held.done;
  assertEquals((await eventsOf(page)).length, 1);
  await page.reload();
  await says(page, "Created “Party”");
  await ready(page);
  assertEquals((await eventsOf(page)).length, 1);
});

Deno.test("what costs credits is asked about, over a reload too; declined it costs nothing, agreed to it is paid for once", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/events");
  await buy(page, 25);
  await page.getByLabel("Title").fill("Wedding");
  await page.getByLabel("Participants").fill("30");
  const create = page.getByRole("button", { name: "Create event" });
  await create.dblclick();
  const dialog = page.getByRole("dialog", { name: "This costs credits" });
  await dialog.getByText("it costs 10 credits, you have 25").waitFor();
  await inspectEverywhere(page, "events-question");
  await dialog.getByRole("button", { name: "Not now" }).click();
  await dialog.waitFor({ state: "hidden" });
  assertEquals(await eventsOf(page), []);
  await create.click();
  await dialog.waitFor();
  await page.reload();
  await dialog.waitFor();
  await loseAnswer(page, EVENTS);
  await dialog.getByRole("button", { name: "Pay 10 credits" }).dblclick();
  await says(page, "Created “Wedding” for 10 credits.");
  assertEquals(await eventsOf(page), [{ title: "Wedding", cost: 10 }]);
  await page.locator("#balance").getByText("15", { exact: true }).waitFor();
});

Deno.test("without credits it says so, and once there are some the same press goes through", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/events");
  await page.getByLabel("Title").fill("Wedding");
  await page.getByLabel("Participants").fill("25");
  const create = page.getByRole("button", { name: "Create event" });
  await create.click();
  await says(
    page,
    "This costs 5 credits, and you have 0: get more, then press again.",
  );
  const pay = page.getByRole("button", { name: "Pay 5 credits" });
  assertEquals(await pay.isVisible(), false);
  await buy(page, 25);
  await create.click();
  // Spent elsewhere before the question is answered.
  await pay.waitFor();
  await stack().sql(
    "update public.credit_balances set balance = 4 where user_id = $1",
    [await userOf(page, stack())],
  );
  await pay.click();
  await says(
    page,
    "Too few credits. This costs 5 credits, and you have 4; get more, then send the same request with the same key",
  );
  await buy(page, 29);
  await create.click();
  await pay.click();
  await says(page, "Created “Wedding” for 5 credits.");
});

Deno.test("an event is edited once, asks where it comes to cost more, is cancelled and archived", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/events");
  await buy(page, 25);
  await page.getByLabel("Title").fill("Party");
  await page.getByRole("button", { name: "Create event" }).click();
  await says(page, "Created “Party”");
  await page.getByRole("button", { name: "Edit “Party”" }).click();
  await page.getByLabel("Title").fill("Ball");
  await page.getByLabel("Participants").fill("21");
  await page.getByRole("button", { name: "Save" }).dblclick();
  await page.getByRole("button", { name: "Pay 1 credit" }).click();
  await says(page, "Saved “Ball” for 1 credit.");
  await inspectEverywhere(page, "events");
  assertEquals(await eventsOf(page), [{ title: "Ball", cost: 1 }]);
  await page.getByRole("button", { name: "Cancel “Ball”" }).click();
  await cards(page).getByText("cancelled").waitFor();
  await page.getByRole("button", { name: "Archive “Ball”" }).click();
  await page.getByText("None yet.").waitFor();
  assertNoComplaints({
    ...visitor,
    // The question is an answer of 409, which the browser notes down.
    complaints: visitor.complaints.filter((text) => !text.includes("409")),
  });
});

Deno.test("who edits the title of an event in the hour that the clocks go back over moves it by no second", async () => {
  await using visitor = await visit({ timezoneId: "Europe/Berlin" });
  const page = await openForm(visitor, stack(), "/events");
  await page.getByLabel("Title").fill("Party");
  await page.getByRole("button", { name: "Create event" }).click();
  await says(page, "Created “Party”");
  const user = await userOf(page, stack());
  const startOf = async () => {
    const [event] = await stack().sql<{ start: string }>(
      `select to_char(starts_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')
        as start from public.events where user_id = $1`,
      [user],
    );
    return event!.start;
  };
  const second = "2026-10-25 01:30:30";
  await stack().sql(
    "update public.events set starts_at = $2::text::timestamptz where user_id = $1",
    [user, `${second}Z`],
  );
  await page.reload();
  await page.getByRole("button", { name: "Edit “Party”" }).click();
  const start = page.getByLabel("Starts at");
  assertEquals(await start.inputValue(), "2026-10-25T02:30");
  await page.getByLabel("Title").fill("Ball");
  await page.getByRole("button", { name: "Save" }).click();
  await says(page, "Saved “Ball”");
  assertEquals(await startOf(), second);
  await page.getByRole("button", { name: "Edit “Ball”" }).click();
  await start.fill("2026-10-26T02:30");
  await page.getByRole("button", { name: "Save" }).click();
  await cards(page).getByText("Oct 26").waitFor();
  assertEquals(await startOf(), "2026-10-26 01:30:00");
});

Deno.test("somebody else's edit in between is told, and nothing is overwritten", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/events");
  await page.getByLabel("Title").fill("Party");
  await page.getByRole("button", { name: "Create event" }).click();
  await says(page, "Created “Party”");
  await page.getByRole("button", { name: "Edit “Party”" }).click();
  await stack().sql(
    "update public.events set title = 'Theirs', version = 2 where user_id = $1",
    [await userOf(page, stack())],
  );
  await page.getByLabel("Title").fill("Mine");
  await page.getByRole("button", { name: "Save" }).click();
  await says(page, "Event changed meanwhile");
  await page.getByRole("button", { name: "Edit “Theirs”" }).waitFor();
  assertEquals((await eventsOf(page))[0]!.title, "Theirs");
});

Deno.test("two tabs hold one attempt: what one sends the other shows, and there is one event", async () => {
  await using visitor = await visit();
  const page = await openForm(visitor, stack(), "/events");
  const other = await openForm(visitor, stack(), "/events");
  await page.getByLabel("Title").fill("Party");
  await other.waitForFunction(
    `document.getElementById("title").value === "Party"`,
  );
  await Promise.all([pressFiveTimes(page), pressFiveTimes(other)]);
  for (const tab of [page, other]) {
    await tab.locator("#title:enabled").waitFor();
  }
  await cards(page).getByText("Party").waitFor();
  assertEquals((await eventsOf(page)).length, 1);
});
