import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../database.types.ts";
import { StoreError } from "../../functions/_kit/store_error.ts";

type Tables = Database["public"]["Tables"];

/** A table with soft delete, whose rows are told apart by `id`. */
export type ArchivableTable = {
  [Name in keyof Tables]: Tables[Name]["Row"] extends
    { id: string; archived_at: string | null } ? Name : never;
}[keyof Tables];

/**
 * Archives a row; one that is archived already stays as it is.
 *
 * @returns Whether there is such a row, as far as the caller may know.
 * @throws {StoreError} When the database fails.
 */
export async function archive(
  supabase: SupabaseClient<Database>,
  table: ArchivableTable,
  id: string,
): Promise<boolean> {
  // The database puts its own time in place of this one.
  const archived_at = new Date().toISOString();
  const { data, error } = await supabase.from(table).update({ archived_at })
    .eq("id", id).is("archived_at", null).select("id");
  if (error) throw new StoreError(`Cannot archive ${table} ${id}`, error);
  return data.length > 0 || await exists(supabase, table, id);
}

/**
 * Restores an archived row; one that is in use already stays as it is.
 *
 * @returns Whether there is such a row, as far as the caller may know.
 * @throws {StoreError} When the database fails.
 */
export async function restore(
  supabase: SupabaseClient<Database>,
  table: ArchivableTable,
  id: string,
): Promise<boolean> {
  const { data, error } = await supabase.from(table)
    .update({ archived_at: null })
    .eq("id", id).not("archived_at", "is", null).select("id");
  if (error) throw new StoreError(`Cannot restore ${table} ${id}`, error);
  return data.length > 0 || await exists(supabase, table, id);
}

async function exists(
  supabase: SupabaseClient<Database>,
  table: ArchivableTable,
  id: string,
): Promise<boolean> {
  const { data, error } = await supabase.from(table).select("id")
    .eq("id", id).maybeSingle();
  if (error) throw new StoreError(`Cannot read ${table} ${id}`, error);
  return data !== null;
}
