import { assert, assertEquals } from "@std/assert";
import Stripe from "stripe";
import { unique } from "../../support/probe.ts";
import { anonymous, project, signUp, withStack } from "../../support/stack.ts";

const SECRET = "whsec_of_the_tests";
const OTHERS = ["whsec_from_before", "whsec_of_connect"];

const stack = withStack();
let before: string | undefined;

Deno.test.beforeAll(() => {
  before = Deno.env.get("STRIPE_WEBHOOK_SECRET");
  Deno.env.set("STRIPE_WEBHOOK_SECRET", [SECRET, ...OTHERS].join(", "));
});
Deno.test.afterAll(() => {
  if (before === undefined) Deno.env.delete("STRIPE_WEBHOOK_SECRET");
  else Deno.env.set("STRIPE_WEBHOOK_SECRET", before);
});

const stripeId = (prefix: string) => unique(prefix).replaceAll("-", "_");

/** An event as Stripe sends it, as far as the function reads it. */
function succeeded(changes: Record<string, unknown> = {}) {
  return {
    id: stripeId("evt"),
    object: "event",
    type: "payment_intent.succeeded",
    created: 1_795_000_000,
    pending_webhooks: 1,
    data: {
      object: {
        id: stripeId("pi"),
        object: "payment_intent",
        amount: 5000,
        amount_received: 4999,
        currency: "eur",
        metadata: {},
        ...changes,
      },
    },
  };
}

interface Delivery {
  secret?: string;
  /** Seconds ago. */
  age?: number;
  /** Replaces the header. */
  signature?: string | null;
}

async function deliver(
  event: unknown,
  { secret = SECRET, age = 0, signature }: Delivery = {},
) {
  const payload = typeof event === "string" ? event : JSON.stringify(event);
  const signed = await Stripe.webhooks.generateTestHeaderStringAsync({
    payload,
    secret,
    timestamp: Math.floor(Date.now() / 1000) - age,
    cryptoProvider: Stripe.createSubtleCryptoProvider(),
  });
  const header = signature === undefined ? signed : signature;
  const response = await fetch(
    `${stack().apiUrl}/functions/v1/stripe-webhook`,
    {
      method: "POST",
      headers: {
        "Content-Type": "application/json; charset=utf-8",
        ...(header === null ? {} : { "Stripe-Signature": header }),
      },
      body: payload,
    },
  );
  return {
    status: response.status,
    replayed: response.headers.has("x-idempotency-replay"),
    body: await response.json(),
  };
}

async function payments(paymentIntentId: string) {
  const { data } = await project(stack()).client.from("payments").select()
    .eq("payment_intent_id", paymentIntentId).throwOnError();
  return data;
}

async function keysOf(eventId: string) {
  return await stack().sql<
    { user_id: string | null; status: string; days: number }
  >(
    `select user_id, status, extract(day from expires_at - created_at)::int as days
      from public.idempotency_keys where idempotency_key = $1`,
    [eventId],
  );
}

Deno.test("a payment is booked with what was received, under a key of the project", async () => {
  const { userId } = await signUp(stack());
  const event = succeeded({ metadata: { user_id: userId } });
  const answer = await deliver(event);
  assertEquals([answer.status, answer.replayed], [200, false]);
  const [row, ...others] = await payments(event.data.object.id);
  assertEquals(others.length, 0);
  assertEquals(
    [row!.event_id, row!.amount, row!.currency, row!.user_id],
    [event.id, 4999, "eur", userId],
  );
  assertEquals(Date.parse(row!.paid_at), event.created * 1000);
  assertEquals(await keysOf(event.id), [{
    user_id: null,
    status: "completed",
    days: 30,
  }]);
});

Deno.test("a payment to a connected account is booked for nobody, whoever it names", async () => {
  const { userId } = await signUp(stack());
  const event = succeeded({ metadata: { user_id: userId } });
  await deliver({ ...event, account: "acct_1" });
  const [row] = await payments(event.data.object.id);
  assertEquals([row!.event_id, row!.user_id], [event.id, null]);
});

Deno.test("a redelivered event is a replay and one payment, although the event has changed on the way", async () => {
  const event = succeeded();
  const first = await deliver(event);
  const again = await deliver({ ...event, pending_webhooks: 0 });
  assertEquals([again.status, again.replayed], [200, true]);
  assertEquals(again.body, first.body);
  assertEquals((await payments(event.data.object.id)).length, 1);
});

Deno.test("twenty deliveries of one event at once are all accepted and book one payment", async () => {
  const event = succeeded();
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => deliver(event)),
  );
  assertEquals(answers.map(({ status }) => status), Array(20).fill(200));
  assertEquals(answers.filter(({ replayed }) => !replayed).length, 1);
  assertEquals((await payments(event.data.object.id)).length, 1);
});

Deno.test("two events about one payment book it once", async () => {
  const event = succeeded();
  const twin = { ...event, id: stripeId("evt") };
  const answers = await Promise.all([deliver(event), deliver(twin)]);
  assertEquals(answers.map(({ status }) => status), [200, 200]);
  assertEquals((await payments(event.data.object.id)).length, 1);
});

Deno.test("an event may be signed with the secret from before, or another endpoint's", async () => {
  const event = succeeded();
  const replays = [];
  for (const secret of [...OTHERS, SECRET]) {
    const { status, replayed } = await deliver(event, { secret });
    assertEquals(status, 200);
    replays.push(replayed);
  }
  assertEquals(replays, [false, true, true]);
  assertEquals((await payments(event.data.object.id)).length, 1);
});

