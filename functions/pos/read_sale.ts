import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../shared/database.types.ts";
import { StoreError } from "../_kit/store_error.ts";

/** A sale as it stands; amounts in the smallest unit of the currency. */
export interface Sale {
  saleId: string;
  /** Of the invoice, such as `INV-202510-0001`. */
  number: string;
  locationId: string;
  currency: string;
  total: number;
  lines: {
    productId: string;
    quantity: number;
    unitPrice: number;
    total: number;
    refundedQuantity: number;
  }[];
  /** The newest first, at most {@link MAX_REFUNDS}. */
  refunds: {
    refundId: string;
    number: string;
    total: number;
    createdAt: string;
  }[];
  createdAt: string;
}

/** A sale of one piece a line has few; one of ten thousand pieces could have as many. */
const MAX_REFUNDS = 100;

/**
 * Reads a sale of a business of the caller's.
 *
 * @returns `null` when the caller's businesses have none with this id.
 * @throws {StoreError} When the database fails.
 */
export async function readSale(
  supabase: SupabaseClient<Database>,
  saleId: string,
): Promise<Sale | null> {
  const { data: sale, error } = await supabase.from("sales")
    .select(`
      id, number, location_id, currency, total, created_at,
      lines:sale_lines(product_id, quantity, unit_price, total, refunded_quantity),
      refunds(id, number, total, created_at)
    `)
    .eq("id", saleId)
    .order("product_id", { referencedTable: "lines" })
    .order("created_at", { referencedTable: "refunds", ascending: false })
    .limit(MAX_REFUNDS, { referencedTable: "refunds" })
    .maybeSingle();
  if (error) throw new StoreError(`Cannot read sale ${saleId}`, error);
  if (sale === null) return null;
  return {
    saleId: sale.id,
    number: sale.number,
    locationId: sale.location_id,
    currency: sale.currency,
    total: sale.total,
    lines: sale.lines.map((line) => ({
      productId: line.product_id,
      quantity: line.quantity,
      unitPrice: line.unit_price,
      total: line.total!,
      refundedQuantity: line.refunded_quantity,
    })),
    refunds: sale.refunds.map((refund) => ({
      refundId: refund.id,
      number: refund.number,
      total: refund.total,
      createdAt: refund.created_at,
    })),
    createdAt: sale.created_at,
  };
}
