import { assertEquals } from "@std/assert";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import type { CallAnswer } from "../support/call.ts";
import { unique } from "../support/probe.ts";
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
}

/** Sends as the Standard Webhooks scheme says, by its own library. */
function send(
  id: string,
  { secrets = SECRETS.WEBHOOK_SECRETS.slice(0, 1), age = 0, body }: Delivery =
    {},
): Promise<CallAnswer> {
  const at = new Date(Date.now() - age * 1000);
  const signed = JSON.stringify({ type: id });
  return post("webhooks", {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": `${Math.floor(at.getTime() / 1000)}`,
    "webhook-signature": secrets
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
