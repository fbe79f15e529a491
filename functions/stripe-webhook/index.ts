import { withSupabase } from "@supabase/server";
import type { Database } from "../../shared/database.types.ts";
import { withIdempotency } from "../../shared/idempotency.ts";
import { requireMethod } from "../_kit/read_request.ts";
import { refuse } from "../_kit/refuse.ts";
import { paymentStore } from "./payment_store.ts";
import { paymentOf, verifiedEvent } from "./stripe_event.ts";

// The plain form, not the middleware: the key may be used only once the
// signature is known to be good, and here the order can be read off the page.
export default {
  fetch: withSupabase<Database>(
    { auth: "none", cors: false },
    async (req, { supabaseAdmin }) => {
      try {
        requireMethod(req, "POST");
        const event = await verifiedEvent(req);
        const payment = paymentOf(event);
        if (payment === null) return Response.json({ ignored: event.type });

        const { status, headers, body } = await withIdempotency({
          supabase: supabaseAdmin,
          // Nobody is signed in: the key belongs to the project itself.
          userId: null,
          route: "stripe-webhook",
          key: event.id,
          // No payload to compare: a redelivered event differs in fields such
          // as pending_webhooks, and Stripe vouches for its id.
          ttlSeconds: KEPT_SECONDS,
          // A delivery that overlaps with another need not count as failed.
          onConcurrent: "wait",
          waitSeconds: 5,
        }, async () => {
          await paymentStore(supabaseAdmin).record(payment);
          return { status: 200, body: { booked: payment.paymentIntentId } };
        });
        return Response.json(body, { status, headers });
      } catch (error) {
        return refuse(error, {}, req);
      }
    },
  ),
};

// Stripe delivers again for up to three days, and by hand for thirty.
const KEPT_SECONDS = 30 * 86_400;
