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
