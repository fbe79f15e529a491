import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { unique } from "../../support/probe.ts";
import { runs } from "../../support/runs.ts";
import { project, signUp, withStack } from "../../support/stack.ts";
import {
  books,
  grant,
  subscribe,
  type Subscriber,
} from "../../support/subscriber.ts";

const stack = withStack();

// Each run signs a user up and makes a few calls: enough of them to find every
// mutation that was tried, in a few seconds.
const RUNS = { numRuns: runs(15) };

/** Books an entry, as the project may. Answers the error's code, if any. */
async function book(
  { userId }: Subscriber,
  amount: number,
  request_id: string,
): Promise<string | undefined> {
  const { error } = await project(stack()).client.from("credit_entries").insert(
    {
      user_id: userId,
      kind: amount > 0 ? "grant" : "spend",
      amount,
      reason: "test",
      request_id,
    },
  );
  return error?.code;
}

const anyAmount = fc.oneof(
  fc.integer({ min: -20, max: 20 }),
  fc.constantFrom(-1_000_000, 1_000_000),
).filter((amount) => amount !== 0);

Deno.test("whatever is granted and spent, the balance is the sum of the entries and never negative", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyAmount, { minLength: 1, maxLength: 12 }),
      async (amounts) => {
        const ada = await signUp(stack());
        let balance = 0;
        for (const amount of amounts) {
          const code = await book(ada, amount, unique("entry"));
          const fits = balance + amount >= 0;
          assertEquals(code, fits ? undefined : "23514");
          if (fits) balance += amount;
        }
        const found = await books(ada);
        assertEquals([found.balance, found.sum], [balance, balance]);
      },
    ),
    RUNS,
  );
});

type Wish = { grant: number } | { confirmed: boolean; repeats: boolean };

const anyWish: fc.Arbitrary<Wish> = fc.oneof(
  fc.record({ grant: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ confirmed: fc.boolean(), repeats: fc.boolean() }),
);

Deno.test("whatever is wished for in whatever order, the plan is used up first and every event beyond it is paid for once", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        included: fc.integer({ min: 0, max: 2 }),
        cost: fc.integer({ min: 1, max: 7 }),
      }),
      fc.array(anyWish, { minLength: 1, maxLength: 12 }),
      async (plan, wishes) => {
        const ada = await subscribe(stack(), plan);
        const model = { included: 0, paid: 0, balance: 0 };
        let request = unique("request");
        let created: unknown = null;
        for (const wish of wishes) {
          if ("grant" in wish) {
            await grant(stack(), ada, wish.grant);
            model.balance += wish.grant;
            continue;
          }
          if (!wish.repeats) {
            request = unique("request");
            created = null;
          }
          let outcome = "created";
          if (created === null) {
            if (model.included < plan.included) model.included++;
            else if (!wish.confirmed) outcome = "question";
            else if (model.balance < plan.cost) outcome = "too_few_credits";
            else {
              model.paid++;
              model.balance -= plan.cost;
            }
          }
          const { data } = await ada.client.rpc("create_event", {
            p_request_id: request,
            p_title: "Party",
            p_starts_at: "2026-12-24T18:00:00Z",
            p_confirm_credit: wish.confirmed,
          }).throwOnError();
          const answer = data as {
            outcome: string;
            balance: number;
            event?: { id: string };
          };
          assertEquals(
            [answer.outcome, answer.balance],
            [outcome, model.balance],
          );
          created ??= answer.event?.id ?? null;
          if (outcome === "created") assertEquals(answer.event?.id, created);
        }
        assertEquals(await books(ada), {
          events: model.included + model.paid,
          cost: model.paid * plan.cost,
          spends: Array(model.paid).fill(-plan.cost),
          balance: model.balance,
          sum: model.balance,
        });
      },
    ),
    RUNS,
  );
});

Deno.test("an entry with the same request id is made once", async () => {
  const ada = await signUp(stack());
  const request = unique("top-up");
  assertEquals(await book(ada, 5, request), undefined);
  assertEquals(await book(ada, 5, request), "23505");
  // As a client retries that has not heard the first answer.
  await project(stack()).client.from("credit_entries").upsert({
    user_id: ada.userId,
    kind: "grant",
    amount: 5,
    reason: "test",
    request_id: request,
  }, { onConflict: "user_id,kind,request_id", ignoreDuplicates: true })
    .throwOnError();
  assertEquals((await books(ada)).balance, 5);
  // What was granted under a name says nothing about what is spent under it.
  assertEquals(await book(ada, -2, request), undefined);
  assertEquals((await books(ada)).balance, 3);
});

Deno.test("a change of plan applies from the next event on", async () => {
  const ada = await signUp(stack());
  const outcome = async () => {
    const { data } = await ada.client.rpc("create_event", {
      p_request_id: unique("request"),
      p_title: "Party",
      p_starts_at: "2026-12-24T18:00:00Z",
    }).throwOnError();
    return (data as { outcome: string }).outcome;
  };
  const outcomes = async (count: number) => {
    const all = [];
    while (all.length < count) all.push(await outcome());
    return all;
  };
  const free = await outcomes(4);
  assertEquals(free, ["created", "created", "created", "question"]);
  await project(stack()).client.from("user_plans")
    .insert({ user_id: ada.userId, plan_name: "team" }).throwOnError();
  assert((await outcomes(2)).every((one) => one === "created"));
});

Deno.test("a user who is deleted takes events, entries and balance along", async () => {
  const ada = await subscribe(stack(), { included: 0, cost: 1, credits: 2 });
  await ada.client.rpc("create_event", {
    p_request_id: unique("request"),
    p_title: "Party",
    p_starts_at: "2026-12-24T18:00:00Z",
    p_confirm_credit: true,
  }).throwOnError();
  await stack().sql("delete from auth.users where id = $1", [ada.userId]);
  for (
    const table of ["events", "credit_entries", "credit_balances", "user_plans"]
  ) {
    const rows = await stack().sql(
      `select from public.${table} where user_id = $1`,
      [ada.userId],
    );
    assertEquals(rows.length, 0, table);
  }
});

Deno.test("the local stack grants once for each key, and says what it granted", async () => {
  const ada = await signUp(stack());
  const key = unique("credits");
  const ask = async (amount: number) => {
    const response = await fetch(`${stack().apiUrl}/credits`, {
      method: "POST",
      headers: { ...ada.headers, "Idempotency-Key": key },
      body: JSON.stringify({ amount }),
    });
    const { amount: granted, code } = await response.json();
    return [response.status, granted ?? code];
  };
  assertEquals(await ask(25), [200, 25]);
  assertEquals(await ask(25), [200, 25]);
  assertEquals(await ask(40), [422, "IDEMPOTENCY_KEY_REUSED"]);
  assertEquals((await books(ada)).balance, 25);
});
