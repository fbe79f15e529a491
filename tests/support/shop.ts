import { assertEquals } from "@std/assert";
import type { Stack } from "../../scripts/stack/stack.ts";
import { call, type CallAnswer } from "./call.ts";
import { unique } from "./probe.ts";
import type { Actor } from "./stack.ts";

/** A business of an actor's, with two locations and nothing in them. */
export interface Shop {
  readonly owner: Actor;
  readonly businessId: string;
  /** Where most tests sell. */
  readonly counter: string;
  readonly warehouse: string;
}

/** Opens a business as an actor, through the API alone. */
export async function openShop(owner: Actor): Promise<Shop> {
  const { data: businessId } = await owner.client.rpc("create_business", {
    p_name: unique("shop"),
    p_currency: "EUR",
  }).throwOnError();
  const { data: locations } = await owner.client.from("locations")
    .insert(
      ["counter", "warehouse"].map((name) => ({
        business_id: businessId,
        name,
      })),
    )
    .select("id, name").order("name").throwOnError();
  const [counter, warehouse] = locations;
  return {
    owner,
    businessId,
    counter: counter!.id,
    warehouse: warehouse!.id,
  };
}

/** What an owner registers a shop with; the permit is of a thousand invoices. */
export const REGISTRATION = {
  registeredName: "Leaf and Cup Trading Corporation",
  tin: "123-456-789",
  branchCode: "00000",
  address: "12 Mabini Street, Ermita, Manila 1000",
  vatRegistered: true,
  permit: {
    number: "FP012026-001-0123456-00000",
    issuedOn: "2026-01-15",
    firstSerial: 1,
    lastSerial: 1000,
  },
};

/** Registers a shop, so that its invoices have serial numbers. */
export async function register(
  stack: Pick<Stack, "apiUrl">,
  { owner, businessId }: Shop,
  changed: Partial<typeof REGISTRATION> = {},
): Promise<CallAnswer> {
  const path = `pos/businesses/${businessId}/registration`;
  return await call(stack, owner, path, {
    body: { ...REGISTRATION, ...changed },
    key: unique("key"),
  });
}

/** Adds a product to the catalogue of a shop. */
export async function addProduct(
  { owner, businessId }: Shop,
  price = 250,
  taxRate = 0,
  sku = unique("sku"),
): Promise<string> {
  const { data } = await owner.client.from("products")
    .insert({
      business_id: businessId,
      sku,
      name: "Tea",
      price,
      tax_rate: taxRate,
    })
    .select("id").single().throwOnError();
  return data.id;
}

/** Lines of a document: product and quantity. */
export type Lines = readonly (readonly [product: string, quantity: number])[];

/** Writes a purchase receipt, not approved. */
export async function draftReceipt(
  { owner: { client }, businessId, counter }: Shop,
  lines: Lines,
  locationId = counter,
): Promise<string> {
  const { data } = await client.from("purchase_receipts")
    .insert({
      business_id: businessId,
      location_id: locationId,
      supplier: "Leaf & Co",
    })
    .select("id").single().throwOnError();
  await client.from("purchase_receipt_lines").insert(
    lines.map(([product_id, quantity]) => ({
      business_id: businessId,
      receipt_id: data.id,
      product_id,
      quantity,
    })),
  ).throwOnError();
  return data.id;
}

/** Writes a return to a supplier, not approved. */
export async function draftReturn(
  { owner: { client }, businessId, counter }: Shop,
  lines: Lines,
): Promise<string> {
  const { data } = await client.from("supplier_returns")
    .insert({
      business_id: businessId,
      location_id: counter,
      supplier: "Leaf & Co",
    })
    .select("id").single().throwOnError();
  await client.from("supplier_return_lines").insert(
    lines.map(([product_id, quantity]) => ({
      business_id: businessId,
      return_id: data.id,
      product_id,
      quantity,
    })),
  ).throwOnError();
  return data.id;
}

/** Writes a correction of the counter's stock, not approved. */
export async function draftCorrection(
  { owner: { client }, businessId, counter }: Shop,
  lines: Lines,
): Promise<string> {
  const { data } = await client.from("inventory_corrections")
    .insert({
      business_id: businessId,
      location_id: counter,
      reason: "broken",
    })
    .select("id").single().throwOnError();
  await client.from("inventory_correction_lines").insert(
    lines.map(([product_id, quantity]) => ({
      business_id: businessId,
      correction_id: data.id,
      product_id,
      quantity,
    })),
  ).throwOnError();
  return data.id;
}

/** Writes a transfer from the counter to the warehouse, not sent. */
export async function draftTransfer(
  { owner: { client }, businessId, counter, warehouse }: Shop,
  lines: Lines,
): Promise<string> {
  const { data } = await client.from("transfers")
    .insert({
      business_id: businessId,
      from_location_id: counter,
      to_location_id: warehouse,
    })
    .select("id").single().throwOnError();
  await client.from("transfer_lines").insert(
    lines.map(([product_id, quantity]) => ({
      business_id: businessId,
      transfer_id: data.id,
      product_id,
      quantity,
    })),
  ).throwOnError();
  return data.id;
}

/** Brings goods into a location, by a receipt. */
export async function fill(
  stack: Pick<Stack, "apiUrl">,
  shop: Shop,
  lines: Lines,
  locationId = shop.counter,
): Promise<void> {
  const receiptId = await draftReceipt(shop, lines, locationId);
  const { status } = await call(
    stack,
    shop.owner,
    `pos/purchases/receipts/${receiptId}/approve`,
    { key: unique("key") },
  );
  assertEquals(status, 200);
}

