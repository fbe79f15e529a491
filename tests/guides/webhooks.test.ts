import { assert, assertEquals } from "@std/assert";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import { setEnvironment } from "../../scripts/stack/environment.ts";
import { call, type CallAnswer } from "../support/call.ts";
import { unique } from "../support/probe.ts";
import {
  type Actor,
  project as secretKeyHolder,
  signUp,
} from "../support/stack.ts";
import { takesEffectOnce } from "./once.ts";
import { SECRETS, withGuides } from "./project.ts";

const guides = withGuides();

async function post(
  name: string,
  headers: Record<string, string>,
  body: string,
): Promise<CallAnswer> {
  const response = await fetch(
    `${guides().stack.apiUrl}/functions/v1/${name}`,
    { method: "POST", headers, body },
  );
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text.startsWith("{") ? JSON.parse(text) : text,
    replayed: response.headers.has("x-idempotency-replay"),
  };
}

interface Delivery {
  /** Of whoever signs; several sign beside each other. */
  secrets?: string[];
  /** Seconds ago. */
  age?: number;
  /** What is sent in place of what was signed. */
  body?: string;
  /** How the headers begin. */
  prefix?: string;
}

/** Sends as the Standard Webhooks scheme says, by its own library. */
function send(
  id: string,
  {
    secrets = SECRETS.WEBHOOK_SECRETS.slice(0, 1),
    age = 0,
    body,
    prefix = "webhook",
  }: Delivery = {},
): Promise<CallAnswer> {
  const at = new Date(Date.now() - age * 1000);
  const signed = JSON.stringify({ type: id });
  return post("webhooks", {
    "content-type": "application/json",
    [`${prefix}-id`]: id,
    [`${prefix}-timestamp`]: `${Math.floor(at.getTime() / 1000)}`,
    [`${prefix}-signature`]: secrets
      .map((secret) => new Webhook(secret).sign(id, at, signed)).join(" "),
  }, body ?? signed);
}

const deliveries = (id: string) => guides().count("deliveries", "type", id);

const id = (prefix: string) => unique(prefix).replaceAll("-", "_");

Deno.test("Standard Webhooks: an event takes effect once, whichever secret it is signed with", async () => {
  await takesEffectOnce((name) => send(name), deliveries);
  const [current, old] = SECRETS.WEBHOOK_SECRETS as [string, string];
  const event = id("msg");
  for (const secrets of [[old], [current], [old, current], [current, old]]) {
    assertEquals((await send(event, { secrets })).status, 200);
  }
  assertEquals(await deliveries(event), 1);
});

Deno.test("Standard Webhooks: an event that Svix sends takes effect once", async () => {
  await takesEffectOnce((name) => send(name, { prefix: "svix" }), deliveries);
});

Deno.test("Standard Webhooks: what is not signed is refused and takes no key", async () => {
  const event = id("msg");
  const foreign = [`whsec_${btoa("somebody else's secret")}`];
  const body = JSON.stringify({ type: "forged" });
  for (const delivery of [{ secrets: foreign }, { body }, { age: 301 }]) {
    assertEquals((await send(event, delivery)).status, 401);
  }
  const bare = await post("webhooks", { "webhook-id": event }, "{}");
  assertEquals([bare.status, await deliveries(event)], [401, 0]);
  const { status, replayed } = await send(event);
  assertEquals([status, replayed], [200, false]);
});

Deno.test("Standard Webhooks: an id that is no key is told so", async () => {
  const { status, body } = await send("msg 1");
  assertEquals([status, body.code], [400, "IDEMPOTENCY_KEY_INVALID"]);
});

