import { assert, assertEquals } from "@std/assert";
import {
  assertHeadIsGet,
  type Call,
  call as callAny,
} from "../../support/call.ts";
import {
  loseAnswer,
  loseCall,
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

const call = (who: Subscriber, { query = "", ...init }: Call & {
  query?: string;
} = {}) => callAny(stack(), who, `events${query}`, init);

const create = (who: Subscriber, key: string, body: unknown = party) =>
  call(who, { body, key });

const confirm = (who: Subscriber, key: string, body: unknown = party) =>
  call(who, { body, key, query: "?confirm_credit=1" });

Deno.test("an event that the plan includes is created, for nothing", async () => {
  const ada = await subscribe(stack(), { included: 1, cost: 5, credits: 9 });
  const answer = await create(ada, unique("key"), {
    title: "  Summer party 🎉 ",
    startsAt: "2027-06-01T20:00:00+02:00",
    location: "Roof",
    description: "Bring a friend",
  });
  assertEquals([answer.status, answer.replayed], [201, false]);
  assertEquals(answer.headers.get("x-idempotency-stored"), "true");
  const { id, createdAt, ...event } = answer.body.event;
  assertEquals(event, {
    title: "Summer party 🎉",
    startsAt: "2027-06-01T18:00:00+00:00",
    location: "Roof",
    description: "Bring a friend",
    participants: 1,
    cost: 0,
    version: 1,
    cancelledAt: null,
    archivedAt: null,
  });
  assertEquals([answer.body.cost, answer.body.balance], [0, 9]);
  const { data } = await ada.client.from("events").select().throwOnError();
  assertEquals(
    data.map((row) => [row.id, row.created_at, row.user_id]),
    [[id, createdAt, ada.userId]],
  );
});

Deno.test("a new user is on the free plan, which includes three events a month", async () => {
  const ada = await signUp(stack());
  for (let n = 0; n < 3; n++) {
    assertEquals((await create(ada, unique("key"))).status, 201);
  }
  const fourth = await create(ada, unique("key"));
  assertEquals(
    [fourth.status, fourth.body.cost, fourth.body.balance],
    [409, 5, 0],
  );
});

Deno.test("beyond the plan an event is a question: what it costs, what there is, and nothing done", async () => {
  const ada = await subscribe(stack(), { included: 0, cost: 5, credits: 9 });
  const key = unique("key");
  for (let n = 0; n < 3; n++) {
    const { status, headers, body, replayed } = await create(ada, key);
    assertEquals([status, replayed], [409, false]);
    assertEquals(headers.get("content-type"), "application/problem+json");
    assertEquals(headers.get("x-idempotency-stored"), null);
    const { code, cost, balance, currency, retryable, instance } = body;
    assertEquals(
      { code, cost, balance, currency, retryable, instance },
      {
        code: "CREDIT_CONFIRMATION_REQUIRED",
        cost: 5,
        balance: 9,
        currency: "credits",
        retryable: false,
        instance: "/events",
      },
    );
  }
  assertEquals(await books(ada), {
    events: 0,
    cost: 0,
    spends: [],
    balance: 9,
    sum: 9,
  });
});

Deno.test("the confirmation with the same key creates the event and spends once, and is what both are answered from then on", async () => {
  const ada = await subscribe(stack(), { included: 0, cost: 5, credits: 9 });
  const key = unique("key");
  assertEquals((await create(ada, key)).status, 409);
  const confirmed = await confirm(ada, key);
  assertEquals([confirmed.status, confirmed.replayed], [201, false]);
  assertEquals(confirmed.headers.get("x-idempotency-stored"), "true");
  assertEquals([confirmed.body.cost, confirmed.body.balance], [5, 4]);
  for (const again of [confirm, create, confirm]) {
    const { status, replayed, body } = await again(ada, key);
    assertEquals([status, replayed, body], [201, true, confirmed.body]);
  }
  assertEquals(await books(ada), {
    events: 1,
    cost: 5,
    spends: [-5],
    balance: 4,
    sum: 4,
  });
});

Deno.test("a confirmation agrees to a price and asks for none: what the plan includes stays free", async () => {
  const ada = await subscribe(stack(), { included: 1, cost: 5, credits: 9 });
  const included = await confirm(ada, unique("key"));
  assertEquals([included.status, included.body.cost], [201, 0]);
  const paid = await confirm(ada, unique("key"));
  assertEquals([paid.status, paid.body.cost], [201, 5]);
  const declined = await call(ada, {
    body: party,
    key: unique("key"),
    query: "?confirm_credit=0",
  });
  assertEquals(declined.status, 409);
  assertEquals((await books(ada)).spends, [-5]);
});

Deno.test("a price that has risen since it was told is a question again, to whoever says what was told", async () => {
  const ada = await subscribe(stack(), { included: 0, cost: 6, credits: 20 });
  const key = unique("key");
  const upTo = (max: number) =>
    call(ada, {
      body: party,
      key,
      query: `?confirm_credit=1&max_cost=${max}`,
    });
  const risen = await upTo(5);
  assertEquals([risen.status, risen.body.cost], [409, 6]);
  assertEquals((await books(ada)).spends, []);
  const agreed = await upTo(risen.body.cost);
  assertEquals([agreed.status, agreed.body.cost], [201, 6]);
});

Deno.test("too few credits are no outcome: topped up, the same key creates the event", async () => {
  const ada = await subscribe(stack(), { included: 0, cost: 5, credits: 4 });
  const key = unique("key");
  const { status, headers, body } = await confirm(ada, key);
  assertEquals(
    [status, body.code, body.cost, body.balance, body.currency],
    [402, "TOO_FEW_CREDITS", 5, 4, "credits"],
  );
  assertEquals(headers.get("x-idempotency-stored"), null);
  assertEquals(await books(ada), {
    events: 0,
    cost: 0,
    spends: [],
    balance: 4,
    sum: 4,
  });
  await grant(stack(), ada, 1);
  const paid = await confirm(ada, key);
  assertEquals([paid.status, paid.body.balance], [201, 0]);
});

Deno.test("two tabs that confirm one question at once get 201 and 409, and spend once", async () => {
  const ada = await subscribe(stack(), { included: 0, cost: 5, credits: 99 });
  const key = unique("key");
  await create(ada, key);
  const tab = () => confirm(ada, key);
  const answers = await overlapping("rpc/create_event", [tab, tab]);
  assertEquals(answers.map(({ status }) => status).sort(), [201, 409]);
  const loser = answers.find(({ status }) => status === 409)!;
  assertEquals(loser.body.code, "REQUEST_IN_PROGRESS");
  assert(Number(loser.headers.get("retry-after")) >= 1);
  const winner = answers.find(({ status }) => status === 201)!;
  assertEquals((await confirm(ada, key)).body, winner.body);
  assertEquals((await books(ada)).spends, [-5]);
});

Deno.test("two intentions confirmed at once are two events, as far as the credits go", async () => {
  const cases = [
    { credits: 10, statuses: [201, 201], spends: [-5, -5] },
    { credits: 9, statuses: [201, 402], spends: [-5] },
  ];
  for (const { credits, statuses, spends } of cases) {
    const ada = await subscribe(stack(), { included: 0, cost: 5, credits });
    const answers = await Promise.all(
      [1, 2].map(() => confirm(ada, unique("key"))),
    );
    assertEquals(answers.map(({ status }) => status).sort(), statuses);
    assertEquals(await books(ada), {
      events: spends.length,
      cost: 5 * spends.length,
      spends,
      balance: credits - 5 * spends.length,
      sum: credits - 5 * spends.length,
    });
  }
});

Deno.test("an event whose answer is lost on the way from the database is not created again", async () => {
  const ada = await subscribe(stack(), { included: 0, cost: 5, credits: 99 });
  const key = unique("key");
  const lost = await withDisturbed(
    "rpc/create_event",
    loseAnswer,
    () => confirm(ada, key),
  );
  assertEquals(
    [lost.status, lost.body.code, lost.body.retryable],
    [503, "DATABASE_UNAVAILABLE", true],
  );
  assertEquals((await books(ada)).spends, [-5]);
  const retry = await confirm(ada, key);
  assertEquals([retry.status, retry.replayed], [201, false]);
  assertEquals([retry.body.cost, retry.body.balance], [5, 94]);
  const { events, spends } = await books(ada);
  assertEquals([events, spends], [1, [-5]]);
});

Deno.test("a worker that dies between the event and its record leaves one event, whoever takes over", async () => {
  const ada = await subscribe(stack(), { included: 0, cost: 5, credits: 99 });
  const key = unique("key");
  const unrecorded = await withDisturbed(
    "rpc/idempotency_complete",
    loseCall,
    () => confirm(ada, key),
  );
  assertEquals(unrecorded.headers.get("x-idempotency-stored"), null);
  const { length } = await stack().sql(
    `update public.idempotency_keys
      set lease_expires_at = now() - interval '1 second'
      where idempotency_key = $1 and status = 'processing' returning fence`,
    [key],
  );
  assertEquals(length, 1);
  // Not even confirmed: what is there has been paid for.
  const { status, replayed, body } = await create(ada, key);
  assertEquals([status, replayed, body], [201, false, unrecorded.body]);
  const { events, spends } = await books(ada);
  assertEquals([events, spends], [1, [-5]]);
});

Deno.test("the months are counted apart, and what was paid for does not use up the plan", async () => {
  const ada = await subscribe(stack(), { included: 2, cost: 5, credits: 99 });
  const statuses = async () => {
    const answers = [];
    for (let n = 0; n < 3; n++) answers.push(await create(ada, unique("key")));
    return answers.map(({ status }) => status);
  };
  assertEquals(await statuses(), [201, 201, 409]);
  const changed = await stack().sql(
    `update public.events set created_at = created_at - interval '1 month'
      where user_id = $1 returning id`,
    [ada.userId],
  );
  assertEquals(changed.length, 2);
  await stack().sql(
    `insert into public.events
        (user_id, request_id, title, starts_at, cost, is_included)
      values ($1, 'paid', 'Paid', now(), 5, false)`,
    [ada.userId],
  );
  assertEquals(await statuses(), [201, 201, 409]);
});

Deno.test("events are listed newest first, as many as asked for, and only one's own", async () => {
  const [ada, ben] = [await signUp(stack()), await signUp(stack())];
  for (const title of ["one", "two", "three"]) {
    await create(ada, unique("key"), { ...party, title });
  }
  const titles = async (who: Subscriber, query = "") => {
    const { status, headers, body } = await call(who, { method: "GET", query });
    assertEquals([status, headers.get("cache-control")], [200, "no-store"]);
    return body.events.map(({ title }: { title: string }) => title);
  };
  assertEquals(await titles(ada), ["three", "two", "one"]);
  assertEquals(await titles(ada, "?limit=2"), ["three", "two"]);
  assertEquals(await titles(ben), []);
  await assertHeadIsGet(stack(), ada, "events?limit=2");
});

Deno.test("the same key is two users' two keys", async () => {
  const key = unique("key");
  const request = { included: 0, cost: 5, credits: 5 };
  const [ada, ben] = [
    await subscribe(stack(), request),
    await subscribe(stack(), request),
  ];
  const [adas, bens] = [await confirm(ada, key), await confirm(ben, key)];
  assertEquals([adas.status, bens.status, bens.replayed], [201, 201, false]);
  assert(adas.body.event.id !== bens.body.event.id);
  for (const who of [ada, ben]) {
    assertEquals((await books(who)).spends, [-5]);
  }
});

Deno.test("the same key with another event is refused, after a question too", async () => {
  const ada = await subscribe(stack(), { included: 0, cost: 5, credits: 99 });
  const key = unique("key");
  await create(ada, key);
  const other = await confirm(ada, key, { ...party, title: "Other" });
  assertEquals(
    [other.status, other.body.code],
    [422, "IDEMPOTENCY_KEY_REUSED"],
  );
  assertEquals((await books(ada)).events, 0);
});
