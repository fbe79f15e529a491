import { z } from "zod";

/** What a quotation may be, in the order of its life. */
export const STATUSES = [
  "draft",
  "sent",
  "accepted",
  "rejected",
  "expired",
] as const;

/** What a quotation is at present. */
export type QuotationStatus = typeof STATUSES[number];

/** A line as its author writes it. */
export interface LineDraft {
  description: string;
  /** Up to three decimals. */
  quantity: number;
  /** In minor units of the currency. */
  unitPriceMinor: number;
  /** Hundredths of a percent: 1900 is 19 %. */
  taxBasisPoints: number;
}

/** A quotation as its author writes it. */
export interface QuotationDraft {
  customerName: string;
  /** ISO 4217, three capitals. */
  currency: string;
  /** The last day, in UTC, on which it can be accepted; `null`: no last day. */
  validUntil: string | null;
  lines: LineDraft[];
}

/** A line with its amounts, in minor units, each rounded half away from zero. */
export interface QuotationLine extends LineDraft {
  netMinor: number;
  taxMinor: number;
}

/** A quotation without its lines. Amounts are in minor units of the currency. */
export interface QuotationSummary extends Omit<QuotationDraft, "lines"> {
  id: string;
  /** Whose members share it; `null`: it is its author's own. */
  organizationId: string | null;
  status: QuotationStatus;
  /** Counted up at every change. */
  version: number;
  netMinor: number;
  taxMinor: number;
  totalMinor: number;
  createdAt: string;
  updatedAt: string;
  archivedAt: string | null;
}

/** A quotation. */
export interface Quotation extends QuotationSummary {
  lines: QuotationLine[];
}

const SummaryRow = z.object({
  id: z.guid(),
  organization_id: z.guid().nullable(),
  status: z.enum(STATUSES),
  version: z.int(),
  customer_name: z.string(),
  currency: z.string(),
  valid_until: z.string().nullable(),
  net_minor: z.int(),
  tax_minor: z.int(),
  total_minor: z.int(),
  created_at: z.string(),
  updated_at: z.string(),
  archived_at: z.string().nullable(),
});

const Row = SummaryRow.extend({
  lines: z.array(z.object({
    description: z.string(),
    quantity: z.number(),
    unit_price_minor: z.int(),
    tax_basis_points: z.int(),
    net_minor: z.int(),
    tax_minor: z.int(),
  })),
});

/** The columns that {@link summaryOf} reads. */
export const SUMMARY_COLUMNS =
  "id, organization_id, status, version, customer_name, currency, valid_until, net_minor, tax_minor, total_minor, created_at, updated_at, archived_at";

/** A row of `quotations`, checked. */
export function summaryOf(row: unknown): QuotationSummary {
  return toSummary(SummaryRow.parse(row));
}

/** What `quotation_document` answers, checked. */
export function quotationOf(document: unknown): Quotation {
  const { lines, ...row } = Row.parse(document);
  return {
    ...toSummary(row),
    lines: lines.map((line) => ({
      description: line.description,
      quantity: line.quantity,
      unitPriceMinor: line.unit_price_minor,
      taxBasisPoints: line.tax_basis_points,
      netMinor: line.net_minor,
      taxMinor: line.tax_minor,
    })),
  };
}

function toSummary(row: z.output<typeof SummaryRow>): QuotationSummary {
  return {
    id: row.id,
    organizationId: row.organization_id,
    status: row.status,
    version: row.version,
    customerName: row.customer_name,
    currency: row.currency,
    validUntil: row.valid_until,
    netMinor: row.net_minor,
    taxMinor: row.tax_minor,
    totalMinor: row.total_minor,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    archivedAt: row.archived_at,
  };
}

/** Why a quotation stays as it is. */
export type QuotationErrorCode =
  | "AMOUNT_TOO_LARGE"
  | "ORGANIZATION_NOT_FOUND"
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
