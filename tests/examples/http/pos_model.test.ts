import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import { runs } from "../../support/runs.ts";
import {
  addProduct,
  assertBooks,
  draftCorrection,
  draftReceipt,
  draftReturn,
  draftTransfer,
  type Lines,
  linesOf,
  openShop,
  saleOf,
  type Shop,
} from "../../support/shop.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";

const PRODUCTS = 3;
const RUNS = 10;
const STEPS = 25;

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

// Products and documents by number: which one there is, is seen when it is done.
const basket = fc.uniqueArray(
  fc.tuple(fc.nat(PRODUCTS - 1), fc.integer({ min: 1, max: 6 })),
  { selector: ([product]) => product, minLength: 1, maxLength: PRODUCTS },
);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant("deliver"), basket }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("sell"), basket }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("refund"),
      of: fc.nat(),
      basket: fc.option(basket),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("send"), basket }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("give back"), basket }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("correct"),
      of: fc.nat(),
      basket,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("count"), basket }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("receive"), of: fc.nat() }),
  },
);
type Step = {
  do: string;
  of?: number;
  basket?: [product: number, quantity: number][] | null;
};

/** What the books should say, in the plainest terms. */
interface Model {
  counter: number[];
  warehouse: number[];
  /** Pieces of each sale that have not come back, per product. */
  sales: { id: string; left: number[] }[];
  transfers: { id: string; basket: [number, number][]; received: boolean }[];
  takings: bigint;
}

Deno.test("whatever is delivered, sold, refunded, transferred, given back, corrected and counted, stock is the sum of its movements, money is exact, and each answer is what the goods allow", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(4_000_000_000), {
        minLength: PRODUCTS,
        maxLength: PRODUCTS,
      }),
      fc.array(step, { maxLength: STEPS, size: "max" }),
      async (prices, steps) => {
        const shop = await openShop(ada);
        const products: string[] = [];
        for (const [index, price] of prices.entries()) {
          products.push(
            await addProduct(shop, price, index * 700, `sku-${index}`),
          );
        }
        const model: Model = {
          counter: Array(PRODUCTS).fill(0),
          warehouse: Array(PRODUCTS).fill(0),
          sales: [],
          transfers: [],
          takings: 0n,
        };
        for (const step of steps as Step[]) {
          await take(step, shop, products, prices, model);
        }
        await assertBooks(stack(), shop);
        assertEquals(
          await stockAt(shop, shop.counter, products),
          model.counter,
        );
        assertEquals(
          await stockAt(shop, shop.warehouse, products),
          model.warehouse,
        );
        assertEquals(await takings(shop), model.takings);
      },
    ),
    { numRuns: runs(RUNS), seed: 20261126 },
  );
});

