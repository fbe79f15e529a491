import { buildExamples } from "./build_examples.ts";
import { countTokens } from "./count_tokens.ts";
import type { ExampleFormat, SourceDocument } from "./example.ts";
import { toJsonLines } from "./json_lines.ts";

/** What one document contributes to a data set. */
export interface DocumentExamples {
  /** JSON Lines. */
  content: string;
  examples: number;
  /** Tokens of the prompts, without the format around them. */
  promptTokens: number;
  answerTokens: number;
}

/** Makes the examples of documents, in the order given. */
export type MakeExamples = (
  documents: SourceDocument[],
  format: ExampleFormat,
) => Promise<DocumentExamples[]>;

/** Makes the examples of one document: always the same ones. */
export function documentExamples(
  document: SourceDocument,
  format: ExampleFormat,
): DocumentExamples {
  const examples = buildExamples(document, format);
  let promptTokens = 0;
  let answerTokens = 0;
  for (const { prompt, answer } of examples) {
    promptTokens += countTokens(prompt);
    answerTokens += countTokens(answer);
  }
  return {
    content: toJsonLines(examples, format),
    examples: examples.length,
    promptTokens,
    answerTokens,
  };
}
