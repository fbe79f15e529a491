import Table from "cli-table3";

/** Prints rows under their headings, plain enough for any terminal. */
export function printTable(head: string[], rows: unknown[][]): void {
  const noLinesBetweenRows = {
    "mid": "",
    "left-mid": "",
    "mid-mid": "",
    "right-mid": "",
  };
  const table = new Table({
    head,
    chars: noLinesBetweenRows,
    style: { head: [], border: [] },
  });
  table.push(...rows.map((row) => row.map(cell)));
  console.log(table.toString());
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" && !Number.isInteger(value)) {
    return value.toFixed(2);
  }
  return shown(String(value));
}

// What a terminal obeys, or does not show.
const OBEYED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * A text for a terminal, which obeys some characters: they are shown, not sent.
 * Users name scopes and keys past the functions too, and projects bring names.
 */
export function shown(text: string): string {
  return text.replace(
    OBEYED,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/**
 * A value as JSON, of which a terminal obeys nothing: what it would obey is
 * escaped, which is the same to a program.
 *
 * @param indent Of each level; none is one line.
 */
export function shownJson(value: unknown, indent = 0): string {
  return JSON.stringify(value, null, indent).replace(
    OBEYED,
    (character) =>
      // Between its lines; within a text it is escaped.
      character === "\n" ? character : Array.from(
        { length: character.length },
        (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
      ).join(""),
  );
}

/** A moment to the second, in UTC. */
export function toSecond(time: Date): string {
  return time.toISOString().replace(/\.\d+/, "");
}

/** Prints database rows under a title. */
export function printRows(
  title: string,
  rows: Record<string, unknown>[],
): void {
  console.log(`\n${title}:`);
  const columns = Object.keys(rows[0] ?? {});
  printTable(columns, rows.map((row) => columns.map((name) => row[name])));
}
