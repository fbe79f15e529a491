import Stripe from "stripe";
import { z } from "zod";
import { readBytes, storableText } from "../_kit/read_request.ts";
import { Refusal } from "../_kit/refuse.ts";
import type { Payment } from "./payment_store.ts";

// Stripe's events are of some kilobytes.
const MAX_EVENT_BYTES = 256 * 1024;

// How far the signed time may lie in the past: what Stripe's libraries grant,
// for clocks that differ and for the way here. Later deliveries of an event
// are signed anew. Whoever recorded a delivery cannot play it back after that.
const TOLERANCE_SECONDS = 300;

// The end of the year 9999.
const LAST_SECOND = 253_402_300_799;

const cryptoProvider = Stripe.createSubtleCryptoProvider();

/**
 * The event that Stripe signed. Nothing of a request may be used before this
 * has returned: anybody can send one.
 *
 * `STRIPE_WEBHOOK_SECRET` may hold several secrets, separated by commas: the
 * new and the old one while it is rolled, and one for each further endpoint.
 *
 * @throws {Refusal} 400 when the signature is missing, wrong or too old, or
 * what is signed is no event; 503 when the secret to check with is not set.
 */
export async function verifiedEvent(
  req: Request,
  environment: Pick<typeof Deno.env, "get"> = Deno.env,
): Promise<StripeEvent> {
  const secrets = (environment.get("STRIPE_WEBHOOK_SECRET") ?? "")
    .split(",").map((secret) => secret.trim()).filter(Boolean);
  if (secrets.length === 0) {
    throw new Refusal({
      status: 503,
      code: "WEBHOOK_NOT_CONFIGURED",
      title: "Webhook not configured",
      detail:
        "This project cannot check Stripe's signatures: set the secret STRIPE_WEBHOOK_SECRET to the endpoint's whsec_…",
      retryable: true,
    });
  }
  const body = await readBytes(req, MAX_EVENT_BYTES);
  const signature = req.headers.get("stripe-signature") ?? "";
  let mismatch: unknown;
  for (const secret of secrets) {
    try {
      const event = await Stripe.webhooks.constructEventAsync(
        body,
        signature,
        secret,
        TOLERANCE_SECONDS,
        cryptoProvider,
      );
      return Event.parse(event);
    } catch (cause) {
      if (!(cause instanceof Stripe.errors.StripeSignatureVerificationError)) {
        throw invalid(cause);
      }
      mismatch = cause;
    }
  }
  throw new Refusal({
    status: 400,
    code: "SIGNATURE_INVALID",
    title: "Signature invalid",
    detail:
      "The Stripe-Signature header does not fit this body and the present time: send the event as Stripe signed it, within five minutes",
  }, { cause: mismatch });
}

function invalid(cause: unknown): Refusal {
  return new Refusal({
    status: 400,
    code: "EVENT_INVALID",
    title: "Event invalid",
    detail:
      "The body is signed but is no event: let the endpoint in Stripe send snapshot events, as JSON",
  }, { cause });
}

/** What is read of any event. */
const Event = z.object({
  id: z.string(),
  type: z.string(),
  created: z.int().min(0).max(LAST_SECOND),
  /** The connected account that it is of; without one it is the project's own. */
  account: z.string().optional(),
  data: z.object({ object: z.unknown() }),
});

type StripeEvent = z.output<typeof Event>;

// The bounds of the columns.
const PaymentIntent = z.object({
  id: storableText(255),
  amount_received: z.int().min(0),
  currency: z.string().regex(/^[a-z]{3}$/),
  // Written by whoever made the payment intent: our own server, or who has a
  // connected account.
  metadata: z.object({ user_id: z.guid().optional().catch(undefined) })
    .default({}),
});

/**
 * The payment that an event reports; `null` for every other kind of event.
 * The amount is what was received, which is less than what was asked for when
 * a payment was captured in part.
 *
 * @throws {Refusal} 400 when the event does not report it as Stripe does.
 */
export function paymentOf(event: StripeEvent): Payment | null {
  if (event.type !== "payment_intent.succeeded") return null;
  const intent = PaymentIntent.safeParse(event.data.object);
  if (!intent.success) throw invalid(intent.error);
  const { id, amount_received, currency, metadata } = intent.data;
  return {
    eventId: event.id,
    paymentIntentId: id,
    // Who has a connected account could name any user.
    userId: event.account === undefined ? metadata.user_id ?? null : null,
    amount: amount_received,
    currency,
    paidAt: new Date(event.created * 1000),
  };
}
