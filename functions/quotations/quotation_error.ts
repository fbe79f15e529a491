/** Why a quotation stays as it is. */
export type QuotationErrorCode =
  | "AMOUNT_TOO_LARGE"
  | "QUOTATION_ARCHIVED"
  | "QUOTATION_CHANGED"
  | "QUOTATION_EMPTY"
  | "QUOTATION_NOT_DRAFT"
  | "QUOTATION_NOT_FOUND"
  | "QUOTATION_OVERDUE"
  | "STATUS_CHANGE_NOT_ALLOWED";

/** A rule about quotations that was not kept; nothing was changed. */
export class QuotationError extends Error {
  override readonly name = "QuotationError";

  /** @param message What was wrong and what to do, fit for the user's eyes. */
  constructor(
    readonly code: QuotationErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
