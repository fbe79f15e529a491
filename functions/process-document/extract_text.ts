import { cleanText } from "./clean_text.ts";
import { DocumentError } from "./document_error.ts";
import type { DocumentType } from "./document_type.ts";
import { extractPdf } from "./extract_pdf.ts";

/** The text of a document. */
export interface ExtractedText {
  /** Clean text, never blank; see `cleanText`. */
  text: string;
  /** How many pages it was on; only of a PDF. */
  pages?: number;
}

/**
 * Takes the text out of a document.
 *
 * @throws {DocumentError} When it is empty, broken or encrypted, when it has no
 * text (a scan), or too much.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { extractText } from "./extract_text.ts";
 *
 * const bytes = new TextEncoder().encode("one\r\ntwo");
 * assertEquals(await extractText("text/plain", bytes), { text: "one\ntwo" });
 * ```
 */
export async function extractText(
  type: DocumentType,
  bytes: Uint8Array,
): Promise<ExtractedText> {
  if (bytes.length === 0) {
    throw new DocumentError(
      "EMPTY_DOCUMENT",
      "The document has no content: send a file with text in it",
    );
  }
  const extracted: ExtractedText = type === "application/pdf"
    ? await extractPdf(bytes)
    : { text: decodeText(bytes) };
  const text = cleanText(extracted.text);
  if (text.trim() === "") {
    throw new DocumentError(
      "NO_TEXT_FOUND",
      type === "application/pdf"
        ? "The PDF has no text, only images perhaps: run text recognition (OCR) on it first"
        : "The document is blank: send a file with text in it",
    );
  }
  return { ...extracted, text };
}

/**
 * Decodes a text file.
 *
 * @throws {DocumentError} `BROKEN_DOCUMENT` when it is not UTF-8 or is binary.
 */
export function decodeText(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DocumentError(
      "BROKEN_DOCUMENT",
      "The file is not UTF-8 text: save it with the encoding UTF-8 and send it again",
      { cause },
    );
  }
  if (text.includes("\0")) {
    throw new DocumentError(
      "BROKEN_DOCUMENT",
      "The file contains NUL characters, so it is not text: declare its real type or send its text",
    );
  }
  return text;
}
