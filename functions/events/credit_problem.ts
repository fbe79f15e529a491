import type { EventDecision } from "./event.ts";
import { problemResponse } from "../../shared/idempotency.ts";

/** A decision that created nothing. */
export type Undecided = Exclude<EventDecision, { outcome: "created" }>;

/**
 * How the question what an event costs, and too few credits, are told over
 * HTTP. Neither is an outcome: mark the answer as not final.
 *
 * @param req The request, whose path names this occurrence in the answer.
 */
export function creditProblem(decision: Undecided, req: Request): Response {
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
