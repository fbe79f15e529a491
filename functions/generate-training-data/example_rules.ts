import { chunkText } from "../_kit/chunk_text.ts";
import { type Section, sentencesOf, wordsOf } from "./sections.ts";

/** What a model is to learn: this answer to this prompt. */
export interface Example {
  prompt: string;
  answer: string;
}

// About 1,000 tokens: an answer that a model of any size can learn whole.
const MAX_ANSWER_LENGTH = 4_000;

/**
 * Asks for what stands under each heading; a long section is asked for in parts.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { sectionExamples } from "./example_rules.ts";
 *
 * const section = { headings: ["Keys"], body: "A name.", passages: [] };
 * assertEquals(sectionExamples("Guide", [section]), [
 *   { prompt: 'What does "Guide" say about "Keys"?', answer: "A name." },
 * ]);
 * ```
 */
export function sectionExamples(
  title: string,
  sections: Section[],
): Example[] {
  return sections.flatMap(({ headings, body }) => {
    const heading = headings.at(-1);
    if (heading === undefined) return [];
    const path = headings.filter((heading) => heading !== title).join(" › ") ||
      heading;
    const question = heading.endsWith("?")
      ? heading
      : `What does "${title}" say about "${path}"?`;
    const parts = chunkText(body, { maxLength: MAX_ANSWER_LENGTH });
    return parts.map(({ content, position }) => ({
      prompt: parts.length === 1
        ? question
        : `${question} (part ${position + 1} of ${parts.length})`,
      answer: content.trim(),
    }));
  });
}

// "A lease is the time …", "Leases are …", "Idempotency means …". English only:
// a sentence of another language yields no example, not a wrong one.
const DEFINITION =
  /^(?:an?\s+|the\s+)?(?<term>\p{L}[\p{L}\p{N}'’-]*(?: [\p{L}\p{N}'’-]+){0,3}?) (?<verb>is|are|means) (?:an?|the|any|one|what|whatever|how|that) /iu;

// A word that refers back: "It is the …" defines nothing that can be asked for.
const REFERRING =
  /^(?:he|here|it|one|she|that|then|there|these|they|this|those|we|what|which|who|you)\b/i;

/**
 * An example for each sentence that defines a term.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { definitionExamples } from "./example_rules.ts";
 *
 * assertEquals(definitionExamples(["A lease is the time a claim lasts."]), [
 *   { prompt: "What is a lease?", answer: "A lease is the time a claim lasts." },
 * ]);
 * ```
 */
export function definitionExamples(sentences: string[]): Example[] {
  return sentences.flatMap((sentence) => {
    const match = DEFINITION.exec(sentence);
    if (match === null || REFERRING.test(match.groups!["term"]!)) return [];
    const subject = match[0].slice(
      0,
      match[0].indexOf(match.groups!["term"]!) + match.groups!["term"]!.length,
    );
    const question = match.groups!["verb"]!.toLowerCase() === "are"
      ? `What are ${lowerArticle(subject)}?`
      : `What is ${lowerArticle(subject)}?`;
    return [{ prompt: question, answer: sentence }];
  });
}

function lowerArticle(subject: string): string {
  return subject.replace(/^(?:An?|The)\b/, (article) => article.toLowerCase());
}

// Below this a sentence with a gap does not tell which word is missing.
const MIN_WORDS = 6;

// Above this it is no sentence but text without punctuation.
const MAX_SENTENCE_LENGTH = 600;

// Shorter words are mostly of the kind that every sentence has.
const MIN_WORD_LENGTH = 4;

/**
 * For each sentence that is long enough, one example that asks for its most
 * telling word: the one rarest in the document, of several the longest, of
 * several the first.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { clozeExamples } from "./example_rules.ts";
 *
 * const sentence = "Every retry of a request carries the same key.";
 * assertEquals(clozeExamples("Keys", [sentence]), [{
 *   prompt:
 *     'Fill in the missing word, from "Keys": Every retry of a ____ carries the same key.',
 *   answer: "request",
 * }]);
 * ```
 */
export function clozeExamples(title: string, sentences: string[]): Example[] {
  const split = sentences
    .filter((sentence) => sentence.length <= MAX_SENTENCE_LENGTH)
    .map((sentence) => ({ sentence, words: wordsOf(sentence) }));
  const frequency = new Map<string, number>();
  for (const { word } of split.flatMap(({ words }) => words)) {
    const folded = word.toLowerCase();
    frequency.set(folded, (frequency.get(folded) ?? 0) + 1);
  }
  const rarity = (word: string) => frequency.get(word.toLowerCase())!;

  return split.flatMap(({ sentence, words }) => {
    if (words.length < MIN_WORDS) return [];
    const [chosen] = words
      .filter(({ word }) => word.length >= MIN_WORD_LENGTH)
      .sort((a, b) =>
        rarity(a.word) - rarity(b.word) ||
        b.word.length - a.word.length ||
        a.index - b.index
      );
    if (chosen === undefined) return [];
    const { word, index } = chosen;
    const gapped = sentence.slice(0, index) + "____" +
      sentence.slice(index + word.length);
    return [{
      prompt: `Fill in the missing word, from "${title}": ${gapped}`,
      answer: word,
    }];
  });
}

// About 1,000 tokens, so that prompt and answer fit the window of any model.
const MAX_PASSAGE_LENGTH = 4_000;

/**
 * The first half of each passage, to be completed with the second; halves are
 * counted in sentences. The headings stand before it, so that it has a subject.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { completionExamples } from "./example_rules.ts";
 *
 * const passages = ["A key is a name. Every retry carries it."];
 * const section = { headings: ["Keys"], body: "", passages };
 * assertEquals(completionExamples("Guide", [section]), [{
 *   prompt: "Guide › Keys\n\nA key is a name.",
 *   answer: " Every retry carries it.",
 * }]);
 * ```
 */
export function completionExamples(
  title: string,
  sections: Section[],
): Example[] {
  return sections.flatMap(({ headings, passages }) => {
    const path = [...new Set([title, ...headings])].join(" › ");
    const parts = passages.flatMap((passage) =>
      chunkText(passage, { maxLength: MAX_PASSAGE_LENGTH })
    );
    return parts.flatMap(({ content }) => {
      const sentences = sentencesOf(content);
      if (sentences.length < 2) return [];
      const half = Math.ceil(sentences.length / 2);
      return [{
        prompt: `${path}\n\n${sentences.slice(0, half).join(" ")}`,
        answer: ` ${sentences.slice(half).join(" ")}`,
      }];
    });
  });
}
