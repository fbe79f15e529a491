// One encoding by its own path: the package's main module loads a table of
// every model as well.
import { countTokens as count } from "gpt-tokenizer/encoding/o200k_base";
import { withoutEmbeddedData } from "../_kit/embedded_data.ts";
import {
  clozeExamples,
  completionExamples,
  definitionExamples,
  type Example,
  sectionExamples,
} from "./example_rules.ts";
import {
  markdownSections,
  plainSections,
  type Section,
  sentencesOf,
} from "./sections.ts";

/** `qa`: question and answer; `completion`: a text and how it goes on. */
export type ExampleFormat = "completion" | "qa";

/** A document as examples are made from it. */
export interface SourceDocument {
  title: string;
  mimeType: string;
  text: string;
}

// Each example names the headings above it: a paragraph that is marked as one is
// there again in every section below it, gigabytes of it where these are many.
const MAX_NAMED_LENGTH = 8 * 1024 * 1024;

// No language has words as long, and the tokenizer takes time with the square
// of a run's length: 3 s for 16,000 characters.
const UNREADABLE = /[^\s\p{P}]{500,}|\p{P}{500,}/u;

// Nor gaps, of which there is nothing to be learned.
const GAP = /(?<=[^\S\n]{100})[^\S\n]+/g;

/**
 * Makes examples from a document by rule: the same document always gives the
 * same ones. None occurs twice.
 */
export function buildExamples(
  document: SourceDocument,
  format: ExampleFormat,
): Example[] {
  const { title } = document;
  // Documents that were processed before it left images out have them.
  const text = withoutEmbeddedData(document.text).replace(GAP, "");
  const sections = withoutEndlessHeadings(
    sectionsOf(document.mimeType, text),
  ).filter(isReadable);
  const examples = format === "completion"
    ? completionExamples(title, sections)
    : questions();
  return [...new Map(examples.map((example) => [key(example), example]))
    .values()];

  function questions(): Example[] {
    const sentences = sections
      .flatMap(({ passages }) => passages)
      .flatMap(sentencesOf);
    return [
      ...sectionExamples(title, sections),
      ...definitionExamples(sentences),
      ...clozeExamples(title, sentences),
    ];
  }
}

function sectionsOf(mimeType: string, text: string): Section[] {
  return mimeType === "text/markdown"
    ? markdownSections(text)
    : plainSections(text);
}

/** The sections, without headings where naming them would take much more than the text. */
function withoutEndlessHeadings(sections: Section[]): Section[] {
  const named = sections.reduce((total, { headings, body, passages }) => {
    const length = headings.reduce((sum, { length }) => sum + length, 0);
    // At most as many examples: a part is a passage, or some 2,000 characters.
    return total + length * (1 + passages.length + body.length / 2_000);
  }, 0);
  return named <= MAX_NAMED_LENGTH
    ? sections
    : sections.map((section) => ({ ...section, headings: [] }));
}

function isReadable({ headings, body }: Section): boolean {
  return ![body, ...headings].some((text) => UNREADABLE.test(text));
}

function key({ prompt, answer }: Example): string {
  return JSON.stringify([prompt, answer]);
}

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

/** The encoding that {@link countTokens} counts in: that of GPT-4o and later. */
export const ENCODING = "o200k_base";

/**
 * How many tokens a text has. What looks like a control token, such as
 * `<|endoftext|>`, counts as the text it is.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { countTokens } from "./examples.ts";
 *
 * assertEquals(countTokens("idempotency key"), 4);
 * ```
 */
export function countTokens(text: string): number {
  return count(text, { disallowedSpecial: new Set() });
}

/**
 * Examples in the form that fine-tuning providers take: one JSON object a line,
 * chat messages for `qa`, prompt and completion for `completion`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { toJsonLines } from "./examples.ts";
 *
 * assertEquals(
 *   toJsonLines([{ prompt: "One", answer: " two" }], "completion"),
 *   '{"prompt":"One","completion":" two"}\n',
 * );
 * ```
 */
export function toJsonLines(
  examples: Example[],
  format: ExampleFormat,
): string {
  return examples
    .map(({ prompt, answer }) =>
      format === "completion" ? { prompt, completion: answer } : {
        messages: [
          { role: "user", content: prompt },
          { role: "assistant", content: answer },
        ],
      }
    )
    .map((line) => JSON.stringify(line) + "\n")
    .join("");
}
