import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import { askForArchived, leaveOutArchived } from "../../shared/archive.ts";
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
  /**
   * How many people it is for, 1–10000.
   *
   * @default {1}
   */
  participants?: number;
}

/** An event that was created. */
export interface CreatedEvent extends Required<NewEvent> {
  id: string;
  /** All that was spent on it, in credits; 0 when the plan includes it. */
  cost: number;
  /** From 1; the next with each edit. */
  version: number;
  /** ISO 8601 with an offset. */
  createdAt: string;
  /** `null`: it takes place. */
  cancelledAt: string | null;
  /** `null`: it is in use. */
  archivedAt: string | null;
}

/** What the caller agreed to pay, and under which request. */
export interface Consent {
  /** The same for every attempt at one request. */
  requestId: string;
  /** Whether they agree to what it costs where the plan does not include it. */
  confirmCredit: boolean;
  /** The most that they agreed to, in credits; dearer is a question again. */
  maxCost?: number | undefined;
}

/** Something was done. `cost` and what is left after it, `balance`, are credits. */
export interface Done {
  outcome: "created" | "updated";
  event: CreatedEvent;
  cost: number;
  balance: number;
}

/** Nothing was done, and what it would cost is told. */
export interface Undecided {
  /** The plan does not include it; or it was confirmed and cannot be paid for. */
  outcome: "question" | "too_few_credits";
  cost: number;
  balance: number;
}

/** Nothing was done: the event is not in the state for it. */
export type Hindered =
  | { outcome: "not_found" | "archived" | "cancelled" }
  | { outcome: "changed"; version: number };

/**
 * Where events are kept, for the user whom the client acts as. Each call throws
 * a {@link StoreError} when the database did not do its part; nobody knows
 * whether it did, so it has to be asked again with the same request id.
 */
export interface EventStore {
  /** Creates an event, once for each request id, and spends its cost with it. */
  create(event: NewEvent, consent: Consent): Promise<Done | Undecided>;
  /**
   * Edits an event, once for each request id, and spends what it costs with it.
   *
   * @param version The one that the changes were made to.
   */
  update(
    id: string,
    version: number,
    changes: Partial<NewEvent>,
    consent: Consent,
  ): Promise<Done | Undecided | Hindered>;
  /** Cancels an event; one that is cancelled stays as it is. */
  cancel(
    id: string,
  ): Promise<{ outcome: "done"; event: CreatedEvent } | Hindered>;
  /** The event, archived or not; `null` when the user has none with this id. */
  read(id: string): Promise<CreatedEvent | null>;
  /** The user's events, the newest first. */
  list(
    which: { limit: number; includeArchived: boolean },
  ): Promise<CreatedEvent[]>;
}

const EventRow = z.object({
  id: z.string(),
  title: z.string(),
  starts_at: z.string(),
  location: z.string().nullable(),
  description: z.string().nullable(),
  participants: z.number(),
  cost: z.number(),
  version: z.number(),
  created_at: z.string(),
  cancelled_at: z.string().nullable(),
  archived_at: z.string().nullable(),
}).transform((
  {
    starts_at: startsAt,
    created_at: createdAt,
    cancelled_at: cancelledAt,
    archived_at: archivedAt,
    ...event
  },
) => ({ ...event, startsAt, createdAt, cancelledAt, archivedAt }));

const COLUMNS =
  "id,title,starts_at,location,description,participants,cost,version,created_at,cancelled_at,archived_at";

const price = { cost: z.number(), balance: z.number() };

const undecided = [
  z.object({ outcome: z.literal("question"), ...price }),
  z.object({ outcome: z.literal("too_few_credits"), ...price }),
] as const;

const hindered = [
  z.object({ outcome: z.literal("not_found") }),
  z.object({ outcome: z.literal("archived") }),
] as const;

// What create_event answers, and so on.
const Creation = z.discriminatedUnion("outcome", [
  z.object({ outcome: z.literal("created"), event: EventRow, ...price }),
  ...undecided,
]);
const Edit = z.discriminatedUnion("outcome", [
  z.object({ outcome: z.literal("updated"), event: EventRow, ...price }),
  z.object({ outcome: z.literal("cancelled") }),
  z.object({ outcome: z.literal("changed"), version: z.number() }),
  ...undecided,
  ...hindered,
]);
const Cancellation = z.discriminatedUnion("outcome", [
  z.object({ outcome: z.literal("cancelled"), event: EventRow })
    .transform(({ event }) => ({ outcome: "done" as const, event })),
  ...hindered,
]);

/** Events in the table `events`, through a client that acts as the caller. */
export function eventStore(supabase: SupabaseClient<Database>): EventStore {
  return {
    async create(
      { title, startsAt, location, description, participants = 1 },
      consent,
    ) {
      const { data, error } = await supabase.rpc("create_event", {
        p_title: title,
        p_starts_at: startsAt,
        ...(location === null ? {} : { p_location: location }),
        ...(description === null ? {} : { p_description: description }),
        p_participants: participants,
        ...parametersOf(consent),
      });
      if (error) throw new StoreError("Cannot create an event", error);
      return Creation.parse(data);
    },
    async update(id, version, { startsAt, ...changes }, consent) {
      const { data, error } = await supabase.rpc("update_event", {
        p_event_id: id,
        p_version: version,
        p_changes: {
          ...changes,
          ...(startsAt === undefined ? {} : { starts_at: startsAt }),
        },
        ...parametersOf(consent),
      });
      if (error) throw new StoreError(`Cannot edit event ${id}`, error);
      return Edit.parse(data);
    },
    async cancel(id) {
      const { data, error } = await supabase.rpc("cancel_event", {
        p_event_id: id,
      });
      if (error) throw new StoreError(`Cannot cancel event ${id}`, error);
      return Cancellation.parse(data);
    },
    async read(id) {
      const { data, error } = await askForArchived(
        supabase.from("events").select(COLUMNS).eq("id", id),
      ).maybeSingle();
      if (error) throw new StoreError(`Cannot read event ${id}`, error);
      return data && EventRow.parse(data);
    },
    async list({ limit, includeArchived }) {
      const all = supabase.from("events").select(COLUMNS);
      const { data, error } = await leaveOutArchived(all, includeArchived)
        .order("created_at", { ascending: false })
        .order("id")
        .limit(limit);
      if (error) throw new StoreError("Cannot list events", error);
      return z.array(EventRow).parse(data);
    },
  };
}

function parametersOf({ requestId, confirmCredit, maxCost }: Consent) {
  return {
    p_request_id: requestId,
    p_confirm_credit: confirmCredit,
    ...(maxCost === undefined ? {} : { p_max_cost: maxCost }),
  };
}
