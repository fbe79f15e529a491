import { Buffer } from "node:buffer";

const DOCX =
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

type TextType = "text/csv" | "text/html" | "text/markdown" | "text/plain";
type BinaryType = "application/pdf" | typeof DOCX;

/** The kinds of document that text can be taken from. */
export type DocumentType = TextType | BinaryType;

/** What is in a document: text, whatever charset it came in, or bytes. */
export type Content =
  | { type: TextType; content: string }
  | { type: BinaryType; content: Uint8Array };

const BY_MEDIA_TYPE: Record<string, DocumentType> = {
  [DOCX]: DOCX,
  "application/acrobat": "application/pdf",
  "application/csv": "text/csv",
  "application/pdf": "application/pdf",
  "application/x-pdf": "application/pdf",
  "application/xhtml+xml": "text/html",
  "text/comma-separated-values": "text/csv",
  "text/csv": "text/csv",
  "text/html": "text/html",
  "text/markdown": "text/markdown",
  "text/pdf": "application/pdf",
  "text/plain": "text/plain",
  "text/tab-separated-values": "text/csv",
  "text/x-csv": "text/csv",
  "text/x-markdown": "text/markdown",
};

const BY_EXTENSION: Record<string, DocumentType> = {
  csv: "text/csv",
  docx: DOCX,
  htm: "text/html",
  html: "text/html",
  markdown: "text/markdown",
  md: "text/markdown",
  pdf: "application/pdf",
  tsv: "text/csv",
  txt: "text/plain",
};

// What browsers, curl and object stores declare for a file whose type they do
// not know, and Windows for every file that Word or Excel opens; only then do
// its first bytes decide, and after these its name.
const UNDECLARED = new Set([
  "",
  "application/download",
  "application/force-download",
  "application/msword",
  "application/octet-stream",
  "application/vnd.ms-excel",
  "application/x-download",
  "application/x-octet-stream",
  "binary/octet-stream",
]);

/** A file of which more may be known than its media type. */
export interface Named {
  /** Its name, for the extension. */
  name?: string;
  /** What is in it, for the first bytes. */
  bytes?: Uint8Array;
}

/**
 * The type of a document from its declared media type or, where that says
 * nothing, from how it starts or else from the extension of its name.
 *
 * @throws {DocumentError} `UNSUPPORTED_DOCUMENT_TYPE`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { documentType } from "./document.ts";
 *
 * assertEquals(documentType("text/plain; charset=utf-8"), "text/plain");
 * assertEquals(
 *   documentType("application/octet-stream", { name: "a.md" }),
 *   "text/markdown",
 * );
 * ```
 */
export function documentType(
  mediaType: string,
  { name = "", bytes = new Uint8Array() }: Named = {},
): DocumentType {
  const essence = mediaType.split(";")[0]!.trim().toLowerCase();
  const extension = /\.([^.]+)$/.exec(name)?.[1]?.toLowerCase() ?? "";
  const type = UNDECLARED.has(essence)
    ? typeByStart(bytes) ?? lookUp(BY_EXTENSION, extension)
    : lookUp(BY_MEDIA_TYPE, essence);
  if (type !== undefined) return type;
  const said = essence === "" ? "no type" : `the type "${essence}"`;
  throw new DocumentError(
    "UNSUPPORTED_DOCUMENT_TYPE",
    `The document has ${said}: send text, Markdown, HTML, CSV, PDF or DOCX`,
  );
}

// PDF readers look for the header in the first kilobyte.
const PDF_HEADER_WITHIN = 1024;

function typeByStart(bytes: Uint8Array): DocumentType | undefined {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const start = file.subarray(0, PDF_HEADER_WITHIN);
  if (start.includes("%PDF-")) return "application/pdf";
  // Of the formats that are zip files, what the names in it say.
  return start.indexOf("PK") === 0 && file.includes("word/") ? DOCX : undefined;
}

function lookUp<T>(table: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/** Whether a document is bytes, and not text in one charset or another. */
export function isBinary(type: DocumentType): type is BinaryType {
  return type === "application/pdf" || type === DOCX;
}

/** Why a document cannot be processed. */
export type DocumentErrorCode =
  | "BROKEN_DOCUMENT"
  | "DOCUMENT_NOT_FOUND"
  | "DOCUMENT_TOO_LARGE"
  | "EMPTY_DOCUMENT"
  | "ENCRYPTED_DOCUMENT"
  | "NO_TEXT_FOUND"
  | "UNREADABLE_TEXT"
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

/**
 * The largest document, in bytes. An edge function has 256 MB of memory; a
 * document is held as bytes, as text (two bytes a character), as chunks and as
 * the JSON that carries them, about ten times its size.
 */
export const MAX_DOCUMENT_BYTES = 10 * 1024 * 1024;

/**
 * The longest text that is taken from a document, in UTF-16 code units. Many
 * are compressed: their size does not bound their text.
 */
export const MAX_TEXT_LENGTH = MAX_DOCUMENT_BYTES;

/**
 * The most bytes that what is packed in a document may unpack to: twice what
 * the 300 densest pages of text take, and a page at 300 dpi.
 */
export const MAX_UNPACKED_BYTES = 32 * 1024 * 1024;

/**
 * The most pages read from a PDF. A page full of text takes about 7 ms, and an
 * edge function may compute for 2 s per request.
 */
export const MAX_PDF_PAGES = 300;

/**
 * How deep elements may nest in HTML or XML. Browsers go no deeper than 512, and
 * the time that parsing takes grows with the square of it.
 */
export const MAX_DEPTH = 10_000;

/** The longest title, in characters; the table has the same bound. */
export const MAX_TITLE_LENGTH = 200;
