import { StoreError } from "../_kit/store_error.ts";
import { QuotationError, type QuotationErrorCode } from "./quotation_error.ts";

type Refusal = [code: QuotationErrorCode, advice: string];

const AMOUNT_TOO_LARGE: Refusal = [
  "AMOUNT_TOO_LARGE",
  "quantity times unit price of a line is over 10,000,000,000,000 minor units: split the line",
];

// What the database raises, and what that means to whoever asked.
const REFUSALS: Record<string, Refusal> = {
  QT000: ["QUOTATION_NOT_FOUND", "you have no such quotation: check the id"],
  SD001: ["QUOTATION_ARCHIVED", "it is archived: restore it first"],
  QT001: [
    "STATUS_CHANGE_NOT_ALLOWED",
    "its status does not allow that: read it again. A draft can be sent, and what was sent can be accepted, rejected or expired",
  ],
  QT002: [
    "QUOTATION_OVERDUE",
    "its last day of validity is over: send a new one with a later validUntil",
  ],
  QT003: ["QUOTATION_EMPTY", "it has no lines: add one before you send it"],
  QT004: [
    "QUOTATION_NOT_DRAFT",
    "it was sent, and what a customer was sent does not change: write a new one",
  ],
  QT005: [
    "QUOTATION_CHANGED",
    "somebody has changed it since you read it: read it again, and send your change with the new ETag",
  ],
  // The bounds that depend on two fields are checked where they are multiplied,
  // and what does not even fit a bigint is refused before the check.
  "23514": AMOUNT_TOO_LARGE,
  "22003": AMOUNT_TOO_LARGE,
};

/**
 * What a failed call to the database means.
 *
 * @param attempt What was being done, for instance `"Cannot send quotation 7f…"`.
 */
export function refusedChange(
  attempt: string,
  cause: { code?: string; message: string },
): QuotationError | StoreError {
  const refusal = REFUSALS[cause.code ?? ""];
  if (refusal === undefined) return new StoreError(attempt, cause);
  const [code, advice] = refusal;
  return new QuotationError(code, `${attempt}: ${advice}`, { cause });
}
