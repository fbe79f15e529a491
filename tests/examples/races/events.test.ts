import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import { withStack } from "../../support/stack.ts";
import {
  books,
  grant,
  subscribe,
  type Subscriber,
} from "../../support/subscriber.ts";
import { untilBlockedBy } from "../../support/until_blocked_by.ts";

const AT_ONCE = 50;
const ROUNDS = 2;

const stack = withStack();
let sql: postgres.Sql;

Deno.test.beforeAll(() => {
  sql = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: 4 });
});
Deno.test.afterAll(() => sql.end());

const create = (who: Subscriber, key: string, query = "") =>
  call(stack(), who, `events${query}`, {
    body: { title: "Party", startsAt: "2026-12-24T18:00:00Z" },
    key,
  });

const confirm = (who: Subscriber, key: string) =>
  create(who, key, "?confirm_credit=1");

function atOnce<T>(ask: (n: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: AT_ONCE }, (_, n) => ask(n)));
}

/** How many answers have each status. */
function tally(answers: readonly { status: number }[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

const noted = (
  { events, cost, count, balance }: {
    events: number;
    cost: number;
    count: number;
    balance: number;
  },
) => ({
  events,
  cost: cost * count,
  spends: Array(count).fill(-cost),
  balance,
  sum: balance,
});

Deno.test(`${AT_ONCE} events at once with five places left in the plan: five are created, the others are asked about`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    // No credits: not even a balance to lock is there before the first of them.
    const ada = await subscribe(stack(), { included: 5, cost: 3 });
    const answers = await atOnce(() => create(ada, unique("key")));
    assertEquals(tally(answers), { 201: 5, 409: AT_ONCE - 5 });
    assertEquals(
      await books(ada),
      noted({ events: 5, cost: 3, count: 0, balance: 0 }),
    );
  }
});

Deno.test(`${AT_ONCE} confirmations at once with credits for six: six are paid for, and the balance stays above zero`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const ada = await subscribe(stack(), { included: 0, cost: 3, credits: 20 });
    const answers = await atOnce(() => confirm(ada, unique("key")));
    assertEquals(tally(answers), { 201: 6, 402: AT_ONCE - 6 });
    assertEquals(
      await books(ada),
      noted({ events: 6, cost: 3, count: 6, balance: 2 }),
    );
  }
});

Deno.test(`${AT_ONCE} confirmations at once over the last places and the last credits, with more coming in`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const ada = await subscribe(stack(), { included: 4, cost: 3, credits: 10 });
    const [answers] = await Promise.all([
      atOnce(() => confirm(ada, unique("key"))),
      ...Array.from({ length: 5 }, () => grant(stack(), ada, 1)),
    ]);
    const created = tally(answers)[201]!;
    // Three are paid for from the start, up to five with what comes in.
    assert(created >= 4 + 3 && created <= 4 + 5, `${created} created`);
    const count = created - 4;
    assertEquals(
      await books(ada),
      noted({ events: created, cost: 3, count, balance: 15 - 3 * count }),
    );
  }
});

Deno.test(`${AT_ONCE} confirmations at once with one key: one event, one spend, and everybody else waits or is told of it`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const ada = await subscribe(stack(), { included: 0, cost: 3, credits: 99 });
    const key = unique("key");
    assertEquals((await create(ada, key)).status, 409);
    const answers = await atOnce(() => confirm(ada, key));
    const ran = answers.filter(({ status, replayed }) =>
      status === 201 && !replayed
    );
    assertEquals(ran.length, 1);
    for (const { status, body } of answers) {
      if (status === 409) assertEquals(body.code, "REQUEST_IN_PROGRESS");
      else assertEquals([status, body], [201, ran[0]!.body]);
    }
    assertEquals(
      await books(ada),
      noted({ events: 1, cost: 3, count: 1, balance: 96 }),
    );
  }
});

type Work = (tx: postgres.ISql) => Promise<Answer>;

interface Answer {
  outcome: string;
  balance?: number;
  event?: { id: string; version: number };
}

/** As the API does it: under the caller's role and claims. */
function as(
  { userId }: Subscriber,
  ask: (tx: postgres.ISql) => postgres.PendingQuery<{ answer: Answer }[]>,
): Work {
  return async (tx) => {
    const claims = JSON.stringify({ sub: userId });
    await tx`select set_config('role', 'authenticated', true),
      set_config('request.jwt.claims', ${claims}, true)`;
    const [row] = await ask(tx);
    return row!.answer;
  };
}

const creation = (who: Subscriber, request: string) =>
  as(who, (tx) =>
    tx`select public.create_event(
      ${request}, 'Party', '2026-12-24T18:00:00Z', p_confirm_credit => true
    ) as answer`);

