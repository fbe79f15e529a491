/**
 * A call to the database that failed for a reason the caller of the function
 * cannot mend. The message is for logs; the cause is what the database said.
 */
export class StoreError extends Error {
  override readonly name = "StoreError";
  declare readonly cause: { code?: string; message: string };

  /** @param attempt What was being done, for instance `"Cannot read document 7f…"`. */
  constructor(attempt: string, cause: { code?: string; message: string }) {
    super(`${attempt}: ${cause.message} (${cause.code || "no code"})`, {
      cause,
    });
  }
}
