/** A piece of a text. */
export interface Chunk {
  /** Which piece, from 0. */
  position: number;
  /** Where it starts, in characters (code points, as Postgres counts them). */
  start: number;
  /** Where the next one starts. */
  end: number;
  content: string;
}

/** How {@link chunkText} cuts. */
export interface ChunkOptions {
  /**
   * The longest chunk, in UTF-16 code units; at least 2.
   *
   * @default {2000}
   */
  maxLength?: number;
}

// About 500 tokens of English: small enough that several fit a prompt, large
// enough to hold a thought.
const DEFAULT_MAX_LENGTH = 2_000;

// From the best place to cut at to the worst: after a paragraph, a line, a
// sentence, a word.
const BOUNDARIES = [/\n\n+/g, /\n/g, /[.!?。！？]["')\]]*\s+/g, /\s+/g];

// A surrogate pair: two code units, one character.
const PAIR = /[\u{10000}-\u{10ffff}]/gu;

/**
 * Cuts a text into chunks that follow on from each other without gap or
 * overlap, at the end of a paragraph where one is near, else of a line, a
 * sentence or a word, and never inside a character.
 *
 * @throws {RangeError} When `maxLength` is below 2.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { chunkText } from "./chunk_text.ts";
 *
 * assertEquals(chunkText("One two. Three 😀", { maxLength: 10 }), [
 *   { position: 0, start: 0, end: 9, content: "One two. " },
 *   { position: 1, start: 9, end: 16, content: "Three 😀" },
 * ]);
 * ```
 */
export function chunkText(text: string, options: ChunkOptions = {}): Chunk[] {
  const { maxLength = DEFAULT_MAX_LENGTH } = options;
  if (!(maxLength >= 2)) {
    throw new RangeError(
      `Cannot cut chunks of ${maxLength} code units: a character takes up to 2`,
    );
  }
  const chunks: Chunk[] = [];
  let index = 0;
  let start = 0;
  while (index < text.length) {
    const content = text.slice(index, index + lengthOfNext(text, index));
    // Less one for each pair, which Postgres counts as one.
    const pairs = content.match(PAIR)?.length ?? 0;
    const end = start + content.length - pairs;
    chunks.push({ position: chunks.length, start, end, content });
    index += content.length;
    start = end;
  }
  return chunks;

  function lengthOfNext(text: string, index: number): number {
    const window = text.slice(index, index + maxLength);
    if (index + window.length === text.length) return window.length;
    for (const boundary of BOUNDARIES) {
      const length = lastEndOf(window, boundary);
      // In the first half a cut would leave a chunk too small to be of use.
      if (length > maxLength / 2) return length;
    }
    // Not between the halves of a pair.
    return text.codePointAt(index + window.length - 1)! > 0xffff
      ? window.length - 1
      : window.length;
  }
}

function lastEndOf(text: string, pattern: RegExp): number {
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    end = match.index + match[0].length;
  }
  return end;
}
