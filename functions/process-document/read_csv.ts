// @ts-types="@types/papaparse"
import papaparse from "papaparse";
import { DocumentError } from "./document.ts";

/**
 * The text of a table: a record a line, its cells with tabs between them. What
 * separates cells in the file, it tells by itself.
 *
 * @throws {DocumentError} `BROKEN_DOCUMENT` where a quotation mark is missing,
 * since nobody knows which records that concerns.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { readCsv } from "./read_csv.ts";
 *
 * assertEquals(
 *   readCsv('Name;Address\n"Ada";"12 High Street\nLondon"\n'),
 *   "Name\tAddress\nAda\t12 High Street London",
 * );
 * ```
 */
export function readCsv(csv: string): string {
  const { data, errors } = papaparse.parse<string[]>(withShortGaps(csv), {
    skipEmptyLines: "greedy",
  });
  const error = errors.find(({ type }) => type === "Quotes");
  if (error !== undefined) {
    throw new DocumentError(
      "BROKEN_DOCUMENT",
      `The quotation marks of record ${
        (error.row ?? 0) + 1
      } do not match: save the table anew and send it again`,
    );
  }
  return data.map((cells) =>
    cells.map((cell) => cell.replace(/\s+/g, " ").trim()).join("\t")
  ).join("\n");
}

/**
 * The table without most of each long gap, in which there is nothing to be read:
 * for every quotation mark that is out of place the parser goes through all of it.
 */
function withShortGaps(csv: string): string {
  return csv.replace(/\r\n?/g, "\n")
    .replace(/[^\S\n]{100,}/g, (gap) => gap.slice(0, 100));
}
