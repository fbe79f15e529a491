// The shop of this visitor: made once, with a shelf of goods, and remembered.
import { call } from "../try/project.js";

const NAME = "till:shop";
const SHELF = [
  { name: "Darjeeling, 100 g", price: 1290, tax_rate: 700 },
  { name: "Sencha, 100 g", price: 1490, tax_rate: 700 },
  { name: "Teapot", price: 4900, tax_rate: 1900 },
  { name: "Cup", price: 950, tax_rate: 1900 },
];
const PIECES = 40;

/** Opens the shop where there is none yet. */
export async function openShop() {
  const kept = JSON.parse(localStorage.getItem(NAME));
  if (kept) return kept;
  const business_id = await call("/rest/v1/rpc/create_business", {
    body: { p_name: "Tea Shop", p_currency: "EUR" },
  });
  const location_id = crypto.randomUUID();
  await call("/rest/v1/locations", {
    body: { id: location_id, business_id, name: "Counter" },
  });
  const products = SHELF.map((product, index) => ({
    ...product,
    id: crypto.randomUUID(),
    sku: `TEA-${index + 1}`,
    business_id,
  }));
  await call("/rest/v1/products", { body: products });
  const receipt_id = crypto.randomUUID();
  await call("/rest/v1/purchase_receipts", {
    body: { id: receipt_id, business_id, location_id, supplier: "Leaf & Co" },
  });
  await call("/rest/v1/purchase_receipt_lines", {
    body: products.map(({ id }) => ({
      business_id,
      receipt_id,
      product_id: id,
      quantity: PIECES,
    })),
  });
  await call(`/functions/v1/pos/purchases/receipts/${receipt_id}/approve`, {
    body: {},
    headers: { "Idempotency-Key": receipt_id },
  });
  const shop = {
    locationId: location_id,
    products: products.map(({ id, name, price }) => ({ id, name, price })),
  };
  localStorage.setItem(NAME, JSON.stringify(shop));
  return shop;
}

/** Takes the shop out of hand. */
export function forgetShop() {
  localStorage.removeItem(NAME);
}

/** How many sales there are, and the latest of them. */
export async function readSales({ locationId }) {
  const query = new URLSearchParams({
    location_id: `eq.${locationId}`,
    select: "number,total",
    order: "created_at.desc,number.desc",
  });
  const sales = await call(`/rest/v1/sales?${query}`);
  return { count: sales.length, sales: sales.slice(0, 8) };
}

/** Pieces of each product that are left. */
export async function readStock({ locationId }) {
  const { stock } = await call(
    `/functions/v1/pos/locations/${locationId}/stock`,
  );
  return new Map(stock.map(({ productId, quantity }) => [productId, quantity]));
}
