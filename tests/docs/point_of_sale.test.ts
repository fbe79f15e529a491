import { assertEquals, assertMatch } from "@std/assert";
import { flushReplayCounts } from "../../shared/idempotency.ts";
import { codeBlocks } from "../support/documented.ts";
import { unique } from "../support/probe.ts";
import { addProduct, fill, openShop, register, sell } from "../support/shop.ts";
import { signUp, withStack } from "../support/stack.ts";

// docs/recipes/point-of-sale.md, block by block.
const PAGE = "recipes/point-of-sale.md";

const stack = withStack();

function hasCurl(): boolean {
  try {
    return new Deno.Command("curl", { args: ["--version"] }).outputSync()
      .success;
  } catch {
    return false;
  }
}

Deno.test({
  name:
    "the recipe's lines of shell open a shop, sell, refund, transfer, correct, send back, count and register",
  ignore: !hasCurl(),
  async fn() {
    const { apiUrl, publishableKey } = stack();
    const script = (await codeBlocks(PAGE, "sh")).join("\n");
    const { code, stdout, stderr } = await new Deno.Command("bash", {
      args: ["-euo", "pipefail", "-c", script],
      env: { API_URL: apiUrl, PUBLISHABLE_KEY: publishableKey },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals(code, 0, text(stderr));
    const [receiptLine, approved, sold, again, short, refund, ...rest] = text(
      stdout,
    ).trim().split("\n").map((line) => JSON.parse(line));
    const [transferLine, sent, received, ...evening] = rest;
    const [, corrected, , returned, counted, ...where] = evening;
    const [counter, warehouse, registered, invoiced, ...others] = where;
    assertEquals([receiptLine[0].quantity, transferLine[0].quantity], [12, 4]);
    assertMatch(approved.number, /^RCP-\d{6}-0001$/);
    assertMatch(sold.number, /^INV-\d{6}-0001$/);
    assertEquals([sold.total, sold.tax, again], [2580, 169, sold]);
    assertEquals(sold.payments[0].change, 420);
    assertEquals(
      [short.code, short.products[0].available],
      ["INSUFFICIENT_STOCK", 10],
    );
    assertMatch(refund.number, /^RET-\d{6}-0001$/);
    assertEquals(refund.total, 1290);
    assertMatch(sent.number, /^TRF-\d{6}-0001$/);
    assertEquals([sent.status, received.status], ["sent", "received"]);
    assertEquals(corrected.lines[0].quantity, -1);
    assertMatch(returned.number, /^RET-\d{6}-0002$/);
    assertEquals(
      [counted.differences[0].expected, counted.differences[0].difference],
      [5, -1],
    );
    assertEquals(
      [counter, warehouse].map(({ stock }) => stock[0].quantity),
      [4, 4],
    );
    assertEquals([registered.version, registered.usedSerial], [1, 0]);
    const { seller, serialNumber, buyer, ...sums } = invoiced.invoice;
    assertEquals(seller, registered.seller);
    assertEquals([serialNumber, buyer.name], ["000001", "Ben Cruz"]);
    assertEquals(sums, {
      vatableSales: 1206,
      vatAmount: 84,
      zeroRatedSales: 0,
      exemptSales: 0,
    });
    assertEquals(others, []);
  },
});

Deno.test("the recipe's queries find nothing in good books, and what is wrong in bad ones", async () => {
  const [duplicates, gaps, unissued, imbalances, hits, ...others] =
    await codeBlocks(
      PAGE,
      "sql",
    );
  assertEquals(others, []);
  const { sql } = stack();
  const shop = await openShop(await signUp(stack()));
  const tea = await addProduct(shop);
  await fill(stack(), shop, [[tea, 10]]);
  await register(stack(), shop);
  await flushReplayCounts();
  await sql("delete from public.idempotency_keys");
  await sql("delete from idempotency.replay_counts");

  const key = unique("key");
  await sell(stack(), shop, [[tea, 1]], key);
  for (let retry = 0; retry < 3; retry++) {
    await sell(stack(), shop, [[tea, 1]], key);
  }
  await flushReplayCounts();
  assertEquals(
    (await sql<Record<string, unknown>>(hits!)).map((row) => [
      row["scope"],
      Number(row["keys"]),
      Number(row["replays"]),
      Number(row["hit_percent"]),
    ]),
    [["pos/sales", 1, 3, 75]],
  );

  const { body: second } = await sell(stack(), shop, [[tea, 1]]);
  const { body: third } = await sell(stack(), shop, [[tea, 1]]);
  const faults = async () =>
    await Promise.all(
      [duplicates, gaps, unissued, imbalances].map(async (query) =>
        (await sql(query!)).length
      ),
    );
  assertEquals(await faults(), [0, 0, 0, 0]);

  const spoil = (set: string, ...values: unknown[]) =>
    sql(`update public.${set} and business_id = $1`, [
      shop.businessId,
      ...values,
    ]);
  await spoil("stock set quantity = quantity + 1 where true");
  assertEquals(await faults(), [0, 0, 0, 1]);
  await spoil("invoice_series set used_serial = $2 where true", 4);
  assertEquals(await faults(), [0, 0, 1, 1]);
  const counter = "document_sequences set last_number = $2 where kind = $3";
  await spoil(counter, 4, "invoice");
  assertEquals(await faults(), [0, 1, 1, 1]);
  await spoil(counter, 3, "invoice");
  await sql(
    "alter table public.sales drop constraint sales_business_id_number_key",
  );
  await spoil(
    "sales set number = $2 where id = $3",
    third.number,
    second.saleId,
  );
  // A number that is there twice is another that is missing.
  assertEquals(await faults(), [1, 1, 1, 1]);
});