/** Lets a second session come while the first has not committed. */
async function oneAfterTheOther(
  [one, two]: [Work, Work],
  { commits = true } = {},
) {
  const done = Promise.withResolvers<number>();
  const go = Promise.withResolvers<void>();
  const first = sql.begin(async (tx) => {
    const answer = await one(tx);
    const [session] = await tx<{ pid: number }[]>`
      select pg_backend_pid() as pid`;
    done.resolve(session!.pid);
    await go.promise;
    if (!commits) throw new Error("rolled back");
    return answer;
  }).catch((error) => {
    if (commits) throw error;
    return null;
  });
  const pid = await done.promise;
  const second = sql.begin((tx) => two(tx));
  // Or else a session that nothing ends would keep the test from failing.
  await untilBlockedBy(sql, pid).finally(go.resolve);
  return await Promise.all([first, second]);
}

Deno.test("whoever comes second to the last place of a plan waits, and pays", async () => {
  const ada = await subscribe(stack(), { included: 1, cost: 3, credits: 3 });
  const [first, second] = await oneAfterTheOther([
    creation(ada, "one"),
    creation(ada, "two"),
  ]);
  assertEquals([first?.outcome, first?.balance], ["created", 3]);
  assertEquals([second.outcome, second.balance], ["created", 0]);
});

Deno.test("whoever comes second to the last credits waits, and is refused", async () => {
  const ada = await subscribe(stack(), { included: 0, cost: 3, credits: 5 });
  const [first, second] = await oneAfterTheOther([
    creation(ada, "one"),
    creation(ada, "two"),
  ]);
  assertEquals([first?.outcome, first?.balance], ["created", 2]);
  assertEquals([second.outcome, second.balance], ["too_few_credits", 2]);
});

Deno.test("a place or credits whose taker rolls back are there for whoever waited", async () => {
  const ada = await subscribe(stack(), { included: 0, cost: 3, credits: 3 });
  const [first, second] = await oneAfterTheOther(
    [creation(ada, "one"), creation(ada, "two")],
    { commits: false },
  );
  assertEquals([first, second.outcome], [null, "created"]);
  assertEquals(
    await books(ada),
    noted({ events: 1, cost: 3, count: 1, balance: 0 }),
  );
});

Deno.test("two attempts at one request in two sessions find one event and spend once", async () => {
  const ada = await subscribe(stack(), { included: 0, cost: 3, credits: 9 });
  const [first, second] = await oneAfterTheOther([
    creation(ada, "one"),
    creation(ada, "one"),
  ]);
  assertEquals(second, first!);
  assertEquals(
    await books(ada),
    noted({ events: 1, cost: 3, count: 1, balance: 6 }),
  );
});

Deno.test("whoever comes while an event is being cancelled waits, cancels it no second time and edits it no more", async () => {
  const ada = await subscribe(stack(), { included: 2, cost: 3, credits: 9 });
  const cancel = (id: string) =>
    as(ada, (tx) => tx`select public.cancel_event(${id}) as answer`);
  const edit = (id: string) =>
    as(
      ada,
      (tx) =>
        tx`select public.update_event(${id}, 'edit', 1, '{"title": "X"}')
        as answer`,
    );
  const whileCancelled = async (second: (id: string) => Work) => {
    const { event } = await sql.begin(creation(ada, unique("request")));
    return await oneAfterTheOther([cancel(event!.id), second(event!.id)]);
  };
  const [cancelled, again] = await whileCancelled(cancel);
  assertEquals(again, cancelled!);
  const [, edited] = await whileCancelled(edit);
  assertEquals(edited, { outcome: "cancelled" });
});

Deno.test("an account that ends while it creates or edits an event waits for that, and neither fails", async () => {
  const edit = (who: Subscriber, id: string) =>
    as(who, (tx) =>
      tx`select public.update_event(
        ${id}, 'edit', 1, '{"participants": 5000}', p_confirm_credit => true
      ) as answer`);
  for (const effect of ["creation", "edit"]) {
    const ada = await subscribe(stack(), {
      included: 0,
      cost: 3,
      credits: 9999,
    });
    const { event } = await sql.begin(creation(ada, "first"));
    let ending: Promise<unknown> | undefined;
    const { outcome } = await sql.begin(async (tx) => {
      // A question holds the balance, as whoever decides about an event does.
      await as(
        ada,
        (tx) =>
          tx`select public.create_event('asked', 'Party', '2026-12-24T18:00:00Z')
          as answer`,
      )(tx);
      const [session] = await tx<{ pid: number }[]>`
        select pg_backend_pid() as pid`;
      ending = sql.begin((other) =>
        other`delete from auth.users where id = ${ada.userId}`
      );
      ending.catch(() => {});
      await untilBlockedBy(sql, session!.pid);
      return await (effect === "edit"
        ? edit(ada, event!.id)
        : creation(ada, "second"))(tx);
    });
    await ending;
    assertEquals(outcome, effect === "edit" ? "updated" : "created");
    const left = await sql`
      select from public.events where user_id = ${ada.userId}`;
    assertEquals(left.length, 0);
  }
});
