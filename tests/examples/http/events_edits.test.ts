import { assertEquals } from "@std/assert";
import { type Call, call as callAny } from "../../support/call.ts";
import {
  loseAnswer,
  overlapping,
  withDisturbed,
} from "../../support/disturbed_calls.ts";
import { unique } from "../../support/probe.ts";
import { signUp, withStack } from "../../support/stack.ts";
import {
  books,
  grant,
  subscribe,
  type Subscriber,
} from "../../support/subscriber.ts";

const stack = withStack();

const party = { title: "Party", startsAt: "2026-12-24T18:00:00Z" };

const call = (who: Subscriber, path: string, init: Call = {}) =>
  callAny(stack(), who, `events${path}`, { key: unique("key"), ...init });

const get = (who: Subscriber, path: string) =>
  callAny(stack(), who, `events${path}`, { method: "GET" });

const edit = (who: Subscriber, id: string, body: unknown, init: Call = {}) =>
  call(who, `/${id}`, { method: "PATCH", body, ...init });

async function created(who: Subscriber, participants = 1) {
  const { status, body } = await call(who, "?confirm_credit=1", {
    body: { ...party, participants },
  });
  assertEquals(status, 201, body.detail);
  return body.event;
}

/** On a plan of events for ten people, each further one for two credits. */
const host = (credits = 0) =>
  subscribe(stack(), {
    included: 9,
    cost: 5,
    credits,
    participants: 10,
    participantCost: 2,
  });

Deno.test("participants beyond the plan are a question, and are paid for once with the event", async () => {
  const ada = await host(100);
  const key = unique("key");
  const body = { ...party, participants: 50 };
  const asked = await call(ada, "", { body, key });
  assertEquals(
    [asked.status, asked.body.code, asked.body.cost, asked.body.balance],
    [409, "CREDIT_CONFIRMATION_REQUIRED", 80, 100],
  );
  const query = "?confirm_credit=1&max_cost=80";
  const paid = await call(ada, query, { body, key });
  assertEquals(
    [paid.status, paid.body.cost, paid.body.balance],
    [201, 80, 20],
  );
  assertEquals(paid.body.event.participants, 50);
  assertEquals((await call(ada, query, { body, key })).replayed, true);
  assertEquals((await books(ada)).spends, [-80]);
});

Deno.test("an event beyond the month and the participants costs both; one that pays for participants alone uses up the plan", async () => {
  const ada = await subscribe(stack(), {
    included: 1,
    cost: 5,
    credits: 100,
    participants: 10,
    participantCost: 2,
  });
  assertEquals((await created(ada, 12)).cost, 4);
  assertEquals((await created(ada, 10)).cost, 5);
  assertEquals((await created(ada, 11)).cost, 7);
  assertEquals((await books(ada)).spends, [-7, -5, -4]);
});

Deno.test("an edit changes what it names, clears what is null, and counts the version up", async () => {
  const ada = await host();
  const { id } = await created(ada);
  const first = await edit(ada, id, {
    version: 1,
    title: "  Wedding ",
    location: "Roof",
    startsAt: "2027-06-01T20:00:00+02:00",
    participants: 10,
  });
  assertEquals([first.status, first.body.cost], [200, 0]);
  const { createdAt: _, ...event } = first.body.event;
  assertEquals(event, {
    id,
    title: "Wedding",
    startsAt: "2027-06-01T18:00:00+00:00",
    location: "Roof",
    description: null,
    participants: 10,
    cost: 0,
    version: 2,
    cancelledAt: null,
    archivedAt: null,
  });
  const second = await edit(ada, id, { version: 2, location: null });
  assertEquals(
    [second.body.event.location, second.body.event.title],
    [null, "Wedding"],
  );
  assertEquals((await get(ada, `/${id}`)).body.event, second.body.event);
});

Deno.test("an edit that comes to cost more is a question; confirmed it is made and paid for once", async () => {
  const ada = await host(9);
  const { id } = await created(ada);
  const key = unique("key");
  const body = { version: 1, participants: 14 };
  const send = (query = "") =>
    call(ada, `/${id}${query}`, { method: "PATCH", body, key });
  const asked = await send();
  assertEquals(
    [asked.status, asked.body.code, asked.body.cost],
    [409, "CREDIT_CONFIRMATION_REQUIRED", 8],
  );
  assertEquals((await get(ada, `/${id}`)).body.event.version, 1);
  assertEquals((await send("?confirm_credit=1&max_cost=7")).status, 409);
  const paid = await send("?confirm_credit=1&max_cost=8");
  assertEquals(
    [paid.status, paid.body.cost, paid.body.balance, paid.body.event.cost],
    [200, 8, 1, 8],
  );
  assertEquals(
    [(await send()).replayed, (await send("?confirm_credit=1")).replayed],
    [true, true],
  );
  assertEquals((await books(ada)).spends, [-8]);
});

