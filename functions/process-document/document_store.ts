import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../shared/database.types.ts";
import { StoreError } from "../_kit/store_error.ts";
import type { Chunk } from "../_kit/chunk_text.ts";

/** A document as its owner handed it in. */
export interface StoredDocument {
  title: string;
  mimeType: string;
  /** The text, or base64 of a binary file. */
  content: string;
}

/** A chunk with the SHA-256 of its UTF-8 bytes, in hexadecimal. */
export type HashedChunk = Chunk & { sha256: string };

/**
 * What processing needs of a database. Each write is one transaction, and done
 * once for a request id, whichever attempt at the request it comes from.
 */
export interface DocumentStore {
  /** The document; `null` when the caller has none with this id. */
  read(id: string): Promise<StoredDocument | null>;
  /** Replaces the chunks and records a job; `null` when the document is gone. */
  saveChunks(
    documentId: string,
    chunks: HashedChunk[],
    requestId: string,
  ): Promise<{ jobId: string } | null>;
  /** Stores a new document with its chunks and records a job. */
  saveUpload(
    document: StoredDocument,
    chunks: HashedChunk[],
    requestId: string,
  ): Promise<{ documentId: string; jobId: string }>;
}

// What Postgres raises where store_processed_document finds no such document.
const NOT_FOUND = "PT404";

/** The store behind a client that acts as the caller. */
export function documentStore(
  supabase: SupabaseClient<Database>,
): DocumentStore {
  return {
    async read(id) {
      const { data, error } = await supabase
        .from("documents")
        .select("title, mime_type, content")
        .eq("id", id)
        .maybeSingle();
      if (error) throw new StoreError(`Cannot read document ${id}`, error);
      if (data === null) return null;
      const { title, mime_type: mimeType, content } = data;
      return { title, mimeType, content };
    },
    async saveChunks(documentId, chunks, requestId) {
      const { data, error } = await supabase.rpc("store_processed_document", {
        p_document_id: documentId,
        p_chunks: chunks.map(toRow),
        p_request_id: requestId,
      });
      if (error?.code === NOT_FOUND) return null;
      if (error) {
        throw new StoreError(
          `Cannot store the chunks of document ${documentId}`,
          error,
        );
      }
      return { jobId: data };
    },
    async saveUpload({ title, mimeType, content }, chunks, requestId) {
      const { data, error } = await supabase.rpc("store_uploaded_document", {
        p_title: title,
        p_mime_type: mimeType,
        p_content: content,
        p_chunks: chunks.map(toRow),
        p_request_id: requestId,
      }).single();
      if (error) throw new StoreError("Cannot store an upload", error);
      return { documentId: data.document_id, jobId: data.job_id };
    },
  };
}

function toRow(chunk: HashedChunk) {
  const { position, start, end, content, sha256 } = chunk;
  return {
    position,
    start_offset: start,
    end_offset: end,
    content,
    sha256,
  };
}
