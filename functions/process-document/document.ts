import { Buffer } from "node:buffer";

/** The kinds of document that text can be taken from. */
export type DocumentType = "application/pdf" | "text/markdown" | "text/plain";

const BY_MEDIA_TYPE: Record<string, DocumentType> = {
  "application/acrobat": "application/pdf",
  "application/pdf": "application/pdf",
  "application/x-pdf": "application/pdf",
  "text/markdown": "text/markdown",
  "text/pdf": "application/pdf",
  "text/plain": "text/plain",
  "text/x-markdown": "text/markdown",
};

const BY_EXTENSION: Record<string, DocumentType> = {
  markdown: "text/markdown",
  md: "text/markdown",
  pdf: "application/pdf",
  txt: "text/plain",
};

// What browsers, curl and object stores declare for a file whose type they do
// not know; only then do its first bytes decide, and after these its name.
const UNDECLARED = new Set([
  "",
  "application/download",
  "application/force-download",
  "application/octet-stream",
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
    `The document has ${said}: send text/plain, text/markdown or application/pdf`,
  );
}

// PDF readers look for the header in the first kilobyte.
const PDF_HEADER_WITHIN = 1024;

function typeByStart(bytes: Uint8Array): DocumentType | undefined {
  const start = Buffer.from(bytes.subarray(0, PDF_HEADER_WITHIN));
  return start.includes("%PDF-") ? "application/pdf" : undefined;
}

function lookUp<T>(table: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/**
 * The charset that a media type declares, as it is written there.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { declaredCharset } from "./document.ts";
 *
 * assertEquals(declaredCharset('text/plain; Charset="utf-16"'), "utf-16");
 * ```
 */
export function declaredCharset(mediaType: string): string | undefined {
  return /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(mediaType)?.[1];
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
 * The longest text that is taken from a document, in UTF-16 code units. A PDF
 * is compressed: its size does not bound its text.
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

/** The longest title, in characters; the table has the same bound. */
export const MAX_TITLE_LENGTH = 200;
