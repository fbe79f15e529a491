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

/** Adds a product to the catalogue of a shop. */
export async function addProduct(
  { owner, businessId }: Shop,
  price = 250,
): Promise<string> {
  const { data } = await owner.client.from("products")
    .insert({ business_id: businessId, sku: unique("sku"), name: "Tea", price })
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
  key?: string,
): Promise<CallAnswer> {
  return call(stack, shop.owner, "pos/sales", {
    body: saleOf(shop.counter, lines),
    ...(key === undefined ? {} : { key }),
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
