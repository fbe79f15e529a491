/** A part of a document under one heading. */
export interface Section {
  /** The headings above it, outermost first; none before the first heading. */
  headings: string[];
  /** Its text as the document has it. */
  body: string;
  /** Its paragraphs and list items, without markup, each on one line. */
  passages: string[];
}

/** White space as one space, none at the ends. */
export function onOneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
