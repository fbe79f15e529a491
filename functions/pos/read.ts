import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
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
  /** What the total holds of tax. */
  tax: number;
  lines: {
    productId: string;
    /** Of the product when it was sold. */
    name: string;
    quantity: number;
    unitPrice: number;
    /** In hundredths of a percent. */
    taxRate: number;
    total: number;
    tax: number;
    refundedQuantity: number;
  }[];
  payments: {
    method: string;
    amount: number;
    tendered: number | null;
    change: number | null;
    reference: string | null;
  }[];
  /** What the invoice says beside this. */
  invoice: Invoice;
  /** The newest first, at most {@link MAX_REFUNDS}. */
  refunds: {
    refundId: string;
    number: string;
    total: number;
    tax: number;
    createdAt: string;
  }[];
  createdAt: string;
}

const numbered = { number: z.string(), issuedOn: z.iso.date() };

/** The view's columns are JSON to the types. */
const Invoice = z.object({
  /** In the series of the permit; `null` where the business was not registered. */
  serialNumber: z.string().nullable(),
  seller: z.object({
    registeredName: z.string(),
    tin: z.string(),
    branchCode: z.string(),
    address: z.string(),
    vatRegistered: z.boolean(),
    permit: z.object({
      ...numbered,
      firstSerial: z.int(),
      lastSerial: z.int(),
    }),
    accreditation: z.object(numbered).nullable(),
  }).nullable(),
  buyer: z.object({
    name: z.string().nullable(),
    tin: z.string().nullable(),
    address: z.string().nullable(),
  }).nullable(),
  /** Without the tax. */
  vatableSales: z.int(),
  vatAmount: z.int(),
  zeroRatedSales: z.int(),
  exemptSales: z.int(),
});

type Invoice = z.output<typeof Invoice>;

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
  const reading = supabase.from("sales")
    .select(`
      id, number, location_id, currency, total, tax, created_at,
      lines:sale_lines(product_id, name, quantity, unit_price, tax_rate, total, tax, refunded_quantity),
      payments:sale_payments(method, amount, tendered, change, reference),
      refunds(id, number, total, tax, created_at)
    `)
    .eq("id", saleId)
    .order("product_id", { referencedTable: "lines" })
    .order("position", { referencedTable: "payments" })
    .order("created_at", { referencedTable: "refunds", ascending: false })
    .limit(MAX_REFUNDS, { referencedTable: "refunds" })
    .maybeSingle();
  const [{ data: sale, error }, invoice] = await Promise.all([
    reading,
    supabase.from("v_invoices").select("invoice").eq("sale_id", saleId)
      .maybeSingle(),
  ]);
  if (error ?? invoice.error) {
    throw new StoreError(
      `Cannot read sale ${saleId}`,
      (error ?? invoice.error)!,
    );
  }
  if (sale === null || invoice.data === null) return null;
  return {
    saleId: sale.id,
    number: sale.number,
    locationId: sale.location_id,
    currency: sale.currency,
    total: sale.total,
    tax: sale.tax,
    lines: sale.lines.map((line) => ({
      productId: line.product_id,
      name: line.name,
      quantity: line.quantity,
      unitPrice: line.unit_price,
      taxRate: line.tax_rate,
      total: line.total!,
      tax: line.tax!,
      refundedQuantity: line.refunded_quantity,
    })),
    payments: sale.payments,
    invoice: Invoice.parse(invoice.data.invoice),
    refunds: sale.refunds.map((refund) => ({
      refundId: refund.id,
      number: refund.number,
      total: refund.total,
      tax: refund.tax,
      createdAt: refund.created_at,
    })),
    createdAt: sale.created_at,
  };
}

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
