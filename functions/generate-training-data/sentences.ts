const sentenceSegmenter = new Intl.Segmenter("en", { granularity: "sentence" });
const wordSegmenter = new Intl.Segmenter("en", { granularity: "word" });

/** The sentences of a passage, without the space between them. */
export function sentencesOf(passage: string): string[] {
  return Array.from(
    sentenceSegmenter.segment(passage),
    ({ segment }) => segment.trim(),
  ).filter((sentence) => sentence !== "");
}

/** The words of a text and where each starts, in UTF-16 code units. */
export function wordsOf(text: string): { word: string; index: number }[] {
  return Array.from(wordSegmenter.segment(text))
    .filter(({ isWordLike }) => isWordLike)
    .map(({ segment, index }) => ({ word: segment, index }));
}
