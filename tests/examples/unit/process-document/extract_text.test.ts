import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  DocumentError,
  type DocumentType,
} from "../../../../functions/process-document/document.ts";
import {
  cleanText,
  extractText,
} from "../../../../functions/process-document/extract_text.ts";
import { fixture } from "../../../support/call.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

async function refusal(
  type: DocumentType,
  bytes: Uint8Array,
  charset?: string,
): Promise<string> {
  const error = await assertRejects(
    () => extractText(type, bytes, charset),
    DocumentError,
  );
  return error.code;
}

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

Deno.test("extractText() refuses text that is empty, blank, binary or not UTF-8", async () => {
  const plain = "text/plain";
  assertEquals(await refusal(plain, bytesOf("")), "EMPTY_DOCUMENT");
  assertEquals(await refusal(plain, bytesOf(" \n\t")), "NO_TEXT_FOUND");
  assertEquals(await refusal(plain, bytesOf("a\0b")), "BROKEN_DOCUMENT");
  assertEquals(
    await refusal(plain, await fixture("latin1.txt")),
    "BROKEN_DOCUMENT",
  );
});

Deno.test("extractText() reads text as it is declared, or as its byte-order mark says", async () => {
  const plain = "text/plain";
  const quoted = await fixture("cp1252.txt");
  const article = await fixture("utf16le.txt");
  assertEquals(
    await extractText(plain, quoted, "windows-1252"),
    { text: "Grüße – “quoted” €5" },
  );
  const { text } = await extractText(plain, article);
  assertEquals(text, "Grüße aus Köln. Ein Satz.");
  assertEquals(await extractText(plain, article, "utf-8"), { text });
  // The same with the other byte first.
  const swapped = article.map((_, index) => article[index ^ 1]!);
  assertEquals(await extractText(plain, swapped), { text });
  const marked = bytesOf(`\ufeff${text}`);
  assertEquals(await extractText(plain, marked, "windows-1252"), { text });
});

Deno.test("extractText() refuses a charset that nobody knows, or that is not the file's", async () => {
  const bytes = await fixture("latin1.txt");
  assertEquals(await refusal("text/plain", bytes, "ebcdic"), "BROKEN_DOCUMENT");
  assertEquals(
    await refusal("text/plain", bytes, "utf-16le"),
    "BROKEN_DOCUMENT",
  );
});

Deno.test("extractText() leaves images that are embedded in Markdown out", async () => {
  const data = "data:image/png;base64," + "iVBORw0K".repeat(25_000);
  const { text } = await extractText(
    "text/markdown",
    bytesOf(`# Pump\n\n![A pump](${data})\n\n[image1]: <${data}>\n`),
  );
  assertEquals(text, "# Pump\n\n![A pump]()\n\n[image1]: <>\n");
});

Deno.test("cleanText() keeps words apart that a control character kept apart", () => {
  assertEquals(
    cleanText("one\ftwo\vthree\u0085four\u001ffive\u001csix\u0000seven"),
    "one\ntwo\nthree\nfour five\nsixseven",
  );
});
