import { createHash } from "node:crypto";

const ESCAPES: Record<string, string> = {
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
};
const MEANINGS = Object.fromEntries(
  Object.entries(ESCAPES).map(([character, escape]) => [escape, character]),
);

/** Takes a line of COPY's text format apart: a text for each column, or null. */
export function readCopyLine(line: string, columns: number): (string | null)[] {
  if (columns === 0) return [];
  return line.split("\t").map((field) =>
    field === "\\N"
      ? null
      : field.replaceAll(/\\[bfnrtv\\]/g, (escape) => MEANINGS[escape]!)
  );
}

/** Puts a line of COPY's text format together. */
export function writeCopyLine(values: readonly (string | null)[]): string {
  return values.map((value) =>
    value === null
      ? "\\N"
      : value.replaceAll(/[\b\f\n\r\t\v\\]/g, (each) => ESCAPES[each]!)
  ).join("\t");
}

/**
 * Settings under which the text of every value is exact and the same
 * everywhere. They last as long as the transaction.
 */
export const EXACT_TEXT = `
set local datestyle = 'ISO, YMD';
set local intervalstyle = 'postgres';
set local timezone = 'UTC';
set local extra_float_digits = 3;
set local bytea_output = 'hex';
set local xmloption = 'content';
set local search_path = '';
set local row_security = off;
set local statement_timeout = 0`;

/** Rows and their checksum, which does not depend on their order. */
export interface RowSum {
  rows: number;
  /** The sum of the SHA-256 of all lines, modulo 2^256, in hexadecimal. */
  checksum: string;
}

/** Adds lines of COPY's text format up. */
export function createRowSum(): {
  add(line: string): void;
  sum(): RowSum;
} {
  let rows = 0;
  let total = 0n;
  return {
    add(line) {
      rows++;
      total += BigInt(`0x${createHash("sha256").update(line).digest("hex")}`);
    },
    sum: () => ({
      rows,
      checksum: BigInt.asUintN(256, total).toString(16).padStart(64, "0"),
    }),
  };
}

/** Splits a stream of UTF-8 into lines, at line feeds only. */
export async function* linesOf(
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}
