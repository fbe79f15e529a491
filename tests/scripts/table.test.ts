import { assertEquals, assertStringIncludes } from "@std/assert";
import { printTable, shownJson } from "../../scripts/table.ts";
import { heard } from "../support/heard.ts";

Deno.test("a table shows what a terminal would obey", async () => {
  const scope = "\x1b[2J\x9b31m\u202eall\r\n\x07";
  const [printed] = await heard("log", () => printTable(["scope"], [[scope]]));
  assertStringIncludes(
    printed!,
    "\\u{1b}[2J\\u{9b}31m\\u{202e}all\\u{d}\\u{a}\\u{7}",
  );
});

Deno.test("a table shows other writing as it is", async () => {
  const [printed] = await heard(
    "log",
    () => printTable(["a"], [["Zürich 注文 🎉"], [0.125], [7], [null]]),
  );
  assertStringIncludes(printed!, "Zürich 注文 🎉");
  assertStringIncludes(printed!, "0.13");
  assertEquals(printed!.includes("null"), false);
});

Deno.test("JSON shows what a terminal would obey, and is the same to a program", () => {
  const value = { step: "\x1b[2J\x9b31m\u202e\u2028\n\x7f\u{e0041}é🎉" };
  for (const indent of [0, 2]) {
    const text = shownJson(value, indent);
    assertEquals(JSON.parse(text), value);
    assertEquals(
      /[\p{Cc}\p{Cf}\p{Zl}]/u.test(text.replaceAll("\n", "")),
      false,
    );
    assertStringIncludes(text, "\\u009b31m\\u202e\\u2028\\n\\u007f");
    assertStringIncludes(text, "é🎉");
  }
});
