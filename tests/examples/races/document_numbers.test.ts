import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres, { type TransactionSql } from "postgres";
import {
  DocumentNumberError,
  getNextInvoiceNumber,
  getNextReceiptNumber,
  getNextReturnNumber,
  getNextTransferNumber,
} from "../../../shared/sequences.ts";
import { codeBlocks, importBlock } from "../../support/documented.ts";
import { unique } from "../../support/probe.ts";
import { project, withStack } from "../../support/stack.ts";

const WRITERS = 50;
const ROUNDS = 5;

const stack = withStack();
let sql: postgres.Sql;

Deno.test.beforeAll(async () => {
  sql = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: WRITERS });
  await sql`create table public.numbered (
    business_id uuid not null, number text not null, unique (business_id, number)
  )`;
});
Deno.test.afterAll(async () => {
  await sql`drop table public.numbered`;
  await sql.end();
});

async function newBusiness(): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    insert into public.businesses (name, currency)
    values (${unique("shop")}, 'EUR') returning id`;
  return row!.id;
}

async function numbersOf(businessId: string): Promise<string[]> {
  const rows = await sql<{ number: string }[]>`
    select number from public.numbered where business_id = ${businessId}
    order by length(number), number`;
  return rows.map(({ number }) => number);
}

/** Writes a document with a number; with `fail`, thinks better of it. */
async function write(businessId: string, fail: boolean): Promise<void> {
  await sql.begin(async (tx) => {
    const number = await getNextInvoiceNumber(tx, businessId);
    await tx`insert into public.numbered values (${businessId}, ${number})`;
    if (fail) throw new Error("rolled back");
  }).catch((error) => assertEquals(error.message, "rolled back"));
}

Deno.test(`${WRITERS} writers at once, a third of whom roll back, leave numbers without a gap`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const businessId = await newBusiness();
    await Promise.all(
      Array.from({ length: WRITERS }, (_, n) => write(businessId, n % 3 === 0)),
    );
    const numbers = await numbersOf(businessId);
    const committed = Math.floor(WRITERS * 2 / 3);
    assertEquals(
      numbers.map((number) => Number(number.split("-")[2])),
      Array.from({ length: committed }, (_, n) => n + 1),
    );
    const [sequence] = await sql`
      select last_number::int from public.document_sequences
      where business_id = ${businessId}`;
    assertEquals(sequence!["last_number"], committed);
  }
});

Deno.test("each kind has its prefix and counts for itself, and so does each business", async () => {
  const [ours, theirs] = [await newBusiness(), await newBusiness()];
  const take = (businessId: string) =>
    sql.begin(async (tx: TransactionSql) => [
      await getNextInvoiceNumber(tx, businessId),
      await getNextReceiptNumber(tx, businessId),
      await getNextTransferNumber(tx, businessId),
      await getNextReturnNumber(tx, businessId),
    ]);
  const [month] = await sql<{ of: string }[]>`
    select to_char(now() at time zone 'UTC', 'YYYYMM') as of`;
  const expected = (counter: string) =>
    ["INV", "RCP", "TRF", "RET"].map((prefix) =>
      `${prefix}-${month!.of}-${counter}`
    );
  assertEquals(await take(ours), expected("0001"));
  assertEquals(await take(ours), expected("0002"));
  assertEquals(await take(theirs), expected("0001"));
});

Deno.test("the counter grows past 9999 and no number is cut", async () => {
  const businessId = await newBusiness();
  await write(businessId, false);
  await sql`update public.document_sequences set last_number = 9998
    where business_id = ${businessId}`;
  await write(businessId, false);
  await write(businessId, false);
  const counters = (await numbersOf(businessId)).map((n) => n.slice(11));
  assertEquals(counters, ["0001", "9999", "10000"]);
});

Deno.test("a client outside of a transaction is refused by the type checker", () => {
  // @ts-expect-error each statement of a client commits alone
  const ask = () => getNextInvoiceNumber(sql, crypto.randomUUID());
  assertEquals(typeof ask, "function");
});

Deno.test("over supabase-js a number is consumed by the call itself", async () => {
  const businessId = await newBusiness();
  const { client } = project(stack());
  const first = await getNextInvoiceNumber(client, businessId);
  const second = await getNextInvoiceNumber(client, businessId);
  assert(first.endsWith("-0001") && second.endsWith("-0002"));
});

Deno.test("a business that does not exist has no numbers", async () => {
  const nobody = crypto.randomUUID();
  await assertRejects(
    () => sql.begin((tx) => getNextInvoiceNumber(tx, nobody)),
    DocumentNumberError,
    "P0002",
  );
  await assertRejects(
    () => getNextReturnNumber(project(stack()).client, nobody),
    DocumentNumberError,
    "P0002",
  );
});

Deno.test("the documented transaction writes an invoice and its number, or neither", async () => {
  const [code] = await codeBlocks("recipes/point-of-sale.md", "ts");
  const { writeInvoice } = await importBlock(code!);
  await sql`create table public.invoices (
    business_id uuid not null, number text not null, text text not null
  )`;
  try {
    const businessId = await newBusiness();
    const first = await writeInvoice(sql, businessId, "tea");
    await assertRejects(() => writeInvoice(sql, businessId, null as never));
    const second = await writeInvoice(sql, businessId, "pots");
    assert(first.endsWith("-0001") && second.endsWith("-0002"));
  } finally {
    await sql`drop table public.invoices`;
  }
});
