import {
  nextDocumentNumber,
  type NumberClient,
} from "./next_document_number.ts";

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
