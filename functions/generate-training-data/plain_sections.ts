import { onOneLine, type Section } from "./section.ts";

// A heading is a line, and a line of print has up to about 80 characters.
const MAX_HEADING_LENGTH = 80;

/**
 * The sections of a text without markup, such as a PDF's. A heading is a short
 * line at the start of a paragraph that begins with a capital or a number and
 * does not end like a sentence.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { plainSections } from "./plain_sections.ts";
 *
 * assertEquals(plainSections("Keys\nA key is\na name."), [{
 *   headings: ["Keys"],
 *   body: "A key is\na name.",
 *   passages: ["A key is a name."],
 * }]);
 * ```
 */
export function plainSections(text: string): Section[] {
  const sections: Section[] = [];
  let section: Section = { headings: [], body: "", passages: [] };
  for (const paragraph of text.split(/\n[^\S\n]*\n\s*/)) {
    const [first = "", ...rest] = paragraph.trim().split("\n");
    const heading = isHeading(first) ? onOneLine(first) : undefined;
    if (heading !== undefined) {
      sections.push(section);
      section = { headings: [heading], body: "", passages: [] };
    }
    const body = heading === undefined ? paragraph.trim() : rest.join("\n");
    if (body === "") continue;
    section.body += section.body === "" ? body : `\n\n${body}`;
    section.passages.push(onOneLine(body));
  }
  sections.push(section);
  return sections.filter(({ body }) => body !== "");
}

function isHeading(line: string): boolean {
  const text = line.trim();
  return text.length <= MAX_HEADING_LENGTH &&
    /^[\p{Lu}\p{Lo}\p{N}]/u.test(text) && /[\p{L}\p{N})?]$/u.test(text);
}