Deno.test("too few credits for an edit are no outcome: topped up, the same key makes it", async () => {
  const ada = await host(7);
  const { id } = await created(ada);
  const key = unique("key");
  const send = () =>
    call(ada, `/${id}?confirm_credit=1`, {
      method: "PATCH",
      body: { version: 1, participants: 14 },
      key,
    });
  const refused = await send();
  assertEquals([refused.status, refused.body.code], [402, "TOO_FEW_CREDITS"]);
  await grant(stack(), ada, 1);
  assertEquals((await send()).status, 200);
});

Deno.test("fewer participants give nothing back, as many again cost nothing, and more cost the difference", async () => {
  const ada = await host(100);
  const { id } = await created(ada, 20);
  const costs = [];
  for (const [index, participants] of [5, 20, 10, 21, 21].entries()) {
    const { body } = await call(ada, `/${id}?confirm_credit=1`, {
      method: "PATCH",
      body: { version: index + 1, participants },
    });
    costs.push(body.cost);
  }
  assertEquals(costs, [0, 0, 0, 2, 0]);
  const { cost, spends } = await books(ada);
  assertEquals([cost, spends], [22, [-20, -2]]);
});

Deno.test("who edits a version that is no more is told which one there is, and changes nothing", async () => {
  const ada = await host();
  const { id } = await created(ada);
  const [mine, theirs] = await Promise.all(
    ["Mine", "Theirs"].map((title) => edit(ada, id, { version: 1, title })),
  );
  const answers = [mine!, theirs!].sort((a, b) => a.status - b.status);
  assertEquals(answers.map(({ status }) => status), [200, 409]);
  assertEquals(
    [answers[1]!.body.code, answers[1]!.body.version],
    ["EVENT_CHANGED", 2],
  );
  const { event } = (await get(ada, `/${id}`)).body;
  assertEquals(event, answers[0]!.body.event);
});

Deno.test("an edit whose answer is lost is not made again, and its retry is told of it after another edit too", async () => {
  const ada = await host(9);
  const { id } = await created(ada);
  const key = unique("key");
  const send = () =>
    call(ada, `/${id}?confirm_credit=1`, {
      method: "PATCH",
      body: { version: 1, participants: 14 },
      key,
    });
  const lost = await withDisturbed("rpc/update_event", loseAnswer, send);
  assertEquals([lost.status, lost.body.code], [503, "DATABASE_UNAVAILABLE"]);
  assertEquals((await edit(ada, id, { version: 2, title: "X" })).status, 200);
  const retry = await send();
  assertEquals(
    [retry.status, retry.body.cost, retry.body.event.title],
    [200, 8, "X"],
  );
  assertEquals((await books(ada)).spends, [-8]);
});

Deno.test("the retry of a creation whose answer is lost is told what that cost, also after an edit that cost more", async () => {
  const ada = await host(100);
  const key = unique("key");
  const create = () =>
    call(ada, "?confirm_credit=1", {
      body: { ...party, participants: 12 },
      key,
    });
  const lost = await withDisturbed("rpc/create_event", loseAnswer, create);
  assertEquals([lost.status, lost.body.code], [503, "DATABASE_UNAVAILABLE"]);
  const [event] = (await get(ada, "")).body.events;
  const edited = await call(ada, `/${event.id}?confirm_credit=1`, {
    method: "PATCH",
    body: { version: 1, participants: 20 },
  });
  assertEquals([edited.status, edited.body.cost], [200, 16]);
  const retry = await create();
  assertEquals(
    [retry.status, retry.body.cost, retry.body.event.cost],
    [201, 4, 20],
  );
  assertEquals((await books(ada)).spends, [-16, -4]);
});

Deno.test("two confirmations of one edit at once get 200 and 409, and spend once", async () => {
  const ada = await host(100);
  const { id } = await created(ada);
  const key = unique("key");
  const tab = () =>
    call(ada, `/${id}?confirm_credit=1`, {
      method: "PATCH",
      body: { version: 1, participants: 14 },
      key,
    });
  const answers = await overlapping("rpc/update_event", [tab, tab]);
  assertEquals(answers.map(({ status }) => status).sort(), [200, 409]);
  assertEquals((await books(ada)).spends, [-8]);
});

