import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { chunkText } from "../../../../functions/_kit/chunk_text.ts";

const anyText = fc.string({
  maxLength: 300,
  unit: fc.oneof(
    fc.constantFrom("\n\n", "\n", " ", ". ", "? ", "a", "é", "😀", "👩‍👩‍👧", "字"),
    fc.string({ unit: "binary", maxLength: 3 }),
  ),
});
const anyMaxLength = fc.integer({ min: 2, max: 60 });

Deno.test("chunkText() gives chunks that join to the text", () => {
  fc.assert(fc.property(anyText, anyMaxLength, (text, maxLength) => {
    const chunks = chunkText(text, { maxLength });
    assertEquals(chunks.map(({ content }) => content).join(""), text);
  }));
});

Deno.test("chunkText() counts offsets in characters, without gap or overlap", () => {
  fc.assert(fc.property(anyText, anyMaxLength, (text, maxLength) => {
    const characters = Array.from(text);
    let end = 0;
    for (const chunk of chunkText(text, { maxLength })) {
      assertEquals(chunk.start, end);
      assertEquals(
        characters.slice(chunk.start, chunk.end).join(""),
        chunk.content,
      );
      end = chunk.end;
    }
    assertEquals(end, characters.length);
  }));
});

Deno.test("chunkText() never splits a character and never gives an empty chunk", () => {
  fc.assert(fc.property(anyText, anyMaxLength, (text, maxLength) => {
    for (const [index, chunk] of chunkText(text, { maxLength }).entries()) {
      assertEquals(chunk.position, index);
      assert(chunk.content.isWellFormed());
      assert(chunk.content.length > 0);
      assert(chunk.content.length <= maxLength);
    }
  }));
});

Deno.test("chunkText() prefers the end of a paragraph, then a line, a sentence, a word", () => {
  const first = (text: string) =>
    chunkText(text, { maxLength: 20 })[0]!.content;
  assertEquals(first("one two. six\n\nseven eight nine"), "one two. six\n\n");
  assertEquals(first("one two. six\nseven eight nine"), "one two. six\n");
  assertEquals(first("one two six. seven eight nine"), "one two six. ");
  assertEquals(first("one two three four five six"), "one two three four ");
  assertEquals(first("x".repeat(30)), "x".repeat(20));
});

Deno.test("chunkText() gives no chunk of no text", () => {
  assertEquals(chunkText(""), []);
});

Deno.test("chunkText() refuses chunks that a character may not fit in", () => {
  assertThrows(
    () => chunkText("x", { maxLength: 1 }),
    RangeError,
    "Cannot cut chunks of 1 code units",
  );
});
