import { assert, assertEquals } from "@std/assert";
import { type Random, randomFrom } from "../../proof/simulation/random.ts";
import { call, type CallAnswer } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import {
  addProduct,
  assertBooks,
  draftCorrection,
  draftReceipt,
  draftReturn,
  draftTransfer,
  fill,
  type Lines,
  linesOf,
  openShop,
  register,
  saleOf,
  sell,
  type Shop,
} from "../../support/shop.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";

const WRITERS = 50;
const LOST = 1 / 3;
const SEED = 20261129;

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

/** A request, and what the goods and the money are to be after it. */
interface Task {
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  // deno-lint-ignore no-explicit-any -- what the route answers
  done: (body: any) => void;
  /** What may only come after it. */
  next?: Task;
}

/** Sends until an answer is heard; a third of them get lost. */
async function persist(
  { path, body = {}, headers = {} }: Task,
  random: Random,
): Promise<{ answer: CallAnswer; lost: number }> {
  const key = unique("key");
  const send = () => call(stack(), ada, path, { body, key, headers });
  for (let lost = 0;; lost++) {
    const answer = send();
    if (!random.chance(LOST)) return { answer: await answer, lost };
    // Every other time the till does not even wait for it to be lost.
    if (random.chance(0.5)) await answer;
    else answer.catch(() => {});
  }
}

Deno.test(`${WRITERS} writers at once, a third of whose answers get lost: goods, money and numbers are what the answers say`, async () => {
  const random = randomFrom(SEED);
  const shop = await openShop(ada);
  await register(stack(), shop);
  const products = await Promise.all(
    [[250, 0], [1290, 700], [333, 1900], [1, 10_000]].map(
      ([price, rate], index) => addProduct(shop, price, rate, `sku-${index}`),
    ),
  );
  const stock = new Map<string, number>();
  const move = (location: string, [product, n]: Lines[number], sign = 1) => {
    const place = `${location} ${product}`;
    stock.set(place, (stock.get(place) ?? 0) + sign * n);
  };
  const opening: Lines = products.map((product) => [product, 60]);
  await fill(stack(), shop, opening);
  for (const line of opening) move(shop.counter, line);
  const bought: Lines = products.map((product) => [product, 20]);
  const { body: sale } = await sell(stack(), shop, bought);
  for (const line of bought) move(shop.counter, line, -1);
  let takings = sale.total as number;
  const numbers: string[] = [sale.number];

  const shuffled = <T>(all: readonly T[]) =>
    all.map((one) => [random.below(1_000_000), one] as const)
      .sort(([a], [b]) => a - b).map(([, one]) => one);
  /** Some of the products, a few pieces of each, in no order. */
  const basket = (most: number): Lines =>
    shuffled(products).slice(0, 1 + random.below(products.length))
      .map((id) => [id, 1 + random.below(most)]);
  const times = <T>(count: number, make: () => T) =>
    Array.from({ length: count }, make);
  const drafted = (
    count: number,
    draft: (shop: Shop, lines: Lines) => Promise<string>,
    task: (id: string, lines: Lines) => Task,
  ) =>
    Promise.all(times(count, async () => {
      const lines = basket(5);
      return task(await draft(shop, lines), lines);
    }));

  const tasks: Task[] = shuffled([
    ...times(45, (): Task => {
      const lines = basket(6);
      return {
        path: "pos/sales",
        body: saleOf(shop.counter, lines),
        done: ({ total, number }) => {
          takings += total;
          numbers.push(number);
          for (const line of lines) move(shop.counter, line, -1);
        },
      };
    }),
    ...times(20, (): Task => {
      const lines = basket(3);
      return {
        path: `pos/sales/${sale.saleId}/refund`,
        body: { lines: linesOf(lines) },
        done: ({ total, number }) => {
          takings -= total;
          numbers.push(number);
          for (const line of lines) move(shop.counter, line);
        },
      };
    }),
    ...times(8, (): Task => ({
      path: `pos/locations/${shop.counter}/counts`,
      body: `sku,counted\n${
        products.map((_, index) => `sku-${index},${random.below(40)}`)
          .join("\n")
      }`,
      headers: { "Content-Type": "text/csv" },
      done: ({ differences }) => {
        for (const { productId, difference } of differences) {
          move(shop.counter, [productId, difference]);
        }
      },
    })),
    ...await drafted(12, draftReceipt, (id, lines) => ({
      path: `pos/purchases/receipts/${id}/approve`,
      done: ({ number }) => {
        numbers.push(number);
        for (const line of lines) move(shop.counter, line);
      },
    })),
    ...await drafted(10, draftReturn, (id, lines) => ({
      path: `pos/purchases/returns/${id}/approve`,
      done: ({ number }) => {
        numbers.push(number);
        for (const line of lines) move(shop.counter, line, -1);
      },
    })),
    ...await drafted(
      10,
      (shop, lines) =>
        draftCorrection(
          shop,
          lines.map(([id, n], at) => [id, at % 2 === 0 ? -n : n]),
        ),
      (id, lines) => ({
        path: `pos/inventory/corrections/${id}/approve`,
        done: () => {
          for (const [at, line] of lines.entries()) {
            move(shop.counter, line, at % 2 === 0 ? -1 : 1);
          }
        },
      }),
    ),
    ...await drafted(12, draftTransfer, (id, lines) => ({
      path: `pos/transfers/${id}/send`,
      done: ({ number }) => {
        numbers.push(number);
        for (const line of lines) move(shop.counter, line, -1);
      },
      next: {
        path: `pos/transfers/${id}/receive`,
        done: () => {
          for (const line of lines) move(shop.warehouse, line);
        },
      },
    })),
  ]);

  const outcomes = { done: 0, refused: 0, lost: 0 };
  await Promise.all(times(WRITERS, async () => {
    for (let task = tasks.pop(); task; task = tasks.pop()) {
      for (let at: Task | undefined = task; at; at = at.next) {
        const { answer, lost } = await persist(at, random);
        outcomes.lost += lost;
        if (answer.status === 422) {
          outcomes.refused++;
          break;
        }
        assert(answer.status < 300, `${at.path}: ${answer.body.detail}`);
        outcomes.done++;
        at.done(answer.body);
      }
    }
  }));

  // Enough of each for the rest to mean something.
  assert(outcomes.lost > 20 && outcomes.done > 60, JSON.stringify(outcomes));
  const { sql } = stack();
  const rows = await sql<{ place: string; quantity: number }>(
    `select location_id || ' ' || product_id as place, quantity
    from public.stock where business_id = $1 order by 1`,
    [shop.businessId],
  );
  assertEquals(
    rows.map(({ place, quantity }) => [place, quantity]),
    [...stock].sort(([a], [b]) => a < b ? -1 : 1),
  );
  const [paid] = await sql<{ amount: number }>(
    `select (
      coalesce((select sum(amount) from public.sale_payments where business_id = $1), 0)
      - coalesce((select sum(amount) from public.refund_payments where business_id = $1), 0)
    )::float8 as amount`,
    [shop.businessId],
  );
  assertEquals(paid!.amount, takings);
  // Each number that there is was told to somebody, and to one alone. The
  // first receipt is that of the opening.
  const given = await sql<{ number: string }>(
    `select number from public.v_document_numbers
    where business_id = $1 and number not like 'RCP-%-0001' order by 1`,
    [shop.businessId],
  );
  assertEquals(given.map(({ number }) => number), numbers.toSorted());
  await assertBooks(stack(), shop);
});
