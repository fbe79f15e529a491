import { marked, type Token, type Tokens } from "marked";
import { onOneLine, type Section } from "./section.ts";

/**
 * The sections of a Markdown text, by its headings.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { markdownSections } from "./markdown_sections.ts";
 *
 * assertEquals(markdownSections("# Keys\n\nA *key* is a name.\n"), [{
 *   headings: ["Keys"],
 *   body: "A *key* is a name.",
 *   passages: ["A key is a name."],
 * }]);
 * ```
 */
export function markdownSections(text: string): Section[] {
  const sections: Section[] = [];
  let headings: string[] = [];
  let section: Section = { headings, body: "", passages: [] };
  for (const token of marked.lexer(text)) {
    if (token.type === "heading") {
      sections.push(section);
      headings = [...headings.slice(0, token.depth - 1), plain(token)];
      section = { headings, body: "", passages: [] };
    } else {
      section.body += token.raw;
      section.passages.push(...passagesOf(token));
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
