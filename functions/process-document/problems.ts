import type { DocumentErrorCode } from "./document_error.ts";
import type { ProblemTable } from "../_kit/refuse.ts";

/** How what is wrong with a document is told over HTTP. */
export const problems: ProblemTable<DocumentErrorCode> = {
  BROKEN_DOCUMENT: { status: 422, title: "Document cannot be read" },
  DOCUMENT_NOT_FOUND: { status: 404, title: "Document not found" },
  DOCUMENT_TOO_LARGE: { status: 413, title: "Document too large" },
  EMPTY_DOCUMENT: { status: 422, title: "Document is empty" },
  ENCRYPTED_DOCUMENT: { status: 422, title: "Document is encrypted" },
  NO_TEXT_FOUND: { status: 422, title: "Document has no text" },
  UNSUPPORTED_DOCUMENT_TYPE: {
    status: 415,
    title: "Unsupported document type",
  },
};
