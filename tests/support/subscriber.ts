import type { Stack } from "../../scripts/stack/stack.ts";
import { unique } from "./probe.ts";
import { type Actor, project, signUp } from "./stack.ts";

/** A user on a plan of their own. */
export type Subscriber = Actor & { userId: string };

/** Signs up a user on a plan that nobody else has. */
export async function subscribe(
  stack: Stack,
  { included, cost, credits = 0, participants = 20, participantCost = 1 }: {
    /** Events that the plan includes in a month. */
    included: number;
    /** Credits for each further one. */
    cost: number;
    /** Credits to begin with. */
    credits?: number;
    /** Participants that the plan includes in an event. */
    participants?: number;
    /** Credits for each further one. */
    participantCost?: number;
  },
): Promise<Subscriber> {
  const subscriber = await signUp(stack);
  const { client } = project(stack);
  const plan_name = unique("plan");
  await client.from("plans")
    .insert({
      name: plan_name,
      monthly_events: included,
      event_cost: cost,
      participants,
      participant_cost: participantCost,
    })
    .throwOnError();
  await client.from("user_plans")
    .insert({ user_id: subscriber.userId, plan_name }).throwOnError();
  if (credits > 0) await grant(stack, subscriber, credits);
  return subscriber;
}

/** Gives a user credits, as the project does it. */
export async function grant(
  stack: Stack,
  { userId }: Subscriber,
  amount: number,
): Promise<void> {
  await project(stack).client.from("credit_entries").insert({
    user_id: userId,
    kind: "grant",
    amount,
    reason: "test",
    request_id: unique("grant"),
  }).throwOnError();
}

/** What stands in the tables, as the user sees it. */
export async function books({ client }: Subscriber): Promise<{
  events: number;
  /** What the events cost together. */
  cost: number;
  spends: number[];
  balance: number;
  /** Of all entries, which the balance has to be. */
  sum: number;
}> {
  const [events, entries, balances] = await Promise.all([
    client.from("events").select("cost").throwOnError(),
    client.from("credit_entries").select("kind,amount").order("amount")
      .throwOnError(),
    client.from("credit_balances").select("balance").throwOnError(),
  ]);
  const total = (amounts: number[]) => amounts.reduce((a, b) => a + b, 0);
  return {
    events: events.data.length,
    cost: total(events.data.map(({ cost }) => cost)),
    spends: entries.data.filter(({ kind }) => kind === "spend")
      .map(({ amount }) => amount),
    balance: total(balances.data.map(({ balance }) => balance)),
    sum: total(entries.data.map(({ amount }) => amount)),
  };
}
