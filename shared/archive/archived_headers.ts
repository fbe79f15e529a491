const INCLUDED = "X-Archived-Included";
const COUNT = "X-Archived-Count";
const EXPOSE = "Access-Control-Expose-Headers";

/**
 * What to tell about an answer that was asked to include archived rows:
 * `X-Archived-Included: true`, and in `X-Archived-Count` how many of its rows
 * are archived. Nothing where it was not asked.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { archivedHeaders } from "./archived_headers.ts";
 *
 * const rows = [{ archivedAt: null }, { archivedAt: "2026-11-28" }];
 * assertEquals(archivedHeaders(rows, true)["X-Archived-Count"], "1");
 * assertEquals(archivedHeaders(rows, false), {});
 * ```
 */
export function archivedHeaders(
  rows: readonly { archivedAt: string | null }[],
  included: boolean,
): Record<string, string> {
  if (!included) return {};
  const count = rows.filter(({ archivedAt }) => archivedAt !== null).length;
  return { [INCLUDED]: "true", [COUNT]: String(count) };
}

/**
 * CORS headers, with the two above let out: without it a page on another origin
 * cannot read them.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { exposeArchived } from "./archived_headers.ts";
 *
 * const headers = exposeArchived({ "Access-Control-Expose-Headers": "Link" });
 * assertEquals(
 *   headers["Access-Control-Expose-Headers"],
 *   "Link, X-Archived-Included, X-Archived-Count",
 * );
 * ```
 */
export function exposeArchived(
  corsHeaders: Record<string, string>,
): Record<string, string> {
  const exposed = [corsHeaders[EXPOSE], INCLUDED, COUNT].filter(Boolean);
  return { ...corsHeaders, [EXPOSE]: exposed.join(", ") };
}
