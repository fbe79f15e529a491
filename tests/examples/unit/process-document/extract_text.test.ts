import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  DocumentError,
  type DocumentType,
  MAX_PDF_PAGES,
} from "../../../../functions/process-document/document.ts";
import { extractText } from "../../../../functions/process-document/extract_text.ts";

const fixture = (name: string) =>
  Deno.readFile(new URL(`../../../fixtures/${name}`, import.meta.url));

async function refusal(type: DocumentType, bytes: Uint8Array): Promise<string> {
  const error = await assertRejects(
    () => extractText(type, bytes),
    DocumentError,
  );
  return error.code;
}

/** A PDF of blank pages, by the book: objects, their offsets, where these are. */
function blankPdf(pages: number): string {
  const kids = Array.from({ length: pages }, (_, page) => `${page + 3} 0 R`);
  const objects = [
    "<</Type/Catalog/Pages 2 0 R>>",
    `<</Type/Pages/Count ${pages}/Kids[${kids.join(" ")}]>>`,
    ...kids.map(() => "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"),
  ];
  let pdf = "%PDF-1.4\n";
  let table = "0000000000 65535 f \n";
  for (const [index, object] of objects.entries()) {
    table += `${String(pdf.length).padStart(10, "0")} 00000 n \n`;
    pdf += `${index + 1} 0 obj\n${object}\nendobj\n`;
  }
  const size = objects.length + 1;
  return `${pdf}xref\n0 ${size}\n${table}trailer\n<</Size ${size}/Root 1 0 R>>\n` +
    `startxref\n${pdf.length}\n%%EOF\n`;
}

Deno.test("extractText() reads every page of a PDF", async () => {
  const { text, pages } = await extractText(
    "application/pdf",
    await fixture("claims.pdf"),
  );
  assertEquals(pages, 3);
  assertStringIncludes(text, "Retries\nA client that gets no answer");
  assertStringIncludes(text, "naïve\nZähler genügen nicht.\n\nReplays\n");
});

Deno.test("extractText() leaves the bytes of a PDF as they were", async () => {
  const bytes = await fixture("claims.pdf");
  await extractText("application/pdf", bytes);
  assertEquals(bytes, await fixture("claims.pdf"));
});

Deno.test("extractText() keeps Markdown as it is written", async () => {
  const bytes = await fixture("guide.md");
  const { text } = await extractText("text/markdown", bytes);
  assertEquals(text, new TextDecoder().decode(bytes));
});

Deno.test("extractText() ends lines with line feeds", async () => {
  const { text } = await extractText(
    "text/plain",
    await fixture("letters.txt"),
  );
  assertStringIncludes(text, "Lost letters\n\nA letter");
  assertEquals(text.includes("\r"), false);
});

Deno.test("extractText() tells an encrypted PDF from a broken one", async () => {
  const pdf = "application/pdf";
  assertEquals(
    await refusal(pdf, await fixture("encrypted.pdf")),
    "ENCRYPTED_DOCUMENT",
  );
  assertEquals(
    await refusal(pdf, await fixture("broken.pdf")),
    "BROKEN_DOCUMENT",
  );
  assertEquals(
    await refusal(pdf, await fixture("guide.md")),
    "BROKEN_DOCUMENT",
  );
});

Deno.test("extractText() refuses a PDF of more pages than it can read in time", async () => {
  const pdf = blankPdf(MAX_PDF_PAGES + 1);
  assertEquals(
    await refusal("application/pdf", new TextEncoder().encode(pdf)),
    "DOCUMENT_TOO_LARGE",
  );
});

Deno.test("extractText() refuses a PDF without text, such as a scan", async () => {
  assertEquals(
    await refusal("application/pdf", await fixture("scanned.pdf")),
    "NO_TEXT_FOUND",
  );
});

Deno.test("extractText() refuses text that is empty, blank, binary or not UTF-8", async () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const plain = "text/plain";
  assertEquals(await refusal(plain, bytes("")), "EMPTY_DOCUMENT");
  assertEquals(await refusal(plain, bytes(" \n\t")), "NO_TEXT_FOUND");
  assertEquals(await refusal(plain, bytes("a\0b")), "BROKEN_DOCUMENT");
  assertEquals(
    await refusal(plain, await fixture("latin1.txt")),
    "BROKEN_DOCUMENT",
  );
});
