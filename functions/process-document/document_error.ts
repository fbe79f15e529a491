/** Why a document cannot be processed. */
export type DocumentErrorCode =
  | "BROKEN_DOCUMENT"
  | "DOCUMENT_NOT_FOUND"
  | "DOCUMENT_TOO_LARGE"
  | "EMPTY_DOCUMENT"
  | "ENCRYPTED_DOCUMENT"
  | "NO_TEXT_FOUND"
  | "UNSUPPORTED_DOCUMENT_TYPE";

/** A document that cannot be processed as it is; nothing was stored. */
export class DocumentError extends Error {
  override readonly name = "DocumentError";

  /** @param message What was wrong and what to do, fit for the user's eyes. */
  constructor(
    readonly code: DocumentErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