/** The body of a sale. */
export function saleOf(locationId: string, lines: Lines) {
  return { locationId, lines: linesOf(lines) };
}

/** Lines as the routes take them. */
export function linesOf(lines: Lines) {
  return lines.map(([productId, quantity]) => ({ productId, quantity }));
}

/** Sells at the counter. */
export function sell(
  stack: Pick<Stack, "apiUrl">,
  shop: Shop,
  lines: Lines,
  key = unique("key"),
): Promise<CallAnswer> {
  return call(stack, shop.owner, "pos/sales", {
    body: saleOf(shop.counter, lines),
    key,
  });
}

/** How many pieces of a product a location holds. */
export async function stockOf(
  { owner }: Shop,
  locationId: string,
  productId: string,
): Promise<number> {
  const { data } = await owner.client.from("stock").select("quantity")
    .eq("location_id", locationId).eq("product_id", productId)
    .maybeSingle().throwOnError();
  return data?.quantity ?? 0;
}

/** What a business's books say, and where they do not add up. */
export interface Books {
  sales: number;
  refunds: number;
  /** Documents of one kind with the same number. */
  duplicates: unknown[];
  /** Numbers given out that no document has. */
  gaps: unknown[];
  /** Permits whose serial numbers are not those of the invoices. */
  serialGaps: unknown[];
  /** Products whose stock is not the sum of its movements. */
  imbalances: unknown[];
  /** Sales and refunds whose total or tax is not that of lines and payments. */
  wrongTotals: unknown[];
  /** Sale lines whose refunds are not what they count, or more than was sold. */
  wrongRefunds: unknown[];
}

/** Looks through all books of a business, past every policy. */
export async function booksOf(
  { sql }: Pick<Stack, "sql">,
  { businessId }: Shop,
): Promise<Books> {
  const rows = (text: string) => sql(text, [businessId]);
  const [{ sales, refunds } = { sales: 0, refunds: 0 }] = await sql<
    { sales: number; refunds: number }
  >(
    `select
      (select count(*)::int from public.sales where business_id = $1) as sales,
      (select count(*)::int from public.refunds where business_id = $1) as refunds`,
    [businessId],
  );
  return {
    sales,
    refunds,
    duplicates: await rows(
      `select kind, number from public.v_document_numbers
      where business_id = $1 group by kind, number having count(*) > 1`,
    ),
    gaps: await rows(
      `select s.kind, s.period, s.last_number
      from public.document_sequences as s
      left join public.v_document_numbers as d using (business_id, kind, period)
      where s.business_id = $1
      group by s.kind, s.period, s.last_number
      having count(distinct d.counter) <> s.last_number
        or min(d.counter) <> 1 or max(d.counter) <> s.last_number`,
    ),
    serialGaps: await rows(
      `select s.permit_number, s.used_serial
      from public.invoice_series as s
      left join public.sales as i using (business_id, permit_number)
      where s.business_id = $1
      group by s.business_id, s.permit_number
      having count(i.serial) <> s.used_serial - s.first_serial + 1
        or max(i.serial) <> s.used_serial`,
    ),
    imbalances: await rows(
      `select s.product_id, s.quantity, sum(m.quantity) as moved
      from public.stock as s
      left join public.stock_movements as m
        using (business_id, location_id, product_id)
      where s.business_id = $1
      group by s.location_id, s.product_id, s.quantity
      having s.quantity < 0 or s.quantity <> coalesce(sum(m.quantity), 0)`,
    ),
    wrongTotals: await rows(
      `select d.number from public.sales as d
      cross join lateral (
        select sum(l.quantity::numeric * l.unit_price) as total,
          sum(round(l.quantity::numeric * l.unit_price * l.tax_rate / (10000 + l.tax_rate))) as tax
        from public.sale_lines as l where l.sale_id = d.id
      ) as l
      where d.business_id = $1 and (
        d.total <> l.total or d.tax <> l.tax or d.total <>
          (select coalesce(sum(p.amount), 0) from public.sale_payments as p where p.sale_id = d.id)
      )
      union all
      select d.number from public.refunds as d
      cross join lateral (
        select sum(l.total) as total, sum(l.tax) as tax
        from public.refund_lines as l where l.refund_id = d.id
      ) as l
      where d.business_id = $1 and (
        d.total <> l.total or d.tax <> l.tax or d.total <>
          (select coalesce(sum(p.amount), 0) from public.refund_payments as p where p.refund_id = d.id)
      )`,
    ),
    wrongRefunds: await rows(
      `select l.sale_id, l.product_id from public.sale_lines as l
      left join public.refund_lines as r using (business_id, sale_id, product_id)
      where l.business_id = $1
      group by l.sale_id, l.product_id, l.quantity, l.refunded_quantity, l.tax
      having l.refunded_quantity <> coalesce(sum(r.quantity), 0)
        or l.refunded_quantity > l.quantity
        or l.refunded_quantity = l.quantity and sum(r.tax) <> l.tax`,
    ),
  };
}

/** Fails where the books of a business do not add up; answers what they hold. */
export async function assertBooks(
  stack: Pick<Stack, "sql">,
  shop: Shop,
): Promise<{ sales: number; refunds: number }> {
  const { sales, refunds, ...faults } = await booksOf(stack, shop);
  assertEquals(faults, {
    duplicates: [],
    gaps: [],
    serialGaps: [],
    imbalances: [],
    wrongTotals: [],
    wrongRefunds: [],
  });
  return { sales, refunds };
}
