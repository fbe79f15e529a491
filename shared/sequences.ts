/**
 * Document numbers without gaps, per business, kind of document and month.
 *
 * @module
 */
export {
  type DocumentKind,
  nextDocumentNumber,
  type NumberClient,
  type NumberTransaction,
} from "./sequences/next_document_number.ts";
export {
  getNextInvoiceNumber,
  getNextReceiptNumber,
  getNextReturnNumber,
  getNextTransferNumber,
} from "./sequences/named_numbers.ts";
