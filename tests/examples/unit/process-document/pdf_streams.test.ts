import { assert } from "@std/assert";
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
