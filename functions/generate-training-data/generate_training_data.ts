import type { DatasetStore, ProcessedText } from "./dataset_store.ts";
import { ENCODING, type ExampleFormat, type MakeExamples } from "./examples.ts";

/**
 * The most documents in one data set: enough for a handbook, few enough that
 * one statement reads them well within the 8 s that an API role has.
 */
export const MAX_DOCUMENTS = 100;

/**
 * The longest text that one data set is made from, in characters. Making
 * examples takes about 2 s for this much, the time an edge function may compute.
 */
const MAX_SOURCE_CHARACTERS = 500_000;

// The bound of the column. Each example names its document, so that a long title
// over many sentences makes a data set that is much longer than its text.
const MAX_BYTES = 16 * 1024 * 1024;

/** Why there is no data set. */
export type TrainingErrorCode =
  | "DATASET_TOO_LARGE"
  | "DOCUMENT_NOT_FOUND"
  | "DOCUMENT_NOT_PROCESSED"
  | "NO_EXAMPLES";

/** Training material that is missing or of no use; nothing was stored. */
class TrainingError extends Error {
  override readonly name = "TrainingError";

  /** @param message What was wrong and what to do, fit for the user's eyes. */
  constructor(readonly code: TrainingErrorCode, message: string) {
    super(message);
  }
}

/** A data set that was stored. */
export interface GeneratedDataset {
  datasetId: string;
  format: ExampleFormat;
  statistics: {
    documents: number;
    /** Characters of the documents' text. */
    characters: number;
    examples: number;
    /** Tokens of all prompts and answers, without the format around them. */
    tokens: number;
    promptTokens: number;
    answerTokens: number;
    /** The encoding that tokens were counted in. */
    encoding: string;
    /** Size of the JSON Lines in UTF-8. */
    bytes: number;
  };
}

/**
 * Makes a data set of examples from processed documents and stores it. A
 * document that is named twice counts once.
 *
 * @param makeExamples Makes the examples of the documents.
 * @throws {TrainingError} When a document is missing or not processed, when
 * they are too long, or yield no example; nothing was stored then.
 * @throws {StoreError} When the database fails.
 */
export async function generateTrainingData(
  store: DatasetStore,
  makeExamples: MakeExamples,
  request: { requestId: string; documentIds: string[]; format: ExampleFormat },
): Promise<GeneratedDataset> {
  const { requestId, format } = request;
  const ids = [...new Set(request.documentIds.map((id) => id.toLowerCase()))];
  const documents = await store.readTexts(ids, MAX_SOURCE_CHARACTERS);
  assertUsable(ids, documents);

  const made = await makeExamples(
    documents.map(({ title, mimeType, text }) => ({
      title,
      mimeType,
      text: text!,
    })),
    format,
  );
  const examples = sum(made, ({ examples }) => examples);
  if (examples === 0) {
    throw new TrainingError(
      "NO_EXAMPLES",
      `The documents yield no ${format} example: they need sentences, best under headings`,
    );
  }
  const content = made.map(({ content }) => content).join("");
  const bytes = new TextEncoder().encode(content).length;
  if (bytes > MAX_BYTES) {
    throw new TrainingError(
      "DATASET_TOO_LARGE",
      `The examples have ${bytes} bytes together, more than ${MAX_BYTES}: make several data sets, or shorten the titles`,
    );
  }
  const promptTokens = sum(made, ({ promptTokens }) => promptTokens);
  const answerTokens = sum(made, ({ answerTokens }) => answerTokens);
  const tokens = promptTokens + answerTokens;
  const saved = await store.save({
    requestId,
    documentIds: ids,
    format,
    content,
    examples,
    tokens,
    encoding: ENCODING,
  });
  if (saved === null) {
    throw new TrainingError(
      "DOCUMENT_NOT_FOUND",
      "One of the documents was deleted meanwhile: leave it out",
    );
  }
  return {
    datasetId: saved.datasetId,
    format,
    statistics: {
      documents: documents.length,
      characters: sum(documents, ({ characters }) => characters ?? 0),
      examples,
      tokens,
      promptTokens,
      answerTokens,
      encoding: ENCODING,
      bytes,
    },
  };
}

function assertUsable(ids: string[], documents: ProcessedText[]): void {
  const found = new Set(documents.map(({ id }) => id));
  const missing = ids.filter((id) => !found.has(id));
  if (missing.length > 0) {
    throw new TrainingError(
      "DOCUMENT_NOT_FOUND",
      `You have no document ${list(missing)}: check the ids`,
    );
  }
  const unprocessed = documents.filter(({ characters }) => characters === null);
  if (unprocessed.length > 0) {
    throw new TrainingError(
      "DOCUMENT_NOT_PROCESSED",
      `Not processed yet: ${
        list(unprocessed.map(({ id }) => id))
      }. Call process-document on it first`,
    );
  }
  if (documents.some(({ text }) => text === null)) {
    const characters = sum(documents, ({ characters }) => characters ?? 0);
    throw new TrainingError(
      "DATASET_TOO_LARGE",
      `The documents have ${characters} characters together, more than ${MAX_SOURCE_CHARACTERS}: make several data sets`,
    );
  }
}

/** The first few of them, since a message is read by people. */
function list(ids: string[]): string {
  const more = ids.length > 3 ? ` and ${ids.length - 3} more` : "";
  return ids.slice(0, 3).join(", ") + more;
}

function sum<T>(items: T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
