import { assertEquals, assertThrows } from "@std/assert";
import {
  DocumentError,
  documentType,
} from "../../../../functions/process-document/document.ts";
import { docxOf } from "../../../support/docx.ts";

Deno.test("documentType() believes a declared type over the file's name", () => {
  assertEquals(
    documentType("Text/Plain;charset=UTF-8", { name: "a.pdf" }),
    "text/plain",
  );
  assertThrows(
    () => documentType("image/png", { name: "a.pdf" }),
    DocumentError,
  );
});

Deno.test("documentType() goes by the name where no type is declared", () => {
  assertEquals(documentType("", { name: "a.b.PDF" }), "application/pdf");
  assertEquals(
    documentType("application/octet-stream", { name: "a.md" }),
    "text/markdown",
  );
});

Deno.test("documentType() goes by the start of a file where no type is declared", () => {
  const bytes = new TextEncoder().encode("\n%PDF-1.7\n");
  for (const type of ["", "binary/octet-stream", "application/x-download"]) {
    assertEquals(
      documentType(type, { name: "a.md", bytes }),
      "application/pdf",
    );
  }
});

Deno.test("documentType() tells Word's files from others that are packed", () => {
  const type = "application/octet-stream";
  assertEquals(
    documentType(type, { bytes: docxOf("") }),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
  );
  const bytes = new TextEncoder().encode("PK\x03\x04 xl/workbook.xml");
  assertThrows(() => documentType(type, { bytes }), DocumentError);
});

Deno.test("documentType() knows what Windows declares for tables and documents", () => {
  assertEquals(
    documentType("application/vnd.ms-excel", { name: "a.csv" }),
    "text/csv",
  );
  assertThrows(
    () => documentType("application/msword", { name: "a.doc" }),
    DocumentError,
  );
});

Deno.test("documentType() knows the other names of a type", () => {
  for (const type of ["application/x-pdf", "text/pdf", "Application/Acrobat"]) {
    assertEquals(documentType(type), "application/pdf");
  }
});

Deno.test("documentType() refuses what it does not know, inherited names included", () => {
  for (const name of ["", "a", "a.xlsx", "a.constructor"]) {
    const error = assertThrows(() => documentType("", { name }), DocumentError);
    assertEquals(error.code, "UNSUPPORTED_DOCUMENT_TYPE");
  }
});
