import { BlockText } from "./block_text.ts";
import { BoundedParser } from "./bounded_parser.ts";
import { DocumentError, MAX_DEPTH } from "./document.ts";

// https://html.spec.whatwg.org/multipage/rendering.html#flow-content-3: those
// with a margin above and below, and those without.
const PARAGRAPHS = new Set(
  "article aside blockquote dl fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr main nav ol p pre section table ul"
    .split(" "),
);
const LINES = new Set(
  "address body br caption center dd details dialog div dt figcaption head html legend li option search summary tbody tfoot thead tr"
    .split(" "),
);
const CELLS = new Set(["td", "th"]);

/** What no reader of a page sees of it, or what the document has as its title. */
const LEFT_OUT = new Set(["script", "style", "template", "title"]);

/**
 * The text of an HTML page: its blocks on lines of their own, the cells of a
 * table with tabs between them, and of an image what is there to be read.
 *
 * @throws {DocumentError} `BROKEN_DOCUMENT` when its elements are never closed, or
 * others are while they are open.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { readHtml } from "./read_html.ts";
 *
 * const html = "<h1>Keys</h1><p>A&nbsp;key is\n a <em>name</em>.";
 * assertEquals(readHtml(html), "Keys\n\nA\u00a0key is a name.");
 * ```
 */
export function readHtml(html: string): string {
  const text = new BlockText();
  let depth = 0;
  let leftOut = 0;
  let preformatted = 0;
  const parser = new BoundedParser({
    onopentag(name, { alt }) {
      if (++depth > MAX_DEPTH) throw tooDeep();
      if (LEFT_OUT.has(name)) leftOut++;
      if (name === "pre") preformatted++;
      if (CELLS.has(name)) text.beginCell();
      endBlock(text, name);
      if (name === "img" && alt && leftOut === 0) text.add(alt);
    },
    ontext(data) {
      if (leftOut > 0) return;
      if (preformatted > 0) text.addAsIs(data);
      else text.add(data);
    },
    onclosetag(name) {
      depth--;
      if (LEFT_OUT.has(name)) leftOut--;
      if (name === "pre") preformatted--;
      if (CELLS.has(name)) text.endCell();
      endBlock(text, name);
    },
  }, { onTooMuchWork: tooDeep });
  parser.end(html);
  return text.toString();
}

/** A block begins where it ends whatever was there before it. */
function endBlock(text: BlockText, name: string): void {
  if (PARAGRAPHS.has(name)) text.endParagraph();
  else if (LINES.has(name)) text.endLine();
}

function tooDeep(): DocumentError {
  return new DocumentError(
    "BROKEN_DOCUMENT",
    `The page nests more than ${MAX_DEPTH} elements: check that they are closed, then send it again`,
  );
}
