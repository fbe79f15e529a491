/**
 * Document numbers without gaps, per business, kind of document and month.
 *
 * @module
 */

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

/** What numbering needs of supabase-js: a client fits, whatever its types. */
export interface NumberRpc {
  /** Calls a function of the database. */
  rpc(
    name: "next_document_number",
    parameters: { p_business_id: string; p_kind: DocumentKind },
  ): PromiseLike<
    { data: unknown; error: { code?: string; message: string } | null }
  >;
}

/** Who can ask for a number: see {@link nextDocumentNumber}. */
export type NumberClient = NumberTransaction | NumberRpc;

/** A document that got no number. The message and the code are for logs. */
export class DocumentNumberError extends Error {
  override readonly name = "DocumentNumberError";
  /** The database's code, `P0002` where there is no such business. */
  readonly code: string | undefined;

  /** @param attempt What was being done, for instance `"Cannot number invoice of business 7f…"`. */
  constructor(attempt: string, cause: { code?: string; message: string }) {
    const { code, message } = cause;
    super(`${attempt}: ${message} (${code || "no code"})`, { cause });
    this.code = code;
  }
}

/**
 * Takes the next number of a kind of document of a business, such as
 * `INV-202510-0001`. The counter starts at 1 each month and has four digits, or
 * more past 9999. The month is the current one in UTC, and each UUID a business,
 * until your migration replaces `document_time_zone(uuid)`: it gives the time
 * zone of a business, or null where there is none.
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
 * @throws {DocumentNumberError} When there is no such business (code `P0002`), or
 * the database failed.
 *
 * @example
 * ```ts ignore
 * import postgres from "postgres";
 * import { getNextInvoiceNumber } from "./sequences.ts";
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
    if (error) throw new DocumentNumberError(attempt, error);
    return data as string;
  }
  try {
    const [row] = await client.unsafe(
      "select public.next_document_number($1, $2) as number",
      [businessId, kind],
    );
    return (row as { number: string }).number;
  } catch (error) {
    throw new DocumentNumberError(
      attempt,
      error as { code?: string; message: string },
    );
  }
}

/** The next number of a sale's invoice, such as `INV-202510-0001`: {@link nextDocumentNumber}. */
export function getNextInvoiceNumber(
  client: NumberClient,
  businessId: string,
): Promise<string> {
  return nextDocumentNumber(client, businessId, "invoice");
}

/** The next number of a purchase receipt, such as `RCP-202510-0001`: {@link nextDocumentNumber}. */
export function getNextReceiptNumber(
  client: NumberClient,
  businessId: string,
): Promise<string> {
  return nextDocumentNumber(client, businessId, "receipt");
}

/** The next number of a transfer, such as `TRF-202510-0001`: {@link nextDocumentNumber}. */
export function getNextTransferNumber(
  client: NumberClient,
  businessId: string,
): Promise<string> {
  return nextDocumentNumber(client, businessId, "transfer");
}

/** The next number of a refund, such as `RET-202510-0001`: {@link nextDocumentNumber}. */
export function getNextReturnNumber(
  client: NumberClient,
  businessId: string,
): Promise<string> {
  return nextDocumentNumber(client, businessId, "return");
}
