import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import { StoreError } from "../_kit/store_error.ts";

/** An event that somebody wants to create. */
export interface NewEvent {
  /** 1–200 characters. */
  title: string;
  /** ISO 8601 with an offset, in the years 2000 to 2099. */
  startsAt: string;
  /** 1–200 characters; `null` for none. */
  location: string | null;
  /** 1–2000 characters; `null` for none. */
  description: string | null;
}

/** An event that was created. */
export interface CreatedEvent extends NewEvent {
  id: string;
  /** What it cost, in credits; 0 when the plan included it. */
  cost: number;
  /** ISO 8601 with an offset. */
  createdAt: string;
}

/**
 * What became of the wish to create an event. `cost` and `balance` are in
 * credits; the balance is what is left after it.
 */
export type EventDecision =
  | {
    outcome: "created";
    event: CreatedEvent;
    cost: number;
    balance: number;
  }
  /** The plan does not include it: nothing was done, until it is confirmed. */
  | { outcome: "question"; cost: number; balance: number }
  /** It was confirmed and cannot be paid for: nothing was done. */
  | { outcome: "too_few_credits"; cost: number; balance: number };

/** Where events are kept, for the user whom the client acts as. */
export interface EventStore {
  /**
   * Creates an event, once for each request id, and spends its cost with it.
   *
   * @param request.confirmCredit Whether the user agrees to what it costs where
   * the plan does not include it.
   * @param request.maxCost The most that they agreed to, in credits; dearer
   * than that it is a question again.
   * @throws {StoreError} When the database did not do its part; nobody knows
   * whether it did, so it has to be asked again with the same request id.
   */
  create(
    event: NewEvent,
    request: {
      requestId: string;
      confirmCredit: boolean;
      maxCost?: number | undefined;
    },
  ): Promise<EventDecision>;
  /**
   * The user's events, the newest first.
   *
   * @throws {StoreError} When the database fails.
   */
  list(limit: number): Promise<CreatedEvent[]>;
}

const EventRow = z.object({
  id: z.string(),
  title: z.string(),
  starts_at: z.string(),
  location: z.string().nullable(),
  description: z.string().nullable(),
  cost: z.number(),
  created_at: z.string(),
}).transform(({ starts_at: startsAt, created_at: createdAt, ...event }) => ({
  ...event,
  startsAt,
  createdAt,
}));

const price = { cost: z.number(), balance: z.number() };

// What create_event answers.
const Decision = z.discriminatedUnion("outcome", [
  z.object({ outcome: z.literal("created"), event: EventRow, ...price }),
  z.object({ outcome: z.literal("question"), ...price }),
  z.object({ outcome: z.literal("too_few_credits"), ...price }),
]);

/** Events in the table `events`, through a client that acts as the caller. */
export function eventStore(supabase: SupabaseClient<Database>): EventStore {
  return {
    async create(
      { title, startsAt, location, description },
      { requestId, confirmCredit, maxCost },
    ) {
      const { data, error } = await supabase.rpc("create_event", {
        p_request_id: requestId,
        p_title: title,
        p_starts_at: startsAt,
        ...(location === null ? {} : { p_location: location }),
        ...(description === null ? {} : { p_description: description }),
        p_confirm_credit: confirmCredit,
        ...(maxCost === undefined ? {} : { p_max_cost: maxCost }),
      });
      if (error) throw new StoreError("Cannot create an event", error);
      return Decision.parse(data);
    },
    async list(limit) {
      const { data, error } = await supabase
        .from("events")
        .select("id,title,starts_at,location,description,cost,created_at")
        .order("created_at", { ascending: false })
        .order("id")
        .limit(limit);
      if (error) throw new StoreError("Cannot list events", error);
      return z.array(EventRow).parse(data);
    },
  };
}
