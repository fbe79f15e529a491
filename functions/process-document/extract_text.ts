import { getDocumentProxy } from "unpdf";
import {
  DocumentError,
  type DocumentType,
  MAX_PDF_PAGES,
  MAX_TEXT_LENGTH,
} from "./document.ts";

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

type Pdf = Awaited<ReturnType<typeof getDocumentProxy>>;

/**
 * The text of a PDF, page by page with an empty line between two pages.
 *
 * @throws {DocumentError} `BROKEN_DOCUMENT`, `ENCRYPTED_DOCUMENT` or
 * `DOCUMENT_TOO_LARGE`.
 */
async function extractPdf(
  bytes: Uint8Array,
): Promise<{ text: string; pages: number }> {
  const pdf = await open(bytes);
  try {
    if (pdf.numPages > MAX_PDF_PAGES) {
      throw new DocumentError(
        "DOCUMENT_TOO_LARGE",
        `The PDF has ${pdf.numPages} pages, more than ${MAX_PDF_PAGES}: split it`,
      );
    }
    return { text: await readPages(pdf), pages: pdf.numPages };
  } catch (error) {
    throw error instanceof DocumentError ? error : broken(error);
  } finally {
    await pdf.loadingTask.destroy();
  }
}

async function open(bytes: Uint8Array): Promise<Pdf> {
  try {
    // A copy, because the parser takes its input away; errors only, because its
    // warnings about fonts would fill the log.
    return await getDocumentProxy(bytes.slice(), { verbosity: 0 });
  } catch (error) {
    if (error instanceof Error && error.name === "PasswordException") {
      throw new DocumentError(
        "ENCRYPTED_DOCUMENT",
        "The PDF asks for a password: save it without one and send that file",
        { cause: error },
      );
    }
    throw broken(error);
  }
}

async function readPages(pdf: Pdf): Promise<string> {
  const pages: string[] = [];
  let length = 0;
  for (let number = 1; number <= pdf.numPages; number++) {
    const page = await pdf.getPage(number);
    const { items } = await page.getTextContent();
    const text = items
      .map((item) => "str" in item ? item.str + (item.hasEOL ? "\n" : "") : "")
      .join("");
    page.cleanup();
    length += text.length;
    if (length > MAX_TEXT_LENGTH) {
      throw new DocumentError(
        "DOCUMENT_TOO_LARGE",
        `The PDF holds more than ${MAX_TEXT_LENGTH} characters of text: split it`,
      );
    }
    if (text.trim() !== "") pages.push(text.trim());
  }
  return pages.join("\n\n");
}

function broken(cause: unknown): DocumentError {
  return new DocumentError(
    "BROKEN_DOCUMENT",
    "The file cannot be read as a PDF: check that it opens in a viewer, then send it again",
    { cause },
  );
}

// Everything a text does not need to be read, and much that Postgres or JSON
// cannot carry: C0 and C1 controls but for tab and line feed.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/**
 * Text in the one form that is chunked and stored: line feeds end lines, there
 * are no control characters, and every surrogate has its other half.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { cleanText } from "./extract_text.ts";
 *
 * assertEquals(cleanText("one\r\ntwo\u0000"), "one\ntwo");
 * ```
 */
export function cleanText(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(CONTROLS, "").toWellFormed();
}
