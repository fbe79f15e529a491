/** A query of supabase-js, as far as it is used here. */
interface Filterable<Query> {
  is(column: "archived_at", value: null): Query;
}

/**
 * Leaves archived rows out of a query, unless they were asked for.
 *
 * @example
 * ```ts
 * import type { SupabaseClient } from "@supabase/supabase-js";
 * import { leaveOutArchived } from "./leave_out_archived.ts";
 *
 * const names = (supabase: SupabaseClient, included: boolean) =>
 *   leaveOutArchived(supabase.from("customers").select("name"), included);
 * ```
 */
export function leaveOutArchived<Query extends Filterable<Query>>(
  query: Query,
  included: boolean,
): Query {
  return included ? query : query.is("archived_at", null);
}