async function take(
  { do: what, of = 0, basket }: Step,
  shop: Shop,
  products: string[],
  prices: number[],
  model: Model,
): Promise<void> {
  const lines: Lines = (basket ?? []).map(([p, n]) => [products[p]!, n]);
  const post = async (
    path: string,
    expected: number,
    body: unknown = {},
    headers: Record<string, string> = {},
  ) => {
    const key = unique("key");
    const answer = await call(stack(), ada, path, { body, key, headers });
    assertEquals(answer.status, expected, `${path}: ${answer.body.detail}`);
    return answer.body;
  };
  const worth = (basket: [number, number][]) =>
    basket.reduce((sum, [p, n]) => sum + BigInt(prices[p]!) * BigInt(n), 0n);
  const fits = (stock: number[]) => basket!.every(([p, n]) => stock[p]! >= n);

  if (what === "deliver") {
    const id = await draftReceipt(shop, lines);
    await post(`pos/purchases/receipts/${id}/approve`, 200);
    for (const [p, n] of basket!) model.counter[p]! += n;
  } else if (what === "sell") {
    const enough = fits(model.counter);
    const sale = await post(
      "pos/sales",
      enough ? 201 : 422,
      saleOf(shop.counter, lines),
    );
    if (!enough) return;
    assertEquals(BigInt(sale.total), worth(basket!));
    model.takings += worth(basket!);
    const left = Array(PRODUCTS).fill(0);
    for (const [p, n] of basket!) {
      model.counter[p]! -= n;
      left[p] = n;
    }
    model.sales.push({ id: sale.saleId, left });
  } else if (what === "refund" && model.sales.length > 0) {
    const sale = model.sales[of % model.sales.length]!;
    const all = sale.left.flatMap((n, p): [number, number][] =>
      n > 0 ? [[p, n]] : []
    );
    const wanted = basket ?? all;
    const allowed = wanted.length > 0 &&
      wanted.every(([p, n]) => sale.left[p]! >= n);
    const refund = await post(
      `pos/sales/${sale.id}/refund`,
      allowed ? 201 : 422,
      basket ? { lines: linesOf(lines) } : {},
    );
    if (!allowed) return;
    assertEquals(BigInt(refund.total), worth(wanted));
    model.takings -= worth(wanted);
    for (const [p, n] of wanted) {
      sale.left[p]! -= n;
      model.counter[p]! += n;
    }
  } else if (what === "give back") {
    const id = await draftReturn(shop, lines);
    const enough = fits(model.counter);
    await post(`pos/purchases/returns/${id}/approve`, enough ? 200 : 422);
    if (enough) { for (const [p, n] of basket!) model.counter[p]! -= n; }
  } else if (what === "correct") {
    // Each second product the other way.
    const changes = basket!.map(([p, n]): [number, number] => [
      p,
      (p + of) % 2 === 0 ? n : -n,
    ]);
    const id = await draftCorrection(
      shop,
      changes.map(([p, n]) => [products[p]!, n]),
    );
    const allowed = changes.every(([p, n]) => model.counter[p]! + n >= 0);
    await post(
      `pos/inventory/corrections/${id}/approve`,
      allowed ? 200 : 422,
    );
    if (allowed) { for (const [p, n] of changes) model.counter[p]! += n; }
  } else if (what === "count") {
    const rows = basket!.map(([p, n]) => `sku-${p},${n}\n`).join("");
    const { differences } = await post(
      `pos/locations/${shop.counter}/counts`,
      201,
      `sku,counted\n${rows}`,
      { "Content-Type": "text/csv" },
    );
    assertEquals(
      differences.map(({ sku, difference }: Record<string, unknown>) => [
        sku,
        difference,
      ]),
      basket!.map(([p, n]) => [`sku-${p}`, n - model.counter[p]!])
        .filter(([, difference]) => difference !== 0)
        .sort(([a], [b]) => `${a}` < `${b}` ? -1 : 1),
    );
    for (const [p, n] of basket!) model.counter[p] = n;
  } else if (what === "send") {
    const id = await draftTransfer(shop, lines);
    const enough = fits(model.counter);
    await post(`pos/transfers/${id}/send`, enough ? 200 : 422);
    if (!enough) return;
    for (const [p, n] of basket!) model.counter[p]! -= n;
    model.transfers.push({ id, basket: basket!, received: false });
  } else if (what === "receive" && model.transfers.length > 0) {
    const transfer = model.transfers[of % model.transfers.length]!;
    await post(
      `pos/transfers/${transfer.id}/receive`,
      transfer.received ? 409 : 200,
    );
    if (transfer.received) return;
    transfer.received = true;
    for (const [p, n] of transfer.basket) model.warehouse[p]! += n;
  }
}

async function stockAt(
  { owner }: Shop,
  locationId: string,
  products: string[],
): Promise<number[]> {
  const { data } = await owner.client.from("stock")
    .select("product_id, quantity").eq("location_id", locationId)
    .throwOnError();
  return products.map((id) =>
    data.find(({ product_id }) => product_id === id)?.quantity ?? 0
  );
}

async function takings({ businessId }: Shop): Promise<bigint> {
  const [row] = await stack().sql<{ takings: string }>(
    `select (
      coalesce((select sum(total) from public.sales where business_id = $1), 0)
      - coalesce((select sum(total) from public.refunds where business_id = $1), 0)
    )::text as takings`,
    [businessId],
  );
  return BigInt(row!.takings);
}
