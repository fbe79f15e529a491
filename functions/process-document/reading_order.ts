/** A piece of text where it stands on a page, in the order of the file. */
export interface Item {
  str: string;
  /** Which way it reads: `ltr`, `rtl` or `ttb`. */
  dir: string;
  /** The last two are where it starts, the left and the base line. */
  transform: number[];
  width: number;
  height: number;
  /** Whether a line ends after it. */
  hasEOL: boolean;
}

/**
 * The lines of a page, as they are read. The pieces of a line that is written
 * from right to left stand in a file in whichever order its maker liked, most
 * often the leftmost first, which is read last.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { linesOf } from "./reading_order.ts";
 *
 * const item = (str: string, dir: string, x: number) => (
 *   { str, dir, transform: [9, 0, 0, 9, x, 700], width: 40, height: 9, hasEOL: false }
 * );
 * assertEquals(linesOf([item("עולם", "rtl", 0), item("שלום", "rtl", 50)]), [
 *   "שלום עולם",
 * ]);
 * ```
 */
export function linesOf(items: readonly Item[]): string[] {
  const lines: string[] = [];
  let line: Item[] = [];
  for (const item of items) {
    line.push(item);
    if (!item.hasEOL) continue;
    lines.push(textOf(line));
    line = [];
  }
  if (line.length > 0) lines.push(textOf(line));
  return lines;
}

function textOf(line: readonly Item[]): string {
  const pieces = line.filter(({ str }) => str.trim() !== "");
  return pieces.length > 1 && pieces.some(isRightToLeft)
    ? spell(pieces.toSorted((a, b) => left(a) - left(b)))
    : line.map(({ str }) => str).join("");
}

/** A line from its pieces as they are seen from left to right. */
function spell(seen: readonly Item[]): string {
  const runs: Item[][] = [];
  for (const [index, item] of seen.entries()) {
    const before = seen[index - 1];
    if (before && isRightToLeft(before) === isRightToLeft(item)) {
      runs.at(-1)!.push(item);
    } else {
      runs.push([item]);
    }
  }
  const read = runs.map((run) => isRightToLeft(run[0]!) ? run.reverse() : run);
  if (lettersToTheLeft(seen) >= 0) read.reverse();
  return read.flat().reduce(
    (text, item, index, all) => text + gap(all[index - 1], item) + item.str,
    "",
  );
}

/** How many more letters of a line read to the left than to the right. */
function lettersToTheLeft(line: readonly Item[]): number {
  return line.reduce((sum, item) => {
    const letters = item.str.match(/\p{L}/gu)?.length ?? 0;
    return sum + (isRightToLeft(item) ? letters : -letters);
  }, 0);
}

// Of the height of a letter; a space is about a quarter.
const SPACE = 0.15;

/** A space where one is seen between two pieces. */
function gap(before: Item | undefined, item: Item): string {
  if (before === undefined) return "";
  if (/\s$/.test(before.str) || /^\s/.test(item.str)) return "";
  const [first, second] = left(before) < left(item)
    ? [before, item]
    : [item, before];
  const width = left(second) - left(first) - first.width;
  return width > SPACE * item.height ? " " : "";
}

function left({ transform }: Item): number {
  return transform[4]!;
}

function isRightToLeft({ dir }: Item): boolean {
  return dir === "rtl";
}