/** Sends as Stripe does, signed by Stripe's own library. */
async function sendStripe(
  event: string,
  { secrets = SECRETS.STRIPE_WEBHOOK_SECRET.slice(0, 1), age = 0, body }:
    Delivery = {},
  { payment = event, ...changes }: Record<string, unknown> & {
    payment?: string;
  } = {},
): Promise<CallAnswer> {
  const payload = JSON.stringify({
    id: event,
    object: "event",
    type: "payment_intent.succeeded",
    created: 1_795_000_000,
    pending_webhooks: 1,
    ...changes,
    data: { object: { id: payment, amount_received: 4999 } },
  });
  const headers = await Promise.all(
    secrets.map((secret) =>
      Stripe.webhooks.generateTestHeaderStringAsync({
        payload,
        secret,
        timestamp: Math.floor(Date.now() / 1000) - age,
        cryptoProvider: Stripe.createSubtleCryptoProvider(),
      })
    ),
  );
  // While a secret is rolled, Stripe signs with both in one header.
  const [first = "", ...others] = headers;
  const signature = [
    first,
    ...others.map((text) => text.replace(/^t=\d+,/, "")),
  ]
    .join(",");
  return await post(
    "payments",
    { "stripe-signature": signature },
    body ?? payload,
  );
}

const payments = (payment: string) =>
  guides().count("payments", "payment_intent_id", payment);

Deno.test("Stripe: a payment is booked once, whichever secret its event is signed with", async () => {
  await takesEffectOnce((name) => sendStripe(name), payments);
  const [current, old, connect] = SECRETS.STRIPE_WEBHOOK_SECRET as [
    string,
    string,
    string,
  ];
  const event = id("evt");
  for (const secrets of [[old, current], [old], [current], [connect]]) {
    assertEquals((await sendStripe(event, { secrets })).status, 200);
  }
  // A redelivery differs in what it says of itself.
  const again = await sendStripe(event, {}, { pending_webhooks: 0 });
  assertEquals([again.status, again.replayed], [200, true]);
  const other = await sendStripe(id("evt"), {}, { payment: event });
  assertEquals([other.status, other.replayed], [200, false]);
  assertEquals(await payments(event), 1);
});

Deno.test("Stripe: what is not signed is refused and takes no key", async () => {
  const event = id("evt");
  for (
    const delivery of [{ secrets: ["whsec_x"] }, { body: "{}" }, { age: 301 }]
  ) {
    assertEquals((await sendStripe(event, delivery)).status, 400);
  }
  assertEquals((await post("payments", {}, "{}")).status, 400);
  const { status, replayed } = await sendStripe(event);
  assertEquals([status, replayed, await payments(event)], [200, false, 1]);
});

Deno.test("Stripe: an event of another type is ignored", async () => {
  const event = id("evt");
  const { status, body } = await sendStripe(event, {}, {
    type: "charge.refunded",
  });
  assertEquals([status, body], [200, { ignored: "charge.refunded" }]);
  assertEquals(await payments(event), 0);
});

/** What arrives from the sender, and what it is answered. */
async function withReceiver(
  test: (
    arrived: { id: string; event: unknown; secrets: number }[],
    answer: (respond: () => Response | Promise<Response>) => void,
  ) => Promise<void>,
): Promise<void> {
  const arrived: { id: string; event: unknown; secrets: number }[] = [];
  let respond: () => Response | Promise<Response> = () => new Response();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (req) => {
      const body = await req.text();
      const headers = Object.fromEntries(req.headers);
      const verified = SECRETS.COMPLETION_SECRETS.filter((secret) => {
        try {
          return new Webhook(secret).verify(body, headers) !== undefined;
        } catch {
          return false;
        }
      });
      arrived.push({
        id: headers["webhook-id"]!,
        event: JSON.parse(body),
        secrets: verified.length,
      });
      return await respond();
    },
  );
  const restore = setEnvironment({
    COMPLETION_URL: `http://127.0.0.1:${server.addr.port}/`,
  });
  try {
    await test(arrived, (next) => respond = next);
  } finally {
    restore();
    await server.shutdown();
  }
}

const sender = () =>
  call(guides().stack, secretKeyHolder(guides().stack), "send-webhooks");

