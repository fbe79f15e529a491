import { z } from "zod";
import type { Enforcement } from "../../shared/idempotency.ts";
import { storableText } from "../_kit/read_request.ts";

/** A resource of the CRM, as it is described in `resources.ts`. */
export interface Description {
  /** What one row is called in messages, with its article: `"a booking"`. */
  one: string;
  /** What a row says, by the names of the API; the columns have the same in snake case. */
  fields: z.ZodRawShape;
  /** Fields that lists can be narrowed to one value of. */
  filters: readonly string[];
  /** Fields that are shown and that nobody writes. */
  kept?: z.ZodRawShape;
  /**
   * What a write without a key gets.
   *
   * @default {"warn"}
   */
  enforcement?: Enforcement;
  /** What the database keeps besides the bounds of each field, for people. */
  rules?: string;
  /** Two bodies that create a row each. */
  examples: readonly [Record<string, unknown>, Record<string, unknown>];
}

/** What every row has beside the fields of its resource. */
const Envelope = {
  id: z.guid(),
  organizationId: z.guid().nullable(),
  version: z.int(),
  createdAt: z.string(),
  updatedAt: z.string(),
  archivedAt: z.string().nullable(),
};

/** A row of any resource, by the names of the API. */
export type Resource = z.output<z.ZodObject<typeof Envelope>> & {
  [field: string]: unknown;
};

/** A description, and what follows from it. */
export interface ResourceType extends Omit<Required<Description>, "rules"> {
  rules: string | undefined;
  /** The body of POST and PUT. */
  whole: z.ZodType<Record<string, unknown>>;
  /** The body of PATCH: some of it. */
  changes: z.ZodType<Record<string, unknown>>;
  /** The query of a list. */
  query: z.ZodObject;
  /** What a row looks like in an answer. */
  shown: z.ZodObject;
}

/** Makes what follows from a description. */
export function resource(description: Description): ResourceType {
  const { fields, filters, kept = {} } = description;
  const bare = Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [
      name,
      (field instanceof z.ZodDefault ? field.unwrap() : field) as z.ZodType,
    ]),
  );
  const optional = Object.fromEntries(
    Object.entries(bare).map(([name, field]) => [
      name,
      z.exactOptional(field),
    ]),
  );
  return {
    ...description,
    kept,
    enforcement: description.enforcement ?? "warn",
    rules: description.rules,
    whole: z.strictObject(fields).meta({ examples: [...description.examples] }),
    changes: z.strictObject(optional).refine(
      (changes) => Object.keys(changes).length > 0,
      { error: "name at least one field to change" },
    ),
    query: z.strictObject(Object.fromEntries(
      filters.map((name) => [name, z.optional(asQuery(bare[name]!))]),
    )),
    shown: z.object({ ...Envelope, ...bare, ...kept }),
  };
}

/** A query says everything in text, and cannot say null. */
function asQuery(field: z.ZodType): z.ZodType {
  return field instanceof z.ZodNullable ? field.unwrap() as z.ZodType : field;
}

/** The row of a table, as the API shows it. */
export function shownRow({ shown }: ResourceType, row: unknown): Resource {
  const columns = z.record(z.string(), z.unknown()).parse(row);
  const named = Object.keys(shown.shape).map((field) => [
    field,
    columns[columnOf(field)],
  ]);
  return z.looseObject(Envelope).parse(Object.fromEntries(named));
}

/** Fields by the names of the table. */
export function toColumns(
  fields: Record<string, unknown>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [columnOf(name), value]),
  );
}

/** `clientId` is `client_id` in the table. */
export function columnOf(field: string): string {
  return field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** `client_id` is `clientId` in the API. */
export function fieldOf(column: string): string {
  return column.replaceAll(/_([a-z])/g, (_, letter) => letter.toUpperCase());
}

// What fields are made of. Each draws the line that the column draws.

/** Text that is never empty. */
export const text = (maxLength = 200) => storableText(maxLength);

/** What may be left out, and is null then. */
export const maybe = <T extends z.ZodType>(field: T) =>
  field.nullable().default(null as never);

/** The id of a row of another resource, of the same owner. */
export const reference = (resource: string) =>
  z.guid().meta({ "x-references": resource });

/** What only one row in use has. */
export const unique = (field: z.ZodType<string>) =>
  field.meta({ "x-unique": true });

/** An amount in minor units of its currency, up to 10^12. */
export const amount = z.int().min(0).max(1_000_000_000_000);

/** An ISO 4217 code. */
export const currency = z.string().regex(/^[A-Z]{3}$/, {
  error: "expected an ISO 4217 code, for instance EUR",
});

/** An ISO 3166 code. */
export const country = z.string().regex(/^[A-Z]{2}$/, {
  error: "expected an ISO 3166 code of two letters, for instance PT",
});

/** An address; that it is somebody's nobody knows but by writing there. */
export const email = z.email().max(254);

/** A number as people write it. */
export const phone = text(50);

/** A moment, in UTC from here on: zod takes offsets that Postgres does not. */
export const moment = z.iso.datetime({
  offset: true,
  error: "expected a date and time with its offset, 2026-12-24T18:00:00Z",
}).max(40).refine((at) => /^20/.test(inUtc(at)), {
  error: "expected a year from 2000 to 2099",
}).overwrite(inUtc);

// Also asked where it is known already that the text is no moment.
function inUtc(at: string): string {
  const time = Date.parse(at);
  return Number.isNaN(time) ? at : new Date(time).toISOString();
}

/** A whole number of things. */
export const count = (min: number, max: number) => z.int().min(min).max(max);

/** A few texts. */
export const texts = z.array(text(100)).max(100);
