import { z } from "zod";
import { storableText } from "../_kit/read_request.ts";

// The bounds of the columns; the database draws the same lines.
const EARLIEST = Date.parse("2000-01-01T00:00:00Z");
const END = Date.parse("2100-01-01T00:00:00Z");

// In UTC from here on: zod takes offsets that Postgres does not.
const startsAt = z.iso.datetime({
  offset: true,
  error: "expected a date and time with its offset, 2026-12-24T18:00:00Z",
}).max(40)
  .refine((text) => Date.parse(text) >= EARLIEST && Date.parse(text) < END, {
    error: "expected a year from 2000 to 2099",
  })
  .transform((text) => new Date(text).toISOString());

const title = storableText(200);
const location = storableText(200).nullable();
const description = storableText(2000).nullable();
const participants = z.int().min(1).max(10_000);

/** The body of POST. */
export const CreateRequest = z.strictObject({
  title,
  startsAt,
  location: location.default(null),
  description: description.default(null),
  participants: participants.default(1),
});

/** The body of PATCH: the version that was read, and what is to change. */
export const UpdateRequest = z.strictObject({
  version: z.int().min(1).max(1_000_000_000),
  title: title.exactOptional(),
  startsAt: startsAt.exactOptional(),
  location: location.exactOptional(),
  description: description.exactOptional(),
  participants: participants.exactOptional(),
}).refine((changes) => Object.keys(changes).length > 1, {
  error: "name at least one field to change",
});

/** The query of what may cost something. */
export const ConsentQuery = z.strictObject({
  confirm_credit: z.enum(["0", "1"]).default("0"),
  max_cost: wholeNumber(0, 1_000_000).optional(),
});

const includeArchived = z.enum(["true", "false"]).default("false")
  .transform((text) => text === "true");

/** The query of the list. */
export const ListQuery = z.strictObject({
  limit: wholeNumber(1, 100).default(50),
  include_archived: includeArchived,
});

/** The query of one event. */
export const ReadQuery = z.strictObject({ include_archived: includeArchived });

/** The query of a route that takes none. */
export const NoQuery = z.strictObject({});

function wholeNumber(min: number, max: number) {
  return z.string().regex(/^\d{1,9}$/, "expected a whole number")
    .transform(Number).pipe(z.int().min(min).max(max));
}
