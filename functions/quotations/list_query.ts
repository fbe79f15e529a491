import { z } from "zod";
import { includeArchived } from "../../shared/archive.ts";
import { readQuery } from "../_kit/read_query.ts";
import { STATUSES } from "./quotation.ts";
import type { ListQuery, Position } from "./quotation_store.ts";

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
export function listQuery(req: Request): ListQuery {
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
