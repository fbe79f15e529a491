import { chunkText } from "../_kit/chunk_text.ts";
import type { Example } from "./example.ts";
import type { Section } from "./section.ts";

// About 1,000 tokens: an answer that a model of any size can learn whole.
const MAX_ANSWER_LENGTH = 4_000;

/**
 * Asks for what stands under each heading; a long section is asked for in parts.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { sectionExamples } from "./section_examples.ts";
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
