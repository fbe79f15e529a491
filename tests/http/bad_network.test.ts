import { assert, assertEquals } from "@std/assert";
import {
  type BadNetwork,
  badNetwork,
  type Fate,
} from "../support/bad_network.ts";
import { call, type CallAnswer } from "../support/call.ts";
import { unique } from "../support/probe.ts";
import {
  addProduct,
  assertBooks,
  draftReceipt,
  draftTransfer,
  fill,
  openShop,
  saleOf,
  type Shop,
  stockOf,
} from "../support/shop.ts";
import { signUp, withStack } from "../support/stack.ts";
import { randomFrom } from "../proof/simulation/random.ts";

const SALES = 60;
const TILLS = 6;
// Two of three requests fail: (2/3)^60 of them never get through.
const MAX_ATTEMPTS = 60;

const FATES: Record<Fate, number> = {
  "request lost": 2,
  "answer lost": 3,
  "answer cut": 1,
  "request late": 1,
  "through": 3,
};

const stack = withStack();

/** What a till does: the same key until there is an answer. */
async function untilAnswered(
  network: BadNetwork,
  shop: Shop,
  path: string,
  body: unknown,
): Promise<CallAnswer> {
  const key = unique("key");
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    const answer = await call(
      { apiUrl: network.url },
      shop.owner,
      path,
      { body, key },
    ).catch((error) => {
      assert(!(error instanceof SyntaxError), "half an answer was taken");
      return null;
    });
    if (answer !== null) return answer;
  }
  throw new Error(`${path} had no answer in ${MAX_ATTEMPTS} attempts`);
}

Deno.test({
  name:
    `${SALES} sales over a network that loses two of three requests or answers: each is made once, with one invoice, and the books balance`,
  fn: async () => {
    const random = randomFrom(2);
    await using network = await badNetwork(
      stack().apiUrl,
      () => random.weighted(FATES),
    );
    const shop = await openShop(await signUp(stack()));
    const tea = await addProduct(shop);
    const pot = await addProduct(shop);
    await fill(stack(), shop, [[tea, 1000], [pot, 1000]]);

    const answers: CallAnswer[] = [];
    const till = async (sales: number) => {
      for (let n = 0; n < sales; n++) {
        const lines = n % 2 === 0 ? [[tea, 2], [pot, 1]] as const : [
          [pot, 1],
          [tea, 2],
        ] as const;
        const body = saleOf(shop.counter, lines);
        answers.push(await untilAnswered(network, shop, "pos/sales", body));
      }
    };
    await Promise.all(
      Array.from({ length: TILLS }, () => till(SALES / TILLS)),
    );

    await network.arrived();

    assertEquals(answers.map(({ status }) => status), Array(SALES).fill(201));
    const numbers = answers.map(({ body }) => body.number as string);
    assertEquals(
      numbers.map((number) => Number(number.split("-")[2])).toSorted((a, b) =>
        a - b
      ),
      Array.from({ length: SALES }, (_, n) => n + 1),
    );
    assertEquals((await assertBooks(stack(), shop)).sales, SALES);
    assertEquals(
      [
        await stockOf(shop, shop.counter, tea),
        await stockOf(shop, shop.counter, pot),
      ],
      [1000 - 2 * SALES, 1000 - SALES],
    );
    // The network did what it was there for.
    assert(answers.some(({ replayed }) => replayed));
    for (const fate of Object.keys(FATES)) {
      assert(network.fates.has(fate as Fate), `nothing met: ${fate}`);
    }
  },
});

Deno.test({
  name:
    "every other operation whose answer is lost after the commit is told of it by the retry",
  fn: async () => {
    let asked = 0;
    await using network = await badNetwork(
      stack().apiUrl,
      () => asked++ % 2 === 0 ? "answer lost" : "through",
    );
    const shop = await openShop(await signUp(stack()));
    const tea = await addProduct(shop);
    const receiptId = await draftReceipt(shop, [[tea, 10]]);
    const transferId = await draftTransfer(shop, [[tea, 3]]);
    const told = async (path: string, body: unknown = {}) => {
      const answer = await untilAnswered(network, shop, path, body);
      assert(answer.replayed, path);
      return answer;
    };
    await told(`pos/purchases/receipts/${receiptId}/approve`);
    const sale = await told("pos/sales", saleOf(shop.counter, [[tea, 2]]));
    await told(`pos/sales/${sale.body.saleId}/refund`);
    await told(`pos/transfers/${transferId}/send`);
    await told(`pos/transfers/${transferId}/receive`);
    assertEquals(
      [
        await stockOf(shop, shop.counter, tea),
        await stockOf(shop, shop.warehouse, tea),
      ],
      [7, 3],
    );
    assertEquals(await assertBooks(stack(), shop), { sales: 1, refunds: 1 });
    assertEquals(network.fates.get("answer lost"), 5);
  },
});
