import { withoutEmbeddedData } from "../_kit/embedded_data.ts";
import { type Content, DocumentError, MAX_TEXT_LENGTH } from "./document.ts";

/** The text of a document. */
export interface ExtractedText {
  /** Clean text, never blank; see `cleanText`. */
  text: string;
  /** How many pages it was on; only of a PDF. */
  pages?: number;
  /** How many of these are blank, or have images alone; if any. */
  pagesWithoutText?: number;
}

/**
 * Takes the text out of a document.
 *
 * @throws {DocumentError} When it is empty, broken or encrypted, when it has no
 * text (a scan), text that would be lost, or too much.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { extractText } from "./extract_text.ts";
 *
 * const document = { type: "text/plain", content: "one\r\ntwo" } as const;
 * assertEquals(await extractText(document), { text: "one\ntwo" });
 * ```
 */
export async function extractText(document: Content): Promise<ExtractedText> {
  const { type, content } = document;
  if (content.length === 0) {
    throw new DocumentError(
      "EMPTY_DOCUMENT",
      "The document has no content: send a file with text in it",
    );
  }
  const extracted = await read(document);
  const text = cleanText(extracted.text);
  if (text.length > MAX_TEXT_LENGTH) {
    throw new DocumentError(
      "DOCUMENT_TOO_LARGE",
      `The document holds more than ${MAX_TEXT_LENGTH} characters of text: split it`,
    );
  }
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

// What reads one kind of document is loaded with the first of them.
async function read({ type, content }: Content): Promise<ExtractedText> {
  switch (type) {
    case "application/pdf": {
      const { readPdf } = await import("./read_pdf.ts");
      return await readPdf(content);
    }
    case "application/vnd.openxmlformats-officedocument.wordprocessingml.document": {
      const { readDocx } = await import("./read_docx.ts");
      return { text: readDocx(content) };
    }
    case "text/csv": {
      const { readCsv } = await import("./read_csv.ts");
      return { text: readCsv(content) };
    }
    case "text/html": {
      const { readHtml } = await import("./read_html.ts");
      return { text: readHtml(content) };
    }
    case "text/markdown":
      return { text: withoutEmbeddedData(content) };
    case "text/plain":
      return { text: content };
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
