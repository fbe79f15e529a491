import type { Example } from "./example.ts";
import type { Section } from "./section.ts";
import { sentencesOf } from "./sentences.ts";

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
    return passages.flatMap((passage) => {
      const sentences = sentencesOf(passage);
      if (sentences.length < 2) return [];
      const half = Math.ceil(sentences.length / 2);
      return [{
        prompt: `${path}\n\n${sentences.slice(0, half).join(" ")}`,
        answer: ` ${sentences.slice(half).join(" ")}`,
      }];
    });
  });
}
