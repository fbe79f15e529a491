import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../shared/database.types.ts";
import { StoreError } from "../_kit/store_error.ts";

/** A payment that succeeded at the payment provider. */
export interface Payment {
  /** The provider's id of the event that reported it. */
  readonly eventId: string;
  /** The provider's id of the payment. */
  readonly paymentIntentId: string;
  /** Who paid, where the payment says so. */
  readonly userId: string | null;
  /** In the currency's smallest unit: cents for `eur`, yen for `jpy`. */
  readonly amount: number;
  /** ISO 4217, in lower case. */
  readonly currency: string;
  /** When the provider says that it happened. */
  readonly paidAt: Date;
}

/** Where payments are kept. */
export interface PaymentStore {
  /**
   * Books a payment, once however often it is reported.
   *
   * @throws {StoreError} When the database did not do its part.
   */
  record(payment: Payment): Promise<void>;
}

/** Payments in the table `payments`, through a client with the secret key. */
export function paymentStore(
  supabase: SupabaseClient<Database>,
): PaymentStore {
  return {
    async record(payment) {
      // An earlier attempt may have got this far and no further, and Stripe
      // may report one payment in two events: the row stays as it is.
      const { error } = await supabase.from("payments").upsert({
        event_id: payment.eventId,
        payment_intent_id: payment.paymentIntentId,
        user_id: payment.userId,
        amount: payment.amount,
        currency: payment.currency,
        paid_at: payment.paidAt.toISOString(),
      }, { onConflict: "payment_intent_id", ignoreDuplicates: true });
      if (error) {
        throw new StoreError(
          `Cannot book payment ${payment.paymentIntentId}`,
          error,
        );
      }
    },
  };
}
