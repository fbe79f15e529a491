import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import {
  DocumentError,
  MAX_UNPACKED_BYTES,
} from "../../../../functions/process-document/document.ts";
import { readDocx } from "../../../../functions/process-document/read_docx.ts";
import { docxOf, paragraph, partOf } from "../../../support/docx.ts";

function refusal(bytes: Uint8Array): string {
  return assertThrows(() => readDocx(bytes), DocumentError).code;
}

Deno.test("readDocx() gives paragraphs, tables, formulas and notes", () => {
  const cell = (text: string) => `<w:tc>${paragraph(text)}</w:tc>`;
  const row = (...cells: string[]) =>
    `<w:tr>${cells.map(cell).join("")}</w:tr>`;
  const bytes = docxOf(
    paragraph("Pump manual") +
      paragraph("The pump mo", "ves 40", " litres &amp; more.") +
      `<w:tbl>${row("Name", "Amount")}${row("Ada", "12")}</w:tbl>` +
      "<w:p><w:r><w:t>one</w:t><w:tab/><w:t>two</w:t><w:br/><w:t>three</w:t></w:r></w:p>" +
      "<w:p><m:oMath><m:r><m:t>E=mc²</m:t></m:r></m:oMath></w:p>" +
      `<w:sdt><w:sdtContent>${paragraph("chosen")}</w:sdtContent></w:sdt>`,
    {
      // As Word on the web names it.
      main: "word/document2.xml",
      parts: {
        "word/footnotes.xml": partOf("footnotes", paragraph("A note.")),
        "word/header1.xml": partOf("hdr", paragraph("On each page")),
      },
    },
  );
  assertEquals(
    readDocx(bytes),
    "Pump manual\n\nThe pump moves 40 litres & more.\n\n" +
      "Name\tAmount\nAda\t12\n\none two\nthree\n\nE=mc²\n\nchosen\n\nA note.",
  );
});

Deno.test("readDocx() leaves out what was struck, moved away, or is there twice", () => {
  const run = (text: string) => `<w:r><w:t>${text}</w:t></w:r>`;
  const bytes = docxOf(
    "<w:p><w:del><w:r><w:delText>old</w:delText></w:r></w:del>" +
      `<w:ins>${run("new")}</w:ins>` +
      `<w:moveFrom>${run("gone")}</w:moveFrom>` +
      `<mc:AlternateContent><mc:Choice>${run(" box")}</mc:Choice>` +
      `<mc:Fallback>${run("box")}</mc:Fallback></mc:AlternateContent>` +
      "<w:r><w:instrText>PAGE</w:instrText></w:r></w:p>",
  );
  assertEquals(readDocx(bytes), "new box");
});

Deno.test("readDocx() leaves out what was struck where it is no plain text", () => {
  const struck = "<w:del><w:r><w:noBreakHyphen/><w:tab/><w:br/></w:r>" +
    "<m:r><m:t>E=mc²</m:t></m:r></w:del>";
  const bytes = docxOf(
    `<w:p><w:r><w:t>well</w:t></w:r>${struck}<w:r><w:t>known</w:t></w:r></w:p>`,
  );
  assertEquals(readDocx(bytes), "wellknown");
});

Deno.test("readDocx() refuses what unpacks to too much, and believes no size", () => {
  const much = paragraph(" ".repeat(MAX_UNPACKED_BYTES));
  const bomb = docxOf(much);
  assert(bomb.length < 262_144);
  assertEquals(refusal(bomb), "DOCUMENT_TOO_LARGE");

  // The directory at its end says that the text is of ten bytes.
  const file = Buffer.from(bomb);
  const SIGNATURE = 0x02014b50;
  for (let at = 0; at < file.length - 46; at++) {
    if (file.readUInt32LE(at) !== SIGNATURE) continue;
    if (file.readUInt32LE(at + 24) > 1e6) file.writeUInt32LE(10, at + 24);
  }
  assertEquals(refusal(file), "DOCUMENT_TOO_LARGE");
});

Deno.test("readDocx() refuses what is broken, encrypted or elsewhere", () => {
  const bytes = docxOf(paragraph("whole"));
  assertEquals(refusal(bytes.slice(0, bytes.length - 30)), "BROKEN_DOCUMENT");
  const cut = { "word/document.xml": "<w:document><w:body><w:p>" };
  assertEquals(refusal(docxOf("", { parts: cut })), "BROKEN_DOCUMENT");
  assertEquals(
    refusal(
      docxOf("", {
        parts: { "_rels/.rels": '<a Type="/officeDocument" Target="b"/>' },
      }),
    ),
    "BROKEN_DOCUMENT",
  );
  assertEquals(
    refusal(Buffer.from("..EncryptedPackage", "utf16le")),
    "ENCRYPTED_DOCUMENT",
  );
  assertEquals(refusal(docxOf("<w:p>".repeat(1e6))), "BROKEN_DOCUMENT");
  assertEquals(refusal(docxOf("<w:altChunk/>")), "UNREADABLE_TEXT");
});

Deno.test("readDocx() refuses to look for ever for what is closed and was never open", () => {
  const depth = 9_000;
  const bytes = docxOf(
    "<a>".repeat(depth) + "</b>".repeat(100_000) + "</a>".repeat(depth),
  );
  assert(bytes.length < 4_096);
  assertEquals(refusal(bytes), "BROKEN_DOCUMENT");
});

Deno.test("readDocx() does not look for ever through what says where the text is", () => {
  const relations = "<a>".repeat(200_000) + "</b>".repeat(200_000);
  const bytes = docxOf(paragraph("A label."), {
    parts: { "_rels/.rels": relations },
  });
  assert(bytes.length < 4_096);
  const start = performance.now();
  assertEquals(readDocx(bytes), "A label.");
  // A fraction of a second; the whole of it takes a minute.
  assert(performance.now() - start < 10_000);
});
