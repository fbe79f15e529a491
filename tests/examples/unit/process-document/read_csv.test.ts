import { assert, assertEquals, assertThrows } from "@std/assert";
import { DocumentError } from "../../../../functions/process-document/document.ts";
import { readCsv } from "../../../../functions/process-document/read_csv.ts";

Deno.test("readCsv() gives a record a line, whatever separates its cells", () => {
  for (const separator of [",", ";", "\t"]) {
    assertEquals(
      readCsv(
        ["Name", '"Said, where"'].join(separator) + "\r\n" +
          ["Ada", '"""Hello""\n to all"'].join(separator) + "\r\n\r\n",
      ),
      'Name\tSaid, where\nAda\t"Hello" to all',
    );
  }
  assertEquals(readCsv("one column\nonly\n"), "one column\nonly");
});

Deno.test("readCsv() refuses a table whose quotation marks do not match", () => {
  const error = assertThrows(() => readCsv('a,b\n"1,2\n'), DocumentError);
  assertEquals(error.code, "BROKEN_DOCUMENT");
});

Deno.test("readCsv() does not look for ever where quotation marks do not match", () => {
  const table = `"${'"x'.repeat(100_000)}${" ".repeat(200_000)},a\n`;
  const start = performance.now();
  assertThrows(() => readCsv(table), DocumentError);
  // A second; for each mark through the whole gap it takes a minute.
  assert(performance.now() - start < 15_000);
  assertEquals(readCsv(`a,${" ".repeat(999)}b\r\nc,d`), "a\tb\nc\td");
});
