import { z } from "zod";
import { includeArchived } from "../../shared/archive.ts";
import { pageQuery } from "../_kit/paging.ts";
import { day, readQuery, storableText } from "../_kit/read_request.ts";
import { STATUSES } from "./quotation.ts";
import type { ListQuery } from "./quotation_store.ts";

const text = storableText(200);

const Line = z.strictObject({
  description: text,
  quantity: z.number().min(0.001).max(9_999_999.999).multipleOf(0.001),
  unitPriceMinor: z.int().min(0).max(1_000_000_000_000),
  taxBasisPoints: z.int().min(0).max(10_000).default(0),
});

const customerName = text;
const currency = z.string().regex(/^[A-Z]{3}$/, {
  error: "expected an ISO 4217 code, for instance EUR",
});
const validUntil = day.nullable();
const lines = z.array(Line).max(100);

/** Everything that a quotation consists of: to create one, or to replace it. */
export const WholeQuotation = z.strictObject({
  customerName,
  currency,
  validUntil: validUntil.default(null),
  lines: lines.default([]),
});

/** Some of it; `lines` replace all lines. */
export const QuotationChanges = z.strictObject({
  customerName: customerName.exactOptional(),
  currency: currency.exactOptional(),
  validUntil: validUntil.exactOptional(),
  lines: lines.exactOptional(),
}).refine((changes) => Object.keys(changes).length > 0, {
  error: "name at least one field to change",
});

/** The status that a quotation is to have. */
export const StatusChange = z.strictObject({ status: z.enum(STATUSES) });

/** The query of a list, beside whether archived ones are to be in it. */
export const Query = z.object({
  ...pageQuery,
  status: z.enum(STATUSES).nullable().default(null),
});

/**
 * Which quotations a request asks for.
 *
 * @throws {Refusal} 400 when its query is not as expected.
 * @throws {ArchiveError} When it does not say clearly whether archived ones too.
 */
export function listQuery(req: Request): Omit<ListQuery, "ownerId"> {
  const { cursor: after, ...rest } = readQuery(req, Query);
  return { ...rest, after, includeArchived: includeArchived(req) };
}
