// Everything a text does not need to be read, and much that Postgres or JSON
// cannot carry: C0 and C1 controls but for tab and line feed.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/**
 * Text in the one form that is chunked and stored: line feeds end lines, there
 * are no control characters, and every surrogate has its other half.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { cleanText } from "./clean_text.ts";
 *
 * assertEquals(cleanText("one\r\ntwo\u0000"), "one\ntwo");
 * ```
 */
export function cleanText(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(CONTROLS, "").toWellFormed();
}
