import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../shared/database.types.ts";
import { StoreError } from "../_kit/store_error.ts";

/** A page of what a location holds. */
export interface LocationStock {
  locationId: string;
  /** In the order of the products' ids. */
  stock: { productId: string; quantity: number }[];
  /** Where the next page starts; `null` when this is the last one. */
  next: string | null;
}

/**
 * Reads the stock of a location, a page at a time.
 *
 * @param page.after The product after which the page starts.
 * @param page.limit How many products it holds at most.
 * @returns `null` when the caller's businesses have no such location.
 * @throws {StoreError} When the database fails.
 */
export async function readStock(
  supabase: SupabaseClient<Database>,
  locationId: string,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<LocationStock | null> {
  const location = await supabase.from("locations").select("business_id")
    .eq("id", locationId).maybeSingle();
  if (location.error) throw failed(locationId, location.error);
  if (location.data === null) return null;
  const rows = supabase.from("stock").select("product_id, quantity")
    // first in the table's key, which is what is walked here
    .eq("business_id", location.data.business_id)
    .eq("location_id", locationId)
    .order("product_id")
    .limit(limit + 1);
  const { data, error } =
    await (after === undefined ? rows : rows.gt("product_id", after));
  if (error) throw failed(locationId, error);
  const page = data.slice(0, limit);
  return {
    locationId,
    stock: page.map(({ product_id, quantity }) => ({
      productId: product_id,
      quantity,
    })),
    next: data.length > limit ? page.at(-1)!.product_id : null,
  };
}

function failed(
  locationId: string,
  error: { code: string; message: string },
): StoreError {
  return new StoreError(`Cannot read the stock of ${locationId}`, error);
}
