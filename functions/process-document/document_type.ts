import { DocumentError } from "./document_error.ts";

/** The kinds of document that text can be taken from. */
export type DocumentType = "application/pdf" | "text/markdown" | "text/plain";

const BY_MEDIA_TYPE: Record<string, DocumentType> = {
  "application/pdf": "application/pdf",
  "text/markdown": "text/markdown",
  "text/plain": "text/plain",
  "text/x-markdown": "text/markdown",
};

const BY_EXTENSION: Record<string, DocumentType> = {
  markdown: "text/markdown",
  md: "text/markdown",
  pdf: "application/pdf",
  txt: "text/plain",
};

// What browsers and curl declare for a file whose type they do not know, such
// as Markdown; only then does the name decide.
const UNDECLARED = new Set(["", "application/octet-stream"]);

/**
 * The type of a document from its declared media type or, where that says
 * nothing, from the extension of its name.
 *
 * @throws {DocumentError} `UNSUPPORTED_DOCUMENT_TYPE`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { documentType } from "./document_type.ts";
 *
 * assertEquals(documentType("text/plain; charset=utf-8"), "text/plain");
 * assertEquals(documentType("application/octet-stream", "a.md"), "text/markdown");
 * ```
 */
export function documentType(mediaType: string, name = ""): DocumentType {
  const essence = mediaType.split(";")[0]!.trim().toLowerCase();
  const extension = /\.([^.]+)$/.exec(name)?.[1]?.toLowerCase() ?? "";
  const type = UNDECLARED.has(essence)
    ? lookUp(BY_EXTENSION, extension)
    : lookUp(BY_MEDIA_TYPE, essence);
  if (type !== undefined) return type;
  const said = essence === "" ? "no type" : `the type "${essence}"`;
  throw new DocumentError(
    "UNSUPPORTED_DOCUMENT_TYPE",
    `The document has ${said}: send text/plain, text/markdown or application/pdf`,
  );
}

function lookUp<T>(table: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
