import { assertEquals, assertMatch } from "@std/assert";
import type { Page } from "playwright-core";
import { call, formWith } from "../support/call.ts";
import { assertNoComplaints, withBrowser } from "../support/browser.ts";
import { inspectEverywhere } from "../support/inspect_page.ts";
import { letLeaseLapse, loseAnswer } from "../support/ledger_row.ts";
import { effects, probe, unique } from "../support/probe.ts";
import { signUp, withStack } from "../support/stack.ts";

const stack = withStack();
const visit = withBrowser();

const open = async (page: Page, hash = "") => {
  await page.goto(`${stack().apiUrl}/ops`);
  if (hash !== "") await page.goto(`${stack().apiUrl}/ops/#${hash}`);
};
const requests = (page: Page) => page.locator("#requests-table tbody tr");

Deno.test("the operators' page shows a stuck key, and records how it ended", async () => {
  const key = unique("stuck");
  const ada = await signUp(stack());
  const body = formWith("A label.", "label.txt");
  await call(stack(), ada, "process-document", { body, key });
  await loseAnswer(stack(), key);

  await using visitor = await visit();
  const page = await visitor.open(`${stack().apiUrl}/ops`);
  const stuck = page.locator("#stuck-list li").filter({ hasText: key });
  await stuck.waitFor();
  await requests(page).filter({ hasText: key }).waitFor();
  await inspectEverywhere(page, "ops");
  const age = /stuck for \d+ s/.exec(await stuck.innerText())![0];
  await stuck.filter({ hasNotText: age }).waitFor();

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

Deno.test("by keyboard alone, a key is searched, and its story read: attempts, steps, trace, answer", async () => {
  const key = unique("story");
  const ada = await signUp(stack());
  const ask = () =>
    probe(stack(), ada, {
      key,
      body: { effect: key, steps: ["reserve"], body: '{"order":"o_1"}' },
      config: {
        metadata: {
          traceId: "4bf92f3577b34da6",
          cart: 12,
          resolution: "4K",
          resolved_at: "2026-01-01",
        },
      },
    });
  await (await ask()).body?.cancel();
  await loseAnswer(stack(), key);
  const again = await ask();
  assertEquals([again.status, await again.json()], [200, { order: "o_1" }]);
  assertEquals(await effects(stack(), key), 2);

  await using visitor = await visit();
  const page = await visitor.open(`${stack().apiUrl}/ops`);
  const { keyboard } = page;
  await page.locator("#overview").waitFor();
  await keyboard.press("Tab");
  await page.locator("#find:focus").waitFor();
  await keyboard.type(key);
  await keyboard.press("Enter");
  await page.locator("#requests-title:focus").waitFor();
  await page.getByText("These are all.").waitFor();
  assertEquals(await requests(page).count(), 1);
  await requests(page).getByRole("link").focus();
  await keyboard.press("Enter");
  await page.locator("#story-title:focus").waitFor();
  const story = page.locator("#story-content");
  await story.getByText("4bf92f3577b34da6").waitFor();
  const text = await story.innerText();
  for (
    const part of [
      "completed 200",
      "crashed with 1 step done",
      "answered after",
      "reserve",
      `"order": "o_1"`,
      `"cart": 12`,
      `"resolution": "4K"`,
      `"resolved_at": "2026-01-01"`,
      ada.userId,
    ]
  ) assertEquals(text.includes(part), true, `${part} is not in ${text}`);
  assertEquals(await story.locator("ol li").count(), 2);
  await inspectEverywhere(page, "ops-story");

  await page.goBack();
  await page.locator("#requests-title:focus").waitFor();
  const other = unique("later");
  await page.locator("#find").fill(other);
  await keyboard.press("Enter");
  await page.locator("#requests-end").getByText("None.").waitFor();
  await (await probe(stack(), ada, { key: other })).body?.cancel();
  await stack().sql(
    `update public.idempotency_keys set completed_at = claimed_at - interval '1 hour'
     where idempotency_key = $1`,
    [other],
  );
  await page.locator("#find").press("Enter");
  const found = requests(page).filter({ hasText: other });
  // Its clock was put back in between.
  await found.getByText(/^0 ms$/).waitFor();
  assertNoComplaints(visitor);
});

Deno.test("a stuck key is resolved out of its story, with the answer that retries are to get", async () => {
  const key = unique("told");
  const ada = await signUp(stack());
  const ask = () => probe(stack(), ada, { key, body: { effect: key } });
  await (await ask()).body?.cancel();
  await loseAnswer(stack(), key);

  await using visitor = await visit();
  const page = await visitor.open(`${stack().apiUrl}/ops`);
  await page.locator("#stuck-list").getByRole("link", { name: key }).click();
  const story = page.locator("#story-content");
  await story.getByRole("button", { name: "It took effect" }).click();
  await page.getByLabel("Status of the answer").fill("201");
  await page.getByLabel("Body of the answer").fill(
    '{"order":9007199254740993}',
  );
  await page.getByLabel("Note").fill("found at the provider");
  await page.getByRole("button", { name: "Record as completed" }).click();
  await story.getByText("completed 201").waitFor();
  await story.getByText("found at the provider").waitFor();
  await story.getByText('"order": 9007199254740993').waitFor();
  const replay = await ask();
  assertEquals(
    [replay.status, await replay.text()],
    [201, '{"order":9007199254740993}'],
  );
  assertEquals(await effects(stack(), key), 1);
  assertNoComplaints(visitor);
});

Deno.test("an answer that comes too late is not said to be recorded: the key has failed meanwhile", async () => {
  const key = unique("late");
  const ada = await signUp(stack());
  const response = await probe(stack(), ada, {
    key,
    body: { effect: key },
    config: { metadata: { traceId: { of: "the project's own" } } },
  });
  await response.body?.cancel();
  await loseAnswer(stack(), key);

  await using visitor = await visit();
  const page = await visitor.open(`${stack().apiUrl}/ops`);
  const stuck = page.locator("#stuck-list li").filter({ hasText: key });
  assertEquals((await stuck.innerText()).includes("[object"), false);
  await stuck.getByRole("button", { name: "It took effect" }).click();
  await page.getByLabel("Body of the answer").fill("found");
  await stack().sql(
    `select public.idempotency_resolve(owner, scope, idempotency_key, 'failed')
     from public.idempotency_keys where idempotency_key = $1`,
    [key],
  );
  await page.getByRole("button", { name: "Record as completed" }).click();
  await page.locator("#resolve-trouble").getByText("It has failed meanwhile")
    .waitFor();
  assertEquals(await page.getByLabel("Body of the answer").isVisible(), true);
  assertNoComplaints(visitor);
});

Deno.test("whoever is on a button of a stuck key stays on that key's, whatever the others are called", async () => {
  const scope = unique("alike");
  const stick = async (scope: string, key: string) => {
    await stack().sql(
      `select public.idempotency_claim('', $1, $2, repeat('a', 64), gen_random_uuid(), 30, 3600)`,
      [scope, key],
    );
    await letLeaseLapse(stack(), key);
  };
  const [first, second] = [`${scope}-1`, "1-order"];
  await stick(scope, second);
  await stick(first, "order");
  await using visitor = await visit();
  const page = await visitor.open(`${stack().apiUrl}/ops`);
  const button = page.getByRole("button", { name: `order in ${first}` }).last();
  await button.focus();
  await stick(scope, "another");
  await page.locator("#stuck-list").getByText("another").waitFor();
  assertEquals(
    await page.evaluate("document.activeElement.ariaLabel"),
    `It did not: order in ${first}`,
  );
  assertNoComplaints(visitor);
});

Deno.test("a request is listed once, however late the first list comes", async () => {
  const key = unique("once");
  const ada = await signUp(stack());
  await (await probe(stack(), ada, { key })).body?.cancel();
  await using visitor = await visit();
  const page = await visitor.open(`${stack().apiUrl}/ops`);
  await page.locator("#overview").waitFor();
  const first = Promise.withResolvers<void>();
  let lists = 0;
  await page.route(/api\/recent/, async (route) => {
    if (++lists === 1) await first.promise;
    await route.continue();
  });
  const scope = await requests(page).filter({ hasText: key }).locator("td")
    .first().innerText();
  await Promise.all([
    page.waitForResponse(/api\/statistics/),
    page.locator("#scope").selectOption(scope),
  ]);
  await page.waitForTimeout(200);
  await Promise.all([page.waitForResponse(/api\/recent/), first.resolve()]);
  await page.getByText("These are all.").waitFor();
  assertEquals(await requests(page).filter({ hasText: key }).count(), 1);
  assertNoComplaints(visitor);
});

Deno.test("scope, time, status and user narrow what is shown, an hour of the chart too, and back goes back", async () => {
  const scope = unique("narrow");
  // Fences grow with time: nothing may have been claimed before what follows, and
  // be younger than it.
  await stack().sql("delete from public.idempotency_keys");
  await stack().sql(
    `insert into public.idempotency_keys (
       owner, scope, idempotency_key, request_fingerprint, status, owner_token,
       status_code, response_encoding, error_message, created_at, claimed_at, completed_at, expires_at
     )
     select
       case when n = 7 then 'clerk_7' else '' end, $1, 'narrow-' || n, repeat('a', 64),
       case when n = 5 then 'failed' else 'completed' end, gen_random_uuid(),
       case when n <> 5 then 200 end, case when n <> 5 then 'none' end,
       case when n = 5 then 'provider is down' end,
       t, t, t, now() + interval '1 day'
     from generate_series(1, 30) as n, lateral (select now() - (30 - n) * interval '20 minutes') as c (t)`,
    [scope],
  );
  await using visitor = await visit();
  const page = await visitor.open(`${stack().apiUrl}/ops`);
  const shows = async (count: number) => {
    await requests(page).nth(count).waitFor({ state: "detached" });
    await requests(page).nth(count - 1).waitFor();
  };
  await page.locator("#scope").selectOption(scope);
  await shows(20);
  await page.getByRole("button", { name: "Older" }).click();
  await shows(30);
  await page.locator("#hours").selectOption("6");
  await shows(18);
  // What is counted anew every few seconds must not take the focus away.
  const link = requests(page).getByRole("link").nth(3);
  await link.focus();
  await Promise.all([
    page.waitForResponse(/api\/recent/),
    // As when somebody comes back to the tab.
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))"),
  ]);
  await page.waitForTimeout(100);
  assertEquals(
    await page.evaluate("document.activeElement.textContent"),
    await link.innerText(),
  );
  await page.locator("#hours").selectOption("24");
  await page.locator("#status").selectOption("failed");
  await shows(1);
  await page.getByText("provider is down").waitFor();
  await page.locator("#status").selectOption("");
  await page.locator("#user").fill("clerk_7");
  await page.getByRole("button", { name: "Search" }).click();
  await shows(1);
  await page.getByRole("link", { name: "Show all" }).click();
  await shows(20);

  await Promise.all([
    page.waitForResponse(/api\/statistics/),
    page.goBack(),
  ]);
  await shows(1);
  assertMatch(page.url(), /user=clerk_7/);
  // The chart leads on from where one is, however late its figures come.
  await page.route(/api\/statistics/, async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await route.continue();
  });
  await page.goBack();
  await shows(20);
  await page.locator("#scopes").getByRole("link", { name: scope }).waitFor();
  const executions = page.locator("#tiles").getByText("of 30 executions");
  await executions.waitFor();
  // Not by where it is: a chart that is drawn anew moves under the pointer.
  await page.locator("#chart a.hour").nth(21).dispatchEvent("click");
  await shows(3);
  await page.getByText("one hour").waitFor();
  assertNoComplaints(visitor);
});

