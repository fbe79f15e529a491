import { z } from "zod";
import { includeArchived } from "../../shared/archive.ts";
import { readQuery, storableText } from "../_kit/read_request.ts";
import { Refusal } from "../_kit/refuse.ts";
import { STATUSES } from "./quotation.ts";
import type { ListQuery, Position } from "./quotation_store.ts";

const text = storableText(200);

const Line = z.strictObject({
  description: text,
  quantity: z.number().positive().max(9_999_999.999).multipleOf(0.001),
  unitPriceMinor: z.int().min(0).max(1_000_000_000_000),
  taxBasisPoints: z.int().min(0).max(10_000).default(0),
});

const customerName = text;
const currency = z.string().regex(/^[A-Z]{3}$/, {
  error: "expected an ISO 4217 code, for instance EUR",
});
const validUntil = z.iso.date().refine((date) => date >= "2000-01-01", {
  error: "expected a day from 2000 on",
}).nullable();
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

const Query = z.object({
  limit: z.coerce.number().int().min(1).max(100).default(50),
  status: z.enum(STATUSES).nullable().default(null),
  cursor: z.string().max(200).nullable().default(null)
    .transform((cursor, context) => {
      const position = cursor === null ? null : positionOf(cursor);
      if (position !== undefined) return position;
      context.addIssue("expected the nextCursor of an earlier answer");
      return z.NEVER;
    }),
});

const Place = z.tuple([z.iso.datetime({ offset: true }), z.guid()]);

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

/** Names the place after a quotation, for the next page. */
export function cursorAfter({ createdAt, id }: Position): string {
  return btoa(JSON.stringify([createdAt, id]));
}

function positionOf(cursor: string): Position | undefined {
  try {
    const [createdAt, id] = Place.parse(JSON.parse(atob(cursor)));
    return { createdAt, id };
  } catch {
    return undefined;
  }
}

// A proxy that compresses an answer makes its tag a weak one. The version that
// the tag names is the same, whatever the bytes.
const TAG = /^(?:W\/)?"(\d{1,9})"$/;

/**
 * The versions that `If-Match` names (RFC 9110, section 13.1.1), where tags are
 * made by {@link versionTag}; `null` where it is absent or `*`.
 *
 * @throws {Refusal} 400 when it is malformed.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ifMatch } from "./requests.ts";
 *
 * const req = new Request("http://x", { headers: { "If-Match": '"3"' } });
 * assertEquals(ifMatch(req), [3]);
 * ```
 */
export function ifMatch(req: Request): number[] | null {
  const header = req.headers.get("if-match")?.trim();
  if (header === undefined || header === "*") return null;
  return header.split(",").map((tag) => {
    const version = TAG.exec(tag.trim())?.[1];
    if (version !== undefined) return Number(version);
    throw new Refusal({
      status: 400,
      code: "IF_MATCH_INVALID",
      title: "Invalid If-Match",
      detail:
        `If-Match is ${header}: send the ETag as you got it, for instance "3"`,
    });
  });
}

/** The `ETag` of a version. */
export function versionTag(version: number): string {
  return `"${version}"`;
}
