import { withoutEmbeddedData } from "../_kit/embedded_data.ts";
import { decodeText } from "./decode_text.ts";
import { DocumentError, type DocumentType } from "./document.ts";
import { readPdf } from "./read_pdf.ts";

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
 * @param charset What a text file is declared to be written in; a byte-order
 * mark goes before it.
 * @throws {DocumentError} When it is empty, broken or encrypted, when it has no
 * text (a scan), text that would be lost, or too much.
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
  charset?: string,
): Promise<ExtractedText> {
  if (bytes.length === 0) {
    throw new DocumentError(
      "EMPTY_DOCUMENT",
      "The document has no content: send a file with text in it",
    );
  }
  const extracted = await readAs(type, bytes, charset);
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

async function readAs(
  type: DocumentType,
  bytes: Uint8Array,
  charset: string | undefined,
): Promise<ExtractedText> {
  switch (type) {
    case "application/pdf":
      return await readPdf(bytes);
    case "text/markdown":
      return { text: withoutEmbeddedData(decodeText(bytes, charset)) };
    case "text/plain":
      return { text: decodeText(bytes, charset) };
  }
}

// What ends a line or a page on one system or another: taken away, it would
// leave the words on both sides as one.
// deno-lint-ignore no-control-regex
const LINE_ENDS = /\r\n?|[\u000b\u000c\u001c-\u001e\u0085]/g;

// Everything else that a text does not need to be read, and much that Postgres
// or JSON cannot carry: C0 and C1 controls but for tab and line feed.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\u0000-\u0008\u000e-\u001e\u007f-\u009f]/g;

/**
 * Text in the one form that is chunked and stored: line feeds end lines, there
 * are no control characters, and every surrogate has its other half.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { cleanText } from "./extract_text.ts";
 *
 * assertEquals(cleanText("one\r\ntwo\fthree\u0000"), "one\ntwo\nthree");
 * ```
 */
export function cleanText(text: string): string {
  return text.replace(LINE_ENDS, "\n").replaceAll("\u001f", " ")
    .replace(CONTROLS, "").toWellFormed();
}
