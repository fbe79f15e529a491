import { assertEquals } from "@std/assert";
import type { Stack } from "../../scripts/stack/stack.ts";
import type { Quotation } from "../../functions/quotations/quotation.ts";
import { call } from "./call.ts";
import { unique } from "./probe.ts";
import type { Actor } from "./stack.ts";

/** A request body that is right in all respects. */
export const DRAFT = {
  customerName: "Analytical Engines Ltd",
  currency: "EUR",
  validUntil: "2999-12-31",
  lines: [
    { description: "Design", quantity: 2.5, unitPriceMinor: 9_999 },
    {
      description: "Brass",
      quantity: 3,
      unitPriceMinor: 1_050,
      taxBasisPoints: 1_900,
    },
  ],
};

/** Creates a quotation, with a key of its own. */
export async function newQuotation(
  stack: Stack,
  actor: Actor,
  changes: Record<string, unknown> = {},
): Promise<Quotation> {
  const { status, body } = await call(stack, actor, "quotations", {
    body: { ...DRAFT, ...changes },
    key: unique("create"),
  });
  assertEquals(status, 201, JSON.stringify(body));
  return body;
}

/** Asks for a status, with a key of its own; answers the HTTP status. */
export async function become(
  stack: Stack,
  actor: Actor,
  id: string,
  status: string,
): Promise<number> {
  const answer = await call(stack, actor, `quotations/${id}/status`, {
    body: { status },
    key: unique("status"),
  });
  return answer.status;
}

/** What the audit trail says of a quotation, the oldest first. */
export async function historyOf({ client }: Actor, id: string) {
  const { data } = await client.from("quotation_history").select()
    .eq("quotation_id", id).order("id").throwOnError();
  return data;
}
