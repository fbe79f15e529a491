import type { Catalogue } from "../../_kit/language.ts";

/** What events say in English: what is theirs; the rest says so where it is refused. */
export const en = {
  CREDIT_CONFIRMATION_REQUIRED: {
    title: "Credit confirmation required",
    detail: ({ cost, balance }) =>
      `Your plan does not include all of this: it costs ${cost} credits, you have ${balance}; to go on, send the same request with the same key and ?confirm_credit=1&max_cost=${cost}`,
  },
  TOO_FEW_CREDITS: {
    title: "Too few credits",
    detail: ({ cost, balance }) =>
      `This costs ${cost} credits, and you have ${balance}; get more, then send the same request with the same key`,
  },
  EVENT_NOT_FOUND: {
    title: "Event not found",
    detail: ({ eventId }) =>
      `There is no event ${eventId} of yours: check the id`,
  },
  EVENT_ARCHIVED: {
    title: "Event archived",
    detail: ({ eventId }) =>
      `Event ${eventId} is archived: restore it first, or ask for it with ?include_archived=true`,
  },
  EVENT_CANCELLED: {
    title: "Event cancelled",
    detail: ({ eventId }) =>
      `Event ${eventId} is cancelled: it can be edited no more`,
  },
  EVENT_CHANGED: {
    title: "Event changed meanwhile",
    detail: ({ version }) =>
      `Somebody has edited the event: read version ${version}, and send your changes to that one under a new key`,
  },
  ROUTE_NOT_FOUND: {
    title: "Route not found",
    detail: ({ instance }) =>
      `Nothing is served at ${instance}: check the path`,
  },
} satisfies Catalogue;

/** A code of this function's own. */
export type EventCode = keyof typeof en;
