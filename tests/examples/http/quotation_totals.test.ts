import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import { DRAFT, newQuotation } from "../../support/quotations.ts";
import { runs } from "../../support/runs.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";

const stack = withStack();
let ada: Actor;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

/** Divides and rounds half away from zero, in whole numbers throughout. */
const divide = (n: bigint, by: bigint): bigint => (n + by / 2n) / by;

function amountsOf(
  line: { thousandths: number; unitPriceMinor: number; taxBasisPoints: number },
) {
  const { thousandths, unitPriceMinor, taxBasisPoints } = line;
  const net = divide(BigInt(thousandths) * BigInt(unitPriceMinor), 1_000n);
  const tax = divide(net * BigInt(taxBasisPoints), 10_000n);
  return { netMinor: Number(net), taxMinor: Number(tax) };
}

const line = fc.record({
  thousandths: fc.oneof(
    fc.integer({ min: 1, max: 5_000 }),
    fc.integer({ min: 1, max: 9_999_999_999 }),
  ),
  unitPriceMinor: fc.oneof(
    fc.integer({ min: 0, max: 20_000 }),
    fc.integer({ min: 0, max: 999_999 }),
  ),
  taxBasisPoints: fc.integer({ min: 0, max: 10_000 }),
});

const toRequest = (lines: { thousandths: number }[]) =>
  lines.map(({ thousandths, ...rest }, n) => ({
    ...rest,
    description: `line ${n + 1}`,
    quantity: thousandths / 1_000,
  }));

Deno.test("every line is rounded half away from zero by itself, and the totals are the sums of what was rounded", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 20 }),
      fc.array(line, { maxLength: 5 }),
      async (lines, others) => {
        const made = await newQuotation(stack(), ada, {
          lines: toRequest(lines),
        });
        const changed = await call(stack(), ada, `quotations/${made.id}`, {
          method: "PATCH",
          body: { lines: toRequest(others) },
          key: unique("key"),
        });
        for (
          const [quotation, wanted] of [
            [made, lines],
            [changed.body, others],
          ] as const
        ) {
          const amounts = wanted.map(amountsOf);
          const net = amounts.reduce((sum, { netMinor }) => sum + netMinor, 0);
          const tax = amounts.reduce((sum, { taxMinor }) => sum + taxMinor, 0);
          assertEquals(
            quotation.lines.map((
              { netMinor, taxMinor }: typeof amounts[0],
            ) => ({ netMinor, taxMinor })),
            amounts,
          );
          assertEquals(
            [quotation.netMinor, quotation.taxMinor, quotation.totalMinor],
            [net, tax, net + tax],
          );
        }
      },
    ),
    { numRuns: runs(20) },
  );
});

Deno.test("half a minor unit goes away from zero, less does not", async () => {
  const cases = [
    [0.5, 1, 1],
    [0.499, 1, 0],
    [1.5, 1, 2],
    [2.5, 1, 3],
    [0.001, 500, 1],
    [0.001, 499, 0],
    [1.005, 100, 101],
  ] as const;
  const { lines } = await newQuotation(stack(), ada, {
    lines: cases.map(([quantity, unitPriceMinor]) => ({
      description: "half",
      quantity,
      unitPriceMinor,
    })),
  });
  assertEquals(
    lines.map(({ netMinor }) => netMinor),
    cases.map(([, , netMinor]) => netMinor),
  );
});

Deno.test("the largest quotation there can be is counted exactly, and one more unit is refused", async () => {
  const most = {
    // three bytes each
    description: "品".repeat(200),
    quantity: 10,
    unitPriceMinor: 1_000_000_000_000,
    taxBasisPoints: 10_000,
  };
  const { totalMinor } = await newQuotation(stack(), ada, {
    lines: Array(100).fill(most),
  });
  assertEquals(totalMinor, 2_000_000_000_000_000);
  assert(Number.isSafeInteger(totalMinor));
  // The last is more than Postgres can multiply into a bigint.
  for (const quantity of [10.001, 9_999_999.999]) {
    const over = await call(stack(), ada, "quotations", {
      body: { ...DRAFT, lines: [{ ...most, quantity }] },
      key: unique("key"),
    });
    assertEquals([over.status, over.body.code], [422, "AMOUNT_TOO_LARGE"]);
  }
});
