import { clozeExamples } from "./cloze_examples.ts";
import { completionExamples } from "./completion_examples.ts";
import { definitionExamples } from "./definition_examples.ts";
import type { Example, ExampleFormat, SourceDocument } from "./example.ts";
import { markdownSections } from "./markdown_sections.ts";
import { plainSections } from "./plain_sections.ts";
import type { Section } from "./section.ts";
import { sectionExamples } from "./section_examples.ts";
import { sentencesOf } from "./sentences.ts";

// No language has words as long, and the tokenizer takes time with the square
// of a run's length: 3 s for 16,000 characters.
const UNREADABLE = /[^\s\p{P}]{500,}|\p{P}{500,}/u;

/**
 * Makes examples from a document by rule: the same document always gives the
 * same ones. None occurs twice.
 */
export function buildExamples(
  document: SourceDocument,
  format: ExampleFormat,
): Example[] {
  const { title, text } = document;
  const sections = sectionsOf(document.mimeType, text).filter(isReadable);
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

function isReadable({ headings, body }: Section): boolean {
  return ![body, ...headings].some((text) => UNREADABLE.test(text));
}

function key({ prompt, answer }: Example): string {
  return JSON.stringify([prompt, answer]);
}