/** Asks for a report until it is there. */
async function reportOf(actor: Actor, month: string): Promise<CallAnswer> {
  while (true) {
    const answer = await call(guides().stack, actor, "monthly-reports", {
      body: { month },
      key: month,
    });
    if (answer.status === 200) return answer;
    assert([202, 409].includes(answer.status), `got ${answer.status}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const messagesOf = (month: string) =>
  guides().stack.sql<{ id: string; tries: number; due_at: string | null }>(
    "select id, tries, due_at from public.webhook_messages where data ->> 'month' = $1",
    [month],
  );

Deno.test("a completed operation is told once, signed, however often it is asked for and sent", async () => {
  const ada = await signUp(guides().stack);
  const month = unique("month");
  await Promise.all([1, 2, 3, 4].map(() => reportOf(ada, month)));
  const [message, ...others] = await messagesOf(month);
  assertEquals(others, []);
  await withReceiver(async (arrived) => {
    await Promise.all([sender(), sender(), sender()]);
    await sender();
    const [delivery, ...again] = arrived.filter(({ id }) => id === message!.id);
    assertEquals(again, []);
    const { timestamp, ...event } = delivery!.event as { timestamp: string };
    assert(Date.parse(timestamp) > 0);
    assertEquals(
      [delivery!.secrets, event],
      [2, { type: "report.completed", data: { month, pages: 3 } }],
    );
  });
  assertEquals((await messagesOf(month))[0]!.due_at, null);
});

Deno.test("what does not arrive is sent again when it is due, with the same id, and then given up", async () => {
  const ada = await signUp(guides().stack);
  const month = unique("month");
  await reportOf(ada, month);
  const { id } = (await messagesOf(month))[0]!;
  const makeDue = (tries: number) =>
    guides().stack.sql(
      "update public.webhook_messages set due_at = now(), tries = $2 where id = $1",
      [id, tries],
    );
  await withReceiver(async (arrived, answer) => {
    const times = () => arrived.filter((one) => one.id === id).length;
    const elsewhere = { status: 307, headers: { Location: "/elsewhere" } };
    answer(() => new Response(null, elsewhere));
    assertEquals((await sender()).body[id], 500);
    const [failed] = await messagesOf(month);
    assertEquals([times(), failed!.tries], [1, 1]);
    assert(failed!.due_at !== null);

    answer(() => new Response(null, { status: 500 }));
    await makeDue(9);
    assertEquals((await sender()).body[id], 500);
    assertEquals((await messagesOf(month))[0], { id, tries: 10, due_at: null });

    answer(() => new Response());
    await makeDue(10);
    assertEquals((await sender()).body[id], 200);
    assertEquals(times(), 3);
  });
});

Deno.test("a message that the ledger refuses is kept, and sent when it is due again", async () => {
  const { sql } = guides().stack;
  const ada = await signUp(guides().stack);
  const month = unique("month");
  await reportOf(ada, month);
  const { id } = (await messagesOf(month))[0]!;
  await withReceiver(async (arrived) => {
    const claims = "function public.idempotency_claim_many";
    await sql(`revoke execute on ${claims} from service_role`);
    try {
      assertEquals((await sender()).body[id], 500);
    } finally {
      await sql(`grant execute on ${claims} to service_role`);
    }
    const [kept] = await messagesOf(month);
    assert(kept!.due_at !== null);
    await sql(
      "update public.webhook_messages set due_at = now() where id = $1",
      [id],
    );
    assertEquals((await sender()).body[id], 200);
    assertEquals(arrived.filter((one) => one.id === id).length, 1);
  });
});

Deno.test("a message whose senders died stands in the way of no other, and is given up in the end", async () => {
  const { sql } = guides().stack;
  const ada = await signUp(guides().stack);
  const month = unique("month");
  await reportOf(ada, month);
  const { id } = (await messagesOf(month))[0]!;
  await withReceiver(async (_arrived, answer) => {
    answer(() => new Response(null, { status: 500 }));
    assertEquals((await sender()).body[id], 500);
    await sql(
      `update public.idempotency_keys set status = 'processing', completed_at = null,
        lease_expires_at = now() - interval '1 s', crashed_attempts = '[{}, {}, {}, {}, {}]'
      where scope = 'send-webhooks' and idempotency_key = $1`,
      [id],
    );
    const makeDue = (tries: number) =>
      sql(
        "update public.webhook_messages set due_at = now() - interval '1 h', tries = $2 where id = $1",
        [id, tries],
      );
    await makeDue(1);
    assertEquals((await sender()).body[id], 409);
    const [waiting] = await messagesOf(month);
    assertEquals(waiting!.tries, 2);
    assert(Date.parse(waiting!.due_at!) > Date.now());
    await makeDue(9);
    assertEquals((await sender()).body[id], 409);
    assertEquals((await messagesOf(month))[0], { id, tries: 10, due_at: null });
  });
});
