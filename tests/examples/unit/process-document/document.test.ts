import { assertEquals, assertThrows } from "@std/assert";
import {
  DocumentError,
  documentType,
} from "../../../../functions/process-document/document.ts";

Deno.test("documentType() believes a declared type over the file's name", () => {
  assertEquals(documentType("Text/Plain;charset=UTF-8", "a.pdf"), "text/plain");
  assertThrows(() => documentType("image/png", "a.pdf"), DocumentError);
});

Deno.test("documentType() goes by the name where no type is declared", () => {
  assertEquals(documentType("", "a.b.PDF"), "application/pdf");
  assertEquals(
    documentType("application/octet-stream", "a.md"),
    "text/markdown",
  );
});

Deno.test("documentType() refuses what it does not know, inherited names included", () => {
  for (const name of ["", "a", "a.docx", "a.constructor"]) {
    const error = assertThrows(() => documentType("", name), DocumentError);
    assertEquals(error.code, "UNSUPPORTED_DOCUMENT_TYPE");
  }
});
