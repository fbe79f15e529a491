import { assert, assertEquals } from "@std/assert";
import { isWithinBound } from "../../../../functions/process-document/pdf_streams.ts";

Deno.test("isWithinBound() does not look to the end of the file for each stream that has none", () => {
  const file = new TextEncoder().encode(
    `%PDF-1.7\n${"stream ".repeat(50_000)}`,
  );
  const start = performance.now();
  isWithinBound(file, 1024);
  // A fraction of a second; each to the end takes minutes.
  assert(performance.now() - start < 20_000);
});

Deno.test("isWithinBound() does not try for ever what looks packed and is not", () => {
  // The head of what zlib packs, and a block of a kind that there is not.
  const torn = "stream\x78\x9c\xff ";
  const fileOf = (count: number) =>
    Uint8Array.from(torn.repeat(count), (char) => char.charCodeAt(0));
  assertEquals(isWithinBound(fileOf(900), 1024), true);
  const start = performance.now();
  assertEquals(isWithinBound(fileOf(200_000), 1024), false);
  // A fraction of a second; each would take tens of seconds.
  assert(performance.now() - start < 10_000);
});

Deno.test("a PDF may name as many objects as it likes", () => {
  const references = Array.from({ length: 200_000 }, (_, n) => `${n + 1} 0 R`);
  const file = new TextEncoder().encode(
    `%PDF-1.7\n[${references.join(" ")}]`,
  );
  assert(isWithinBound(file, 1024));
});

Deno.test("isWithinBound() reads the digits before a stream once", () => {
  const digits = `${"1".repeat(900)}obj${"stream".repeat(19)}`;
  const file = new TextEncoder().encode(`%PDF-1.7\n${digits.repeat(1000)}`);
  const start = performance.now();
  isWithinBound(file, 1024);
  // A fraction of a second; from each digit on it takes half a minute.
  assert(performance.now() - start < 10_000);
});
