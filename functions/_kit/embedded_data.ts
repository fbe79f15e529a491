// What is shorter is a matter of the text, such as an example of a data URL. The
// bounds keep the time that looking takes proportional to the text.
const DATA_URL =
  /data:[\w.+-]{1,50}\/[\w.+-]{1,50}[^\s,"'<>()]{0,50},[^\s"'<>()]{64,}/gi;

/**
 * A text without the data URLs in it, such as the images that editors and
 * converters embed in Markdown: hundreds of kilobytes that say nothing.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { withoutEmbeddedData } from "./embedded_data.ts";
 *
 * const image = `![A pump](data:image/png;base64,${"iVBO".repeat(1000)})`;
 * assertEquals(withoutEmbeddedData(image), "![A pump]()");
 * ```
 */
export function withoutEmbeddedData(text: string): string {
  return text.replace(DATA_URL, "");
}
