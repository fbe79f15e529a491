import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  type Content,
  DocumentError,
  MAX_TEXT_LENGTH,
} from "../../../../functions/process-document/document.ts";
import {
  cleanText,
  extractText,
} from "../../../../functions/process-document/extract_text.ts";
import { fixture } from "../../../support/call.ts";

const textOf = async (name: string) =>
  new TextDecoder().decode(await fixture(name));

async function refusal(document: Content): Promise<string> {
  const error = await assertRejects(() => extractText(document), DocumentError);
  return error.code;
}

Deno.test("extractText() keeps Markdown as it is written", async () => {
  const content = await textOf("guide.md");
  const { text } = await extractText({ type: "text/markdown", content });
  assertEquals(text, content);
});

Deno.test("extractText() ends lines with line feeds", async () => {
  const content = await textOf("letters.txt");
  const { text } = await extractText({ type: "text/plain", content });
  assertStringIncludes(text, "Lost letters\n\nA letter");
  assertEquals(text.includes("\r"), false);
});

Deno.test("extractText() refuses what is empty, blank, a scan or too much", async () => {
  for (const type of ["text/plain", "text/html", "text/csv"] as const) {
    assertEquals(await refusal({ type, content: "" }), "EMPTY_DOCUMENT");
    assertEquals(await refusal({ type, content: " \n\t" }), "NO_TEXT_FOUND");
    const content = "word ".repeat(MAX_TEXT_LENGTH / 5 + 1);
    assertEquals(await refusal({ type, content }), "DOCUMENT_TOO_LARGE");
  }
  const scan = await fixture("scanned.pdf");
  assertEquals(
    await refusal({ type: "application/pdf", content: scan }),
    "NO_TEXT_FOUND",
  );
});

Deno.test("extractText() leaves images that are embedded in Markdown out", async () => {
  const data = "data:image/png;base64," + "iVBORw0K".repeat(25_000);
  const { text } = await extractText({
    type: "text/markdown",
    content: `# Pump\n\n![A pump](${data})\n\n[image1]: <${data}>\n`,
  });
  assertEquals(text, "# Pump\n\n![A pump]()\n\n[image1]: <>\n");
});

Deno.test("cleanText() keeps words apart that a control character kept apart", () => {
  assertEquals(
    cleanText("one\ftwo\vthree\u0085four\u001ffive\u001csix\u0000seven"),
    "one\ntwo\nthree\nfour five\nsixseven",
  );
});
