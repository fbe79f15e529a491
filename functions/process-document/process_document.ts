import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { chunkText } from "../_kit/chunk_text.ts";
import { charsetOfPage, declaredCharset, decodeText } from "./decode_text.ts";
import {
  type Content,
  DocumentError,
  documentType,
  isBinary,
  MAX_DOCUMENT_BYTES,
  MAX_TITLE_LENGTH,
} from "./document.ts";
import type { DocumentStore, HashedChunk } from "./document_store.ts";
import { extractText } from "./extract_text.ts";

/** What became of a document. */
export interface ProcessedDocument {
  jobId: string;
  documentId: string;
  status: "completed";
  title: string;
  mimeType: string;
  /** How many pages it has; only of a PDF. */
  pages?: number;
  /** How many of these are blank, or have images alone; if any. */
  pagesWithoutText?: number;
  chunkCount: number;
  /** Characters (code points) of its text. */
  characters: number;
}

/**
 * Extracts, chunks and stores the text of a document that is already stored.
 *
 * @param requestId The same for every attempt at one request: they share a job.
 * @throws {DocumentError} When there is none or it cannot be processed; nothing
 * was stored then.
 * @throws {StoreError} When the database fails.
 */
export async function processStoredDocument(
  store: DocumentStore,
  documentId: string,
  requestId: string,
): Promise<ProcessedDocument> {
  const document = await store.read(documentId);
  if (document === null) throw notFound(documentId);
  const type = documentType(document.mimeType);
  const content: Content = isBinary(type)
    ? { type, content: decodeBase64(document.content) }
    : { type, content: document.content };
  assertSize(Buffer.byteLength(content.content));
  const { text, ...rest } = await extractText(content);
  const chunks = chunk(text);
  const saved = await store.saveChunks(documentId, chunks, requestId);
  if (saved === null) throw notFound(documentId);
  return {
    jobId: saved.jobId,
    documentId,
    status: "completed",
    title: document.title,
    mimeType: type,
    ...rest,
    ...count(chunks),
  };
}

/**
 * Stores a file as a new document together with its text and chunks.
 *
 * @param requestId The same for every attempt at one request: they share a
 * document and a job.
 * @throws {DocumentError} When it cannot be processed; nothing was stored then.
 * @throws {StoreError} When the database fails.
 */
export async function processUpload(
  store: DocumentStore,
  file: File,
  requestId: string,
): Promise<ProcessedDocument> {
  assertSize(file.size);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const mimeType = documentType(file.type, { name: file.name, bytes });
  const charset = declaredCharset(file.type) ??
    (mimeType === "text/html" ? charsetOfPage(bytes) : undefined);
  const document: Content = isBinary(mimeType)
    ? { type: mimeType, content: bytes }
    : { type: mimeType, content: decodeText(bytes, charset) };
  // In UTF-8, as it is stored, it may be three times as large.
  assertSize(Buffer.byteLength(document.content));
  const { text, ...rest } = await extractText(document);
  const chunks = chunk(text);
  const title = titleOf(file.name);
  const content = typeof document.content === "string"
    ? document.content
    : encodeBase64(bytes);
  const saved = await store.saveUpload(
    { title, mimeType, content },
    chunks,
    requestId,
  );
  return {
    jobId: saved.jobId,
    documentId: saved.documentId,
    status: "completed",
    title,
    mimeType,
    ...rest,
    ...count(chunks),
  };
}

function assertSize(bytes: number): void {
  if (bytes <= MAX_DOCUMENT_BYTES) return;
  throw new DocumentError(
    "DOCUMENT_TOO_LARGE",
    `The document has ${bytes} bytes, more than ${MAX_DOCUMENT_BYTES}: split it`,
  );
}

function notFound(documentId: string): DocumentError {
  return new DocumentError(
    "DOCUMENT_NOT_FOUND",
    `You have no document ${documentId}: insert it first, or check the id`,
  );
}

function chunk(text: string): HashedChunk[] {
  return chunkText(text).map((chunk) => ({
    ...chunk,
    sha256: createHash("sha256").update(chunk.content).digest("hex"),
  }));
}

function count(chunks: HashedChunk[]) {
  return { chunkCount: chunks.length, characters: chunks.at(-1)!.end };
}

function titleOf(fileName: string): string {
  const clean = fileName.toWellFormed().replace(/\p{Cc}/gu, "").trim();
  return Array.from(clean).slice(0, MAX_TITLE_LENGTH).join("") || "Untitled";
}

/** Bytes in base64 (RFC 4648, section 4). */
function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString("base64");
}

/**
 * The bytes behind base64; white space in it is skipped.
 *
 * @throws {DocumentError} `BROKEN_DOCUMENT` when it is something else.
 */
function decodeBase64(text: string): Uint8Array {
  const compact = text.replace(/\s+/g, "");
  // Buffer skips what is not base64 instead of refusing it.
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(compact)) {
    throw new DocumentError(
      "BROKEN_DOCUMENT",
      "The content of the document is not base64: store the file in base64, or upload it",
    );
  }
  return new Uint8Array(Buffer.from(compact, "base64"));
}
