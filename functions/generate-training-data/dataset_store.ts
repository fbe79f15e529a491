import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../shared/database.types.ts";
import { StoreError } from "../_kit/store_error.ts";
import type { ExampleFormat } from "./examples.ts";

/** What is known of a document that a data set shall be made from. */
export interface ProcessedText {
  id: string;
  title: string;
  mimeType: string;
  /** Length of its text in characters; `null` while it is not processed. */
  characters: number | null;
  /** `null` when all texts together are over the limit. */
  text: string | null;
}

/** A data set to be stored. */
export interface NewDataset {
  /** The same for every attempt at one request: they share a data set. */
  requestId: string;
  documentIds: string[];
  format: ExampleFormat;
  /** JSON Lines. */
  content: string;
  examples: number;
  tokens: number;
  /** The encoding that the tokens were counted in. */
  encoding: string;
}

/** What making data sets needs of a database. */
export interface DatasetStore {
  /** Those of the documents that the caller has, in the order asked for. */
  readTexts(
    documentIds: string[],
    maxCharacters: number,
  ): Promise<ProcessedText[]>;
  /**
   * Stores a data set in one transaction, once for its request id; `null` when a
   * document is gone.
   */
  save(dataset: NewDataset): Promise<{ datasetId: string } | null>;
}

const FOREIGN_KEY_VIOLATION = "23503";

/** The store behind a client that acts as the caller. */
export function datasetStore(supabase: SupabaseClient<Database>): DatasetStore {
  return {
    async readTexts(documentIds, maxCharacters) {
      const { data, error } = await supabase.rpc("read_processed_documents", {
        p_document_ids: documentIds,
        p_max_characters: maxCharacters,
      });
      if (error) {
        throw new StoreError(
          `Cannot read the text of ${documentIds.length} documents`,
          error,
        );
      }
      // The generated types know no null in the columns of a function.
      return data.map(({ id, title, mime_type, characters, content }) => ({
        id,
        title,
        mimeType: mime_type,
        characters: characters as number | null,
        text: content as string | null,
      }));
    },
    async save(dataset) {
      const { data, error } = await supabase.rpc("store_training_dataset", {
        p_document_ids: dataset.documentIds,
        p_format: dataset.format,
        p_content: dataset.content,
        p_examples: dataset.examples,
        p_tokens: dataset.tokens,
        p_encoding: dataset.encoding,
        p_request_id: dataset.requestId,
      });
      if (error?.code === FOREIGN_KEY_VIOLATION) return null;
      if (error) throw new StoreError("Cannot store a data set", error);
      return { datasetId: data };
    },
  };
}
