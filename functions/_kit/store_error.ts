/** What the database said. */
export interface StoreFailure {
  /** SQLSTATE, or PostgREST's own; empty where nobody answered. */
  code?: string;
  message: string;
  details?: string | null;
}

/**
 * A call to the database that failed for a reason the caller of the function
 * cannot mend. The message is for logs; the cause is what the database said.
 */
export class StoreError extends Error {
  override readonly name = "StoreError";
  declare readonly cause: StoreFailure;

  /** @param attempt What was being done, for instance `"Cannot read document 7f…"`. */
  constructor(attempt: string, cause: StoreFailure) {
    super(`${attempt}: ${cause.message} (${cause.code || "no code"})`, {
      cause,
    });
  }
}