Deno.test("what Stripe may send is booked: old and new signatures, large amounts, odd metadata, clocks ahead", async () => {
  const payload = JSON.stringify(succeeded());
  const sign = (secret: string) =>
    Stripe.webhooks.generateTestHeaderStringAsync({
      payload,
      secret,
      cryptoProvider: Stripe.createSubtleCryptoProvider(),
    });
  const [, old] = (await sign("whsec_gone")).split(",");
  const rolled = `${await sign(SECRET)},${old},v0=abc`;
  assertEquals((await deliver(payload, { signature: rolled })).status, 200);

  const large = succeeded({
    amount_received: 999_999_999_999,
    currency: "idr",
    metadata: { user_id: "nobody", note: "🎉 \u0000" },
  });
  assertEquals((await deliver(large)).status, 200);
  const [row] = await payments(large.data.object.id);
  assertEquals([row!.amount, row!.user_id], [999_999_999_999, null]);
  assertEquals((await deliver(succeeded(), { age: -3_600 })).status, 200);
});

Deno.test("a signature that is missing, wrong or too old is 400, and nothing is stored", async () => {
  const deliveries: Delivery[] = [
    { signature: null },
    { signature: "" },
    { signature: "t=1,v1=00" },
    { secret: "whsec_of_somebody_else" },
    { age: 301 },
  ];
  const event = succeeded();
  for (const delivery of deliveries) {
    const { status, body } = await deliver(event, delivery);
    assertEquals([status, body.code], [400, "SIGNATURE_INVALID"]);
  }
  assertEquals(await payments(event.data.object.id), []);
  assertEquals(await keysOf(event.id), []);
});

Deno.test("a body that is not the signed one is refused, even if its event was accepted before", async () => {
  const event = succeeded();
  await deliver(event);
  const header = await Stripe.webhooks.generateTestHeaderStringAsync({
    payload: JSON.stringify(event),
    secret: SECRET,
    cryptoProvider: Stripe.createSubtleCryptoProvider(),
  });
  const forged = succeeded({ amount_received: 1_000_000 });
  const { status } = await deliver({ ...forged, id: event.id }, {
    signature: header,
  });
  assertEquals(status, 400);
  assertEquals(await payments(forged.data.object.id), []);
});

Deno.test("a signed body that is no event is 400", async () => {
  const { metadata: _, ...intent } = succeeded().data.object;
  for (
    const body of [
      "nonsense",
      "null",
      { object: "v2.core.event" },
      { ...succeeded(), id: 1 },
      { ...succeeded(), created: 1e20 },
      { ...succeeded(), data: {} },
      succeeded({ id: "a\0b" }),
      succeeded({ amount_received: -1 }),
      succeeded({ currency: null }),
      { ...succeeded(), data: { object: { ...intent, metadata: null } } },
    ]
  ) {
    const answer = await deliver(body);
    assertEquals([answer.status, answer.body.code], [400, "EVENT_INVALID"]);
  }
  const marked = `\ufeff${JSON.stringify(succeeded())}`;
  assertEquals((await deliver(marked)).status, 400);
});

Deno.test("an event of another type is accepted, ignored and not remembered", async () => {
  const event = { ...succeeded(), type: "payment_intent.created" };
  const { status, body } = await deliver(event);
  assertEquals([status, body], [200, { ignored: "payment_intent.created" }]);
  assertEquals(await payments(event.data.object.id), []);
  assertEquals(await keysOf(event.id), []);
});

Deno.test("a payment that cannot be booked is 503, so that it is delivered again, and then booked", async () => {
  const event = succeeded();
  await stack().sql(
    "alter table public.payments add constraint closed check (false) not valid",
  );
  const refused = await deliver(event);
  await stack().sql("alter table public.payments drop constraint closed");
  assertEquals([refused.status, refused.body.retryable], [503, true]);
  assertEquals((await keysOf(event.id)).map(({ status }) => status), [
    "failed",
  ]);
  assertEquals((await deliver(event)).status, 200);
  assertEquals((await payments(event.data.object.id)).length, 1);
});

Deno.test("users see their own payments and write none; others see nothing", async () => {
  const ada = await signUp(stack());
  const ben = await signUp(stack());
  const event = succeeded({ metadata: { user_id: ada.userId } });
  await deliver(event);
  const seen = async ({ client }: typeof ada) =>
    (await client.from("payments").select().throwOnError()).data.length;
  assertEquals([await seen(ada), await seen(ben)], [1, 0]);
  const { client } = anonymous(stack());
  assertEquals((await client.from("payments").select()).error?.code, "42501");
  const { error } = await ada.client.from("payments").insert({
    event_id: "evt_mine",
    payment_intent_id: "pi_mine",
    amount: 1,
    currency: "eur",
    paid_at: new Date().toISOString(),
  });
  assertEquals(error?.code, "42501");
});

Deno.test("without a secret to check with nothing is accepted", async () => {
  Deno.env.delete("STRIPE_WEBHOOK_SECRET");
  try {
    const event = succeeded();
    const { status, body } = await deliver(event);
    assertEquals([status, body.code], [503, "WEBHOOK_NOT_CONFIGURED"]);
    assert(body.detail.includes("STRIPE_WEBHOOK_SECRET"));
    assertEquals(await keysOf(event.id), []);
  } finally {
    Deno.env.set("STRIPE_WEBHOOK_SECRET", [SECRET, ...OTHERS].join(", "));
  }
});
