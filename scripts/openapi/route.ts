import type { z } from "zod";

/** How a route treats keys, as far as clients have to know. */
export interface Keys {
  /** The scope of its keys, less the organisation. */
  scope: string;
  /** What a request without a key gets, where the environment says nothing. */
  enforcement: "optional" | "warn" | "required";
  /** Whether colleagues share the keys of their organisation. */
  shared?: true;
}

/** One route of a function, as the document tells of it. */
export interface Route {
  method: "get" | "post" | "put" | "patch" | "delete";
  /** Below `/functions/v1`, with parameters in braces. */
  path: string;
  summary: string;
  /** What else there is to know. */
  description?: string;
  /** Who may call it. */
  auth: "user" | "secret" | "signature" | "nobody";
  /** What stands for one thing in messages about the whole: `"bookings"`. */
  tag: string;
  query?: z.ZodObject;
  /** Whether a query may ask for archived rows. */
  archived?: true;
  body?: z.ZodType;
  /** Names the body's schema, where it is told once for several routes. */
  bodyName?: string;
  /** Bodies that are right, where the schema has none. */
  examples?: readonly unknown[];
  /** Also a multipart form with a file. */
  form?: true;
  /** A list of comma-separated values, with these columns. */
  csv?: string;
  /** Whether the header for an organisation has a meaning. */
  organizations?: true;
  /** Whether `If-Match` has a meaning. */
  versions?: true;
  keys?: Keys;
  status: number;
  /** What the answer's body is, and its name. */
  answer?: { name: string; schema: z.ZodType };
}
