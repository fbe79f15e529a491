import type { ProblemTable } from "../_kit/refuse.ts";
import type { QuotationErrorCode } from "./quotation_error.ts";

/** How what stands against a change of a quotation is told over HTTP. */
export const problems: ProblemTable<QuotationErrorCode> = {
  AMOUNT_TOO_LARGE: { status: 422, title: "Amount too large" },
  QUOTATION_ARCHIVED: { status: 409, title: "Quotation archived" },
  QUOTATION_CHANGED: { status: 412, title: "Quotation changed meanwhile" },
  QUOTATION_EMPTY: { status: 409, title: "Quotation has no lines" },
  QUOTATION_NOT_DRAFT: { status: 409, title: "Quotation was sent" },
  QUOTATION_NOT_FOUND: { status: 404, title: "Quotation not found" },
  QUOTATION_OVERDUE: { status: 409, title: "Quotation overdue" },
  STATUS_CHANGE_NOT_ALLOWED: {
    status: 409,
    title: "Status change not allowed",
  },
};
