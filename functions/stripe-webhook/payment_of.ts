import type Stripe from "stripe";
import { z } from "zod";
import type { Payment } from "./payment_store.ts";

const UserId = z.guid();

/**
 * The payment that an event reports; `null` for every other kind of event.
 * The amount is what was received, which is less than what was asked for when
 * a payment was captured in part.
 */
export function paymentOf(event: Stripe.Event): Payment | null {
  if (event.type !== "payment_intent.succeeded") return null;
  const { id, amount_received, currency, metadata } = event.data.object;
  return {
    eventId: event.id,
    paymentIntentId: id,
    // Written by whoever made the payment intent, which is our own server.
    userId: UserId.safeParse(metadata["user_id"]).data ?? null,
    amount: amount_received,
    currency,
    paidAt: new Date(event.created * 1000),
  };
}
