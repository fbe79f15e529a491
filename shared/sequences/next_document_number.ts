import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../database.types.ts";
import { StoreError } from "../../functions/_kit/store_error.ts";

/** What is numbered: `INV-`, `RCP-`, `TRF-` and `RET-`. */
export type DocumentKind = "invoice" | "receipt" | "transfer" | "return";

/**
 * What numbering needs of postgres.js: the transaction that `sql.begin` gives
 * fits without a cast. A client outside of one does not: each of its statements
 * commits alone.
 */
export interface NumberTransaction {
  /** Runs a statement in the transaction. */
  unsafe(
    statement: string,
    parameters: string[],
  ): PromiseLike<readonly unknown[]>;
  /** What a client has and a transaction has not. */
  readonly begin?: never;
}

/** Who can ask for a number: see {@link nextDocumentNumber}. */
export type NumberClient =
  | NumberTransaction
  | Pick<SupabaseClient<Database>, "rpc">;

/**
 * Takes the next number of a kind of document of a business, such as
 * `INV-202510-0001`. The month is the current one by the business's time zone;
 * the counter starts at 1 each month and has four digits, or more past 9999.
 *
 * Over a transaction, the number is consumed if and when that transaction
 * commits, and given back if it rolls back: write the document in it, and ask
 * for the number last, since the business's next document of this kind waits
 * for the commit.
 *
 * Over supabase-js, with the secret key, the call is a transaction of its own:
 * the number is consumed when it returns, whatever becomes of the document, and
 * also when the answer is lost on the way. That is right for documents which
 * are kept elsewhere and may not be made without a number; it is not gapless.
 * In SQL, call `get_next_invoice_number(…)` and its siblings in the function
 * that writes the document.
 *
 * @throws {StoreError} When there is no such business (code `P0002`), or the
 * database failed.
 *
 * @example
 * ```ts ignore
 * import postgres from "postgres";
 * import { getNextInvoiceNumber } from "./shared/sequences.ts";
 *
 * const sql = postgres(Deno.env.get("SUPABASE_DB_URL")!);
 * await sql.begin(async (tx) => {
 *   const number = await getNextInvoiceNumber(tx, businessId);
 *   await tx`insert into public.invoices (business_id, number)
 *     values (${businessId}, ${number})`;
 * });
 * ```
 */
export async function nextDocumentNumber(
  client: NumberClient,
  businessId: string,
  kind: DocumentKind,
): Promise<string> {
  const attempt = `Cannot number ${kind} of business ${businessId}`;
  if ("rpc" in client) {
    const { data, error } = await client.rpc("next_document_number", {
      p_business_id: businessId,
      p_kind: kind,
    });
    if (error) throw new StoreError(attempt, error);
    return data;
  }
  try {
    const [row] = await client.unsafe(
      "select public.next_document_number($1, $2) as number",
      [businessId, kind],
    );
    return (row as { number: string }).number;
  } catch (error) {
    throw new StoreError(attempt, error as { code?: string; message: string });
  }
}
