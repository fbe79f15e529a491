import { z } from "zod";
import { storableText } from "../_kit/storable_text.ts";

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

/** The body of POST. */
export const CreateRequest = z.strictObject({
  title: storableText(200),
  startsAt,
  location: storableText(200).nullable().default(null),
  description: storableText(2000).nullable().default(null),
});

/** The query of POST. */
export const CreateQuery = z.strictObject({
  confirm_credit: z.enum(["0", "1"]).default("0"),
  max_cost: wholeNumber(0, 1_000_000).optional(),
});

/** The query of GET. */
export const ListQuery = z.strictObject({
  limit: wholeNumber(1, 100).default(50),
});

function wholeNumber(min: number, max: number) {
  return z.string().regex(/^\d{1,9}$/, "expected a whole number")
    .transform(Number).pipe(z.int().min(min).max(max));
}
