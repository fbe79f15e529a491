import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import {
  corsHeaders,
  fingerprintRequest,
  problemResponse,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { withErrorStyle } from "../_kit/error_envelope.ts";
import {
  readJson,
  readQuery,
  requireMethod,
  storableText,
} from "../_kit/read_request.ts";
import { refuse } from "../_kit/refuse.ts";
import { type EventDecision, eventStore } from "./event_store.ts";

// The bounds of the columns; the database draws the same lines.
const EARLIEST = Date.parse("2000-01-01T00:00:00Z");
const END = Date.parse("2100-01-01T00:00:00Z");

// In UTC from here on: zod takes offsets that Postgres does not.
const startsAt = z.iso.datetime({
  offset: true,
  error: "expected a date and time with its offset, 2026-12-24T18:00:00Z",
}).max(40)
  .refine((text) => Date.parse(text) >= EARLIEST && Date.parse(text) < END, {
    error: "expected a year from 2000 to 2099",
  })
  .transform((text) => new Date(text).toISOString());

/** The body of POST. */
const CreateRequest = z.strictObject({
  title: storableText(200),
  startsAt,
  location: storableText(200).nullable().default(null),
  description: storableText(2000).nullable().default(null),
});

/** The query of POST. */
const CreateQuery = z.strictObject({
  confirm_credit: z.enum(["0", "1"]).default("0"),
  max_cost: wholeNumber(0, 1_000_000).optional(),
});

/** The query of GET. */
const ListQuery = z.strictObject({
  limit: wholeNumber(1, 100).default(50),
});

function wholeNumber(min: number, max: number) {
  return z.string().regex(/^\d{1,9}$/, "expected a whole number")
    .transform(Number).pipe(z.int().min(min).max(max));
}

const events = pipeline(
  [
    withSupabase<Database>({ auth: "user", cors: { headers: corsHeaders } }),
    withIdempotency({
      scope: "events",
      // Credits hang on it, and without a key a retry would spend them again.
      enforcement: "required",
      // The confirmation is the same intention as the question it answers.
      fingerprint: (req) =>
        fingerprintRequest(req, {
          ignoreQuery: ["confirm_credit", "max_cost"],
        }),
    }),
  ],
  async (req, { supabase, idempotency }) => {
    try {
      requireMethod(req, "GET", "POST");
      const store = eventStore(supabase);
      if (req.method === "GET") {
        const { limit } = readQuery(req, ListQuery);
        const listed = await store.list(limit);
        // Of one user, and of this moment.
        const headers = { "Cache-Control": "no-store" };
        return Response.json({ events: listed }, { headers });
      }
      const { confirm_credit, max_cost } = readQuery(req, CreateQuery);
      const event = await readJson(req, CreateRequest);
      const decision = await store.create(event, {
        requestId: await idempotency.effectKey("create-event"),
        confirmCredit: confirm_credit === "1",
        maxCost: max_cost,
      });
      if (decision.outcome === "created") {
        const { outcome: _, ...created } = decision;
        return Response.json(created, { status: 201 });
      }
      // Topping up is not part of the request: the same key has to run again.
      return idempotency.notFinal(creditProblem(decision, req));
    } catch (error) {
      return idempotency.notFinal(refuse(error, {}, req));
    }
  },
);

export default { fetch: withErrorStyle(events) };

/** A decision that created nothing. */
type Undecided = Exclude<EventDecision, { outcome: "created" }>;

/**
 * How the question what an event costs, and too few credits, are told over
 * HTTP. Neither is an outcome: mark the answer as not final.
 *
 * @param req The request, whose path names this occurrence in the answer.
 */
function creditProblem(decision: Undecided, req: Request): Response {
  const { outcome, cost, balance } = decision;
  const told = {
    instance: new URL(req.url).pathname,
    extensions: { cost, balance, currency: "credits" },
  };
  switch (outcome) {
    case "question":
      return problemResponse({
        ...told,
        status: 409,
        code: "CREDIT_CONFIRMATION_REQUIRED",
        title: "Credit confirmation required",
        detail:
          `Your plan does not include another event this month: it costs ${cost} credits, you have ${balance}; to create it, send the same request with the same key and ?confirm_credit=1&max_cost=${cost}`,
      });
    case "too_few_credits":
      return problemResponse({
        ...told,
        status: 402,
        code: "TOO_FEW_CREDITS",
        title: "Too few credits",
        detail:
          `Cannot create the event for ${cost} credits: you have ${balance}; get more, then send the same request with the same key`,
      });
  }
}
