import { getDefaults, Lexer, type Token, Tokenizer, type Tokens } from "marked";

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
function onOneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

// Nobody writes quotes or lists so deep, and to read them takes more stack than
// there is.
const TOO_DEEP = /^[ \t]*(?:(?:>|[-+*][ \t]|\d{1,9}[.)][ \t])[ \t]*){100}/m;

// How many characters may be looked through for the end of emphasis in vain: a fraction
// of a second's work, and each stray asterisk looks through the rest of its paragraph.
const MAX_LOOKED_THROUGH = 5_000_000;

/** Takes emphasis for text once the ends of too much of it were looked for in vain. */
class BoundedTokenizer extends Tokenizer {
  #left = MAX_LOOKED_THROUGH;

  override emStrong(...where: Parameters<Tokenizer["emStrong"]>) {
    return this.#bounded(where[0], () => super.emStrong(...where));
  }

  override del(...where: Parameters<Tokenizer["del"]>) {
    return this.#bounded(where[0], () => super.del(...where));
  }

  #bounded<T>(src: string, read: () => T | undefined): T | undefined {
    if (this.#left < 0 || !/^[*_~]/.test(src)) return undefined;
    const token = read();
    if (token === undefined) this.#left -= src.length;
    return token;
  }
}

/**
 * The sections of a Markdown text, by its headings; of one that nests a hundred
 * deep on a line, those of a text without markup.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { markdownSections } from "./sections.ts";
 *
 * assertEquals(markdownSections("# Keys\n\nA *key* is a name.\n"), [{
 *   headings: ["Keys"],
 *   body: "A *key* is a name.",
 *   passages: ["A key is a name."],
 * }]);
 * ```
 */
export function markdownSections(text: string): Section[] {
  if (TOO_DEEP.test(text)) return plainSections(text);
  const options = { ...getDefaults(), tokenizer: new BoundedTokenizer() };
  const sections: Section[] = [];
  let headings: string[] = [];
  let section: Section = { headings, body: "", passages: [] };
  for (const token of Lexer.lex(text, options)) {
    if (token.type === "heading") {
      sections.push(section);
      headings = [...headings.slice(0, token.depth - 1), plain(token)];
      section = { headings, body: "", passages: [] };
    } else {
      section.body += token.raw;
      // Not spread: a list may have more items than a call takes arguments.
      for (const passage of passagesOf(token)) section.passages.push(passage);
    }
  }
  sections.push(section);
  return sections
    .map((section) => ({ ...section, body: section.body.trim() }))
    .filter(({ body }) => body !== "");
}

function passagesOf(token: Token): string[] {
  if (token.type === "paragraph") return [plain(token)];
  if (token.type === "list") {
    return (token as Tokens.List).items.map(plain);
  }
  if (token.type === "blockquote") {
    return (token as Tokens.Blockquote).tokens.flatMap(passagesOf);
  }
  // Code and tables are no sentences.
  return [];
}

function plain(token: Token): string {
  return onOneLine(inner(token));
}

function inner(token: Token): string {
  if (token.type === "br" || token.type === "space") return " ";
  if (token.type === "html") return "";
  if ("tokens" in token && token.tokens) {
    // Blocks inside a list item end their line; pieces of one line do not.
    const glue = token.type === "list_item" ? " " : "";
    return token.tokens.map(inner).join(glue);
  }
  if (token.type === "list") {
    return (token as Tokens.List).items.map(inner).join(" ");
  }
  return "text" in token ? token.text : "";
}

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
 * import { plainSections } from "./sections.ts";
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
