import type { Example } from "./example.ts";
import { wordsOf } from "./sentences.ts";

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
 * import { clozeExamples } from "./cloze_examples.ts";
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
