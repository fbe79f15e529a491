import { assert, assertEquals, assertThrows } from "@std/assert";
import { DocumentError } from "../../../../functions/process-document/document.ts";
import { readHtml } from "../../../../functions/process-document/read_html.ts";

Deno.test("readHtml() gives what is read on a page, a block a line", () => {
  const html = `<!doctype html><html><head><title>Pumps</title>
    <style>p { color: red }</style><script>const p = "<p>no</p>";</script>
    </head><body><h1>Pump manual</h1>
    <p>The pump moves 40&nbsp;litres a minute.<br>It needs <b>230</b> v<i>olts</i>.
    <ul><li>One<li>Two <a href="http://x">links</a></ul>
    <table><tr><th>Name</th><th><p>Amount</p></th></tr>
    <tr><td></td><td>12</td></tr></table>
    <img src="data:image/png;base64,AAAA" alt="A pump">
    <template><p>none</p></template>
    <pre>a
  b</pre></body></html>`;
  assertEquals(
    readHtml(html),
    "Pump manual\n\n" +
      "The pump moves 40\u00a0litres a minute.\nIt needs 230 volts.\n\n" +
      "One\nTwo links\n\n" +
      "Name\tAmount\n\t12\n\n" +
      "A pump\n\na\n  b",
  );
});

Deno.test("readHtml() keeps the paragraphs of a page that is laid out by a table", () => {
  assertEquals(
    readHtml(
      "<table><tr><td><table><tr><td><p>Dear Ada,<p>thanks.</td></tr></table></td></tr></table>",
    ),
    "Dear Ada,\n\nthanks.",
  );
});

Deno.test("readHtml() reads deeper than a browser, and refuses what never ends", () => {
  assertEquals(readHtml("<div>".repeat(5_000) + "deep"), "deep");
  const error = assertThrows(
    () => readHtml("<div>".repeat(1_000_000)),
    DocumentError,
  );
  assertEquals(error.code, "BROKEN_DOCUMENT");
});

Deno.test("readHtml() refuses to look for ever for what is closed and was never open", () => {
  const open = "<div>".repeat(9_000);
  assertEquals(readHtml(`${open}a${"</b>".repeat(100)}b`), "ab");
  const error = assertThrows(
    () => readHtml(open + "</b>".repeat(10_000)),
    DocumentError,
  );
  assertEquals(error.code, "BROKEN_DOCUMENT");
});

Deno.test("readHtml() begins a row with its empty cells, also with white space between them", () => {
  assertEquals(
    readHtml(
      "<table><tr><td>a</td></tr>\n<tr><td></td>\n<td>b</td></tr></table>",
    ),
    "a\n\tb",
  );
});

Deno.test("readHtml() takes the time of the page for a row of cells that are all empty", () => {
  const cells = 300_000;
  const row = "<td></td> ".repeat(cells);
  const start = performance.now();
  const text = readHtml(`<p>a<table><tr>${row}<td>b</table>`);
  assertEquals(text.length, "a\n\n".length + cells + "b".length);
  // A fraction of a second; with a look at all of them for each, half a minute.
  assert(performance.now() - start < 10_000);
});
