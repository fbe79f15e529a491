import { assert, assertEquals } from "@std/assert";
import { type Call, call as callAny } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import {
  type Actor,
  anonymous,
  project,
  signUp,
  withStack,
} from "../../support/stack.ts";
import { books, subscribe, type Subscriber } from "../../support/subscriber.ts";

const stack = withStack();
let ada: Subscriber;

Deno.test.beforeAll(async () => {
  ada = await subscribe(stack(), { included: 0, cost: 5, credits: 99 });
});

const party = { title: "Party", startsAt: "2026-12-24T18:00:00Z" };
const CONFIRM = "?confirm_credit=1";

const call = (who: Actor, { query = "", ...init }: Call & {
  query?: string;
} = {}) => callAny(stack(), who, `events${query}`, init);

function rpcOf(request: string) {
  return {
    p_request_id: request,
    p_title: "Party",
    p_starts_at: "2026-12-24T18:00:00Z",
  };
}

Deno.test("who is not signed in creates nothing and sees nothing", async () => {
  const nobody = anonymous(stack());
  for (
    const request of [
      { body: party, key: unique("key"), query: CONFIRM },
      { method: "GET" },
    ]
  ) {
    assertEquals((await call(nobody, request)).status, 401);
  }
  const { client } = nobody;
  const refused = await Promise.all([
    client.rpc("create_event", rpcOf("anon")),
    client.from("events").select(),
    client.from("plans").select(),
    client.from("user_plans").select(),
    client.from("credit_entries").select(),
    client.from("credit_balances").select(),
  ]);
  assertEquals(refused.map(({ error }) => error?.code), Array(6).fill("42501"));
});

Deno.test("users write neither events nor credits nor plans, and see none of anybody else's", async () => {
  const eve = await signUp(stack());
  const { client, userId: user_id } = eve;
  await call(ada, { body: party, key: unique("key"), query: CONFIRM });
  const entry = {
    user_id,
    kind: "grant",
    amount: 100,
    reason: "myself",
    request_id: "r",
  };
  const row = {
    user_id,
    request_id: "r",
    title: "x",
    starts_at: "2026-12-24",
    cost: 0,
  };
  const refused = await Promise.all([
    client.from("events").insert(row),
    client.from("events").update({ cost: 0 }).eq("user_id", user_id),
    client.from("events").delete().eq("user_id", user_id),
    client.from("credit_entries").insert(entry),
    client.from("credit_balances").insert({ user_id, balance: 100 }),
    client.from("credit_balances").update({ balance: 100 })
      .eq("user_id", user_id),
    client.from("user_plans").insert({ user_id, plan_name: "team" }),
    client.from("plans").update({ event_cost: 1 }).eq("name", "free"),
  ]);
  assertEquals(refused.map(({ error }) => error?.code), Array(8).fill("42501"));
  for (
    const table of [
      "events",
      "credit_entries",
      "credit_balances",
      "user_plans",
    ] as const
  ) {
    assert((await ada.client.from(table).select()).data!.length > 0);
    assertEquals((await client.from(table).select()).data, []);
  }
});

Deno.test("past the function a user creates by the same rules", async () => {
  const eve = await subscribe(stack(), { included: 1, cost: 5 });
  const outcomes = [];
  for (const request of ["one", "one", "two"]) {
    const { data } = await eve.client.rpc("create_event", rpcOf(request))
      .throwOnError();
    outcomes.push((data as { outcome: string }).outcome);
  }
  assertEquals(outcomes, ["created", "created", "question"]);
  for (
    const bad of [
      { p_title: "" },
      { p_request_id: "" },
      { p_starts_at: "infinity" },
      { p_location: "x".repeat(201) },
    ]
  ) {
    const { error } = await ada.client.rpc("create_event", {
      ...rpcOf("bad"),
      ...bad,
      p_confirm_credit: true,
    });
    assertEquals(error?.code, "23514");
  }
  assertEquals((await books(eve)).events, 1);
});

Deno.test("not even the project changes an entry, a balance, or takes more than there is", async () => {
  const { client } = project(stack());
  const { userId: user_id } = ada;
  const { balance } = await books(ada);
  const refused = await Promise.all([
    client.from("credit_entries").update({ amount: 1 }).eq("user_id", user_id),
    client.from("credit_entries").delete().eq("user_id", user_id),
    client.from("credit_balances").update({ balance: 1 })
      .eq("user_id", user_id),
    client.from("credit_entries").insert({
      user_id,
      kind: "spend",
      amount: -balance - 1,
      reason: "too much",
      request_id: unique("r"),
    }),
  ]);
  assertEquals(
    refused.map(({ error }) => error?.code),
    ["42501", "42501", "42501", "23514"],
  );
  assertEquals((await books(ada)).balance, balance);
});
