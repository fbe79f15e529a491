import { assert, assertEquals } from "@std/assert";

const DOCS = new URL("../../docs/", import.meta.url);
// A row of a table that ends in a link: the name of a test, and its file.
const ROW = /^\| .*\| \[([^\]]+)\]\(([^)]+)\) *\|$/;

/** The rows of the tables, less their heads. */
function rowsOf(text: string): string[] {
  return text.split("\n").filter((line, at, lines) =>
    line.startsWith("| ") && !lines[at + 1]?.startsWith("| --")
  ).filter((line) => !line.startsWith("| --"));
}

/** A name as its file writes it. */
function quoted(name: string, file: string): string[] {
  return file.endsWith(".sql")
    ? [`'${name.replaceAll("'", "''")}'`]
    : [`"${name}"`];
}

Deno.test("each line of the threat model names a test that is there", async () => {
  const text = await Deno.readTextFile(new URL("threat-model.md", DOCS));
  const rows = rowsOf(text);
  assert(rows.length >= 30, `${rows.length} rows`);
  const missing: string[] = [];
  for (const row of rows) {
    const [, name, path] = ROW.exec(row) ?? [];
    const source = path === undefined
      ? ""
      : await Deno.readTextFile(new URL(path, DOCS));
    if (!quoted(name ?? "", path ?? "").some((each) => source.includes(each))) {
      missing.push(row);
    }
  }
  assertEquals(missing, []);
});