Deno.test("a cancelled event keeps its place and its credits, can be cancelled again, and edited no more", async () => {
  const ada = await host(100);
  const { id } = await created(ada, 20);
  const key = unique("key");
  const cancel = (key?: string) =>
    call(ada, `/${id}/cancel`, key === undefined ? {} : { key });
  const cancelled = await cancel(key);
  assertEquals([cancelled.status, cancelled.body.event.version], [200, 2]);
  assertEquals(typeof cancelled.body.event.cancelledAt, "string");
  assertEquals((await cancel(key)).replayed, true);
  assertEquals((await cancel()).body, cancelled.body);
  const edited = await edit(ada, id, { version: 2, title: "X" });
  assertEquals([edited.status, edited.body.code], [409, "EVENT_CANCELLED"]);
  assertEquals((await get(ada, "")).body.events.length, 1);
  assertEquals((await books(ada)).spends, [-20]);
});

Deno.test("an archived event is left out until it is asked for, is edited no more, and can be restored", async () => {
  const ada = await host();
  const { id } = await created(ada);
  const kept = await created(ada);
  const archived = await call(ada, `/${id}`, { method: "DELETE" });
  assertEquals(archived.status, 200);
  assertEquals(typeof archived.body.event.archivedAt, "string");
  const ids = async (query = "") => {
    const { body, headers } = await get(ada, query);
    return [
      body.events.map((event: { id: string }) => event.id),
      headers.get("x-archived-count"),
    ];
  };
  assertEquals(await ids(), [[kept.id], null]);
  assertEquals(await ids("?include_archived=true"), [[kept.id, id], "1"]);
  const hidden = await get(ada, `/${id}`);
  assertEquals([hidden.status, hidden.body.code], [404, "EVENT_ARCHIVED"]);
  const shown = await get(ada, `/${id}?include_archived=true`);
  assertEquals([shown.status, shown.body], [200, archived.body]);
  for (
    const refused of [
      await edit(ada, id, { version: 1, title: "X" }),
      await call(ada, `/${id}/cancel`),
    ]
  ) {
    assertEquals([refused.status, refused.body.code], [409, "EVENT_ARCHIVED"]);
  }
  const restored = await call(ada, `/${id}/restore`);
  assertEquals([restored.status, restored.body.event.archivedAt], [200, null]);
  assertEquals((await edit(ada, id, { version: 1, title: "X" })).status, 200);
});

Deno.test("somebody else's event is not found, by whatever route", async () => {
  const ada = await host();
  const eve = await signUp(stack());
  const { id } = await created(ada);
  for (
    const answer of [
      await get(eve, `/${id}`),
      await edit(eve, id, { version: 1, title: "Eve's" }),
      await call(eve, `/${id}`, { method: "DELETE" }),
      await call(eve, `/${id}/cancel`),
      await call(eve, `/${id}/restore`),
    ]
  ) {
    assertEquals([answer.status, answer.body.code], [404, "EVENT_NOT_FOUND"]);
  }
  const { data } = await eve.client.rpc("update_event", {
    p_event_id: id,
    p_request_id: "eve",
    p_version: 1,
    p_changes: { title: "Eve's" },
  }).throwOnError();
  assertEquals(data, { outcome: "not_found" });
  assertEquals((await get(ada, `/${id}`)).body.event.title, "Party");
});

Deno.test("an edit that is malformed, or has no key, changes nothing", async () => {
  const ada = await host(100);
  const { id } = await created(ada);
  for (
    const [body, query] of [
      [{ title: "X" }],
      [{ version: 1 }],
      [{ version: 0, title: "X" }],
      [{ version: 1, title: null }],
      [{ version: 1, title: "" }],
      [{ version: 1, participants: 0 }],
      [{ version: 1, participants: null }],
      [{ version: 1, cost: 0 }],
      [{ version: 1, title: "X" }, "?confirm_credit=2"],
    ] as const
  ) {
    const { status, body: said } = await call(ada, `/${id}${query ?? ""}`, {
      method: "PATCH",
      body,
    });
    assertEquals([status, said.code], [400, "REQUEST_INVALID"]);
  }
  for (const [path, method] of [["", "PATCH"], ["/cancel", "POST"]] as const) {
    const { status, body } = await callAny(
      stack(),
      ada,
      `events/${id}${path}`,
      {
        method,
        body: { version: 1, title: "X" },
      },
    );
    assertEquals([status, body.code], [400, "IDEMPOTENCY_KEY_MISSING"]);
  }
  // Past the function, by the same rules.
  for (const p_changes of [{ cost: 0 }, { user_id: ada.userId }]) {
    const { error } = await ada.client.rpc("update_event", {
      p_event_id: id,
      p_request_id: unique("request"),
      p_version: 1,
      p_changes,
    });
    assertEquals(error?.code, "22023");
  }
  assertEquals((await get(ada, `/${id}`)).body.event.version, 1);
});
