import { z } from "zod";
import { storableMoment } from "./read_request.ts";

/** Where a list goes on: after the row with this time and id. */
export interface Position {
  createdAt: string;
  id: string;
}

const Place = z.tuple([storableMoment, z.guid()]);

/** Names the place after a row, for the next page. */
function cursorAfter({ createdAt, id }: Position): string {
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

/**
 * The parameters that say which page of a list is asked for, the newest first:
 * `limit`, 1–100, and `cursor`, from {@link pageOf}.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { z } from "zod";
 * import { pageQuery } from "./paging.ts";
 *
 * assertEquals(z.object(pageQuery).parse({}), { limit: 50, cursor: null });
 * ```
 */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(100).default(50),
  cursor: z.string().max(200).nullable().default(null)
    .transform((cursor, context) => {
      const position = cursor === null ? null : positionOf(cursor);
      if (position !== undefined) return position;
      context.addIssue("expected the nextCursor of an earlier answer");
      return z.NEVER;
    }),
};

interface Pageable<Query> {
  lte(column: "created_at", value: string): Query;
  or(filters: string): Query;
  order(column: "created_at" | "id", options: { ascending: false }): Query;
  limit(count: number): Query;
}

/** Takes the rows of a query that come after a place, the newest first. */
export function newestFirst<Query extends Pageable<Query>>(
  query: Query,
  after: Position | null,
  limit: number,
): Query {
  // The first condition follows from the second; the index knows it.
  const rest = after === null
    ? query
    : query.lte("created_at", after.createdAt).or(
      `created_at.lt."${after.createdAt}",id.lt.${after.id}`,
    );
  return rest.order("created_at", { ascending: false })
    .order("id", { ascending: false })
    .limit(limit);
}

/** One page of a list. */
export interface Page<Row> {
  rows: Row[];
  /** For the next page; `null`: there is none. */
  nextCursor: string | null;
}

/**
 * The page in what was found, where one row more than `limit` was asked for,
 * which tells whether there is another page.
 */
export function pageOf<Row extends Position>(
  found: readonly Row[],
  limit: number,
): Page<Row> {
  const rows = found.slice(0, limit);
  const last = rows.at(-1);
  return {
    rows,
    nextCursor: found.length > limit && last ? cursorAfter(last) : null,
  };
}
