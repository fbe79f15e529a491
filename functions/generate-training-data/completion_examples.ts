import { chunkText } from "../_kit/chunk_text.ts";
import type { Example } from "./example.ts";
import type { Section } from "./section.ts";
import { sentencesOf } from "./sentences.ts";

// About 1,000 tokens, so that prompt and answer fit the window of any model.
const MAX_PASSAGE_LENGTH = 4_000;

/**
 * The first half of each passage, to be completed with the second; halves are
 * counted in sentences. The headings stand before it, so that it has a subject.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { completionExamples } from "./completion_examples.ts";
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