Deno.test("a scope has its own figures, however many are busier", async () => {
  const scope = unique("quiet");
  // As where each organization has its scope.
  await stack().sql(
    `insert into idempotency.hours (hour, scope, executions)
     select date_trunc('hour', now(), 'UTC'), name, executions
     from (select 'busy-' || n, 1000 from generate_series(1, 1001) as n union all values ($1, 7)) as s (name, executions)`,
    [scope],
  );
  try {
    await using visitor = await visit();
    const page = await visitor.open(`${stack().apiUrl}/ops`);
    await open(page, `scope=${scope}`);
    await page.locator("#tiles").getByText("of 7 executions").waitFor();
    await page.locator("#scopes").getByRole("link", { name: scope }).waitFor();
    await page.getByText("The 50 busiest; “All” counts every one.").waitFor();
    assertNoComplaints(visitor);
  } finally {
    await stack().sql(
      "delete from idempotency.hours where scope = $1 or scope ~ '^busy-'",
      [scope],
    );
  }
});

Deno.test("a key is found behind more requests than one look takes, as is that it is not there", async () => {
  const insert = (scope: string, count: number) =>
    stack().sql(
      `insert into public.idempotency_keys (
         owner, scope, idempotency_key, request_fingerprint, status, owner_token,
         status_code, response_encoding, completed_at, expires_at
       )
       select '', $1::text, $1::text || '-' || n, repeat('a', 64), 'completed', gen_random_uuid(),
         200, 'none', now(), now() + interval '1 day'
       from generate_series(1, $2::int) as n`,
      [scope, count],
    );
  const scope = unique("deep");
  await insert(scope, 1);
  await insert("bulk", 20_100);
  try {
    await using visitor = await visit();
    const page = await visitor.open(`${stack().apiUrl}/ops`);
    const search = async (key: string) => {
      await page.locator("#find").fill(key);
      await page.locator("#find").press("Enter");
    };
    await page.locator("#overview").waitFor();
    await search(`${scope}-1`);
    await requests(page).filter({ hasText: `${scope}-1` }).waitFor();
    await page.locator("#requests-end").getByText("These are all.").waitFor();
    await search("not-there");
    await page.locator("#requests-end").getByText("None.").waitFor();
    assertEquals(await page.locator("#more").isVisible(), false);
    assertEquals(await page.locator("#stop").isVisible(), false);
    assertNoComplaints(visitor);
  } finally {
    await stack().sql(
      "delete from public.idempotency_keys where scope in ('bulk', $1)",
      [scope],
    );
  }
});

Deno.test("without the link of the server that runs, the page shows nothing but what to do", async () => {
  await using visitor = await visit();
  const page = await visitor.context.newPage();
  for (const hash of ["", "#token=of-an-earlier-start"]) {
    await page.goto("about:blank");
    await page.goto(`${stack().apiUrl}/ops/${hash}`);
    await page.getByRole("alert").getByText("open the one").waitFor();
    assertEquals(await page.locator("#main").isVisible(), false);
  }
  await open(page);
  await page.locator("#overview").waitFor();
  assertEquals(page.url(), `${stack().apiUrl}/ops/#`);
});
