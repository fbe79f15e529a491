import { Buffer } from "node:buffer";
import { DocumentError } from "./document_error.ts";

/** Bytes in base64 (RFC 4648, section 4). */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString("base64");
}

/**
 * The bytes behind base64; white space in it is skipped.
 *
 * @throws {DocumentError} `BROKEN_DOCUMENT` when it is something else.
 */
export function decodeBase64(text: string): Uint8Array {
  const compact = text.replace(/\s+/g, "");
  // Buffer skips what is not base64 instead of refusing it.
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(compact)) {
    throw new DocumentError(
      "BROKEN_DOCUMENT",
      "The content of a PDF document is not base64: store the file in base64, or upload it",
    );
  }
  return new Uint8Array(Buffer.from(compact, "base64"));
}
