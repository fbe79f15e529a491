import { assertEquals, assertThrows } from "@std/assert";
import {
  charsetOfPage,
  decodeText,
} from "../../../../functions/process-document/decode_text.ts";
import { DocumentError } from "../../../../functions/process-document/document.ts";
import { fixture } from "../../../support/call.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

function refusal(bytes: Uint8Array, charset?: string): string {
  return assertThrows(() => decodeText(bytes, charset), DocumentError).code;
}

Deno.test("decodeText() reads text as it is declared", async () => {
  assertEquals(
    decodeText(await fixture("cp1252.txt"), "windows-1252"),
    "Grüße – “quoted” €5",
  );
});

Deno.test("decodeText() believes a byte-order mark over what is declared", async () => {
  const bytes = await fixture("utf16le.txt");
  const text = "Grüße aus Köln. Ein Satz.";
  const swapped = bytes.map((_, index) => bytes[index ^ 1]!);
  for (const charset of [undefined, "utf-8", "windows-1252"]) {
    assertEquals(decodeText(bytes, charset), text);
    assertEquals(decodeText(swapped, charset), text);
    assertEquals(decodeText(bytesOf(`\ufeff${text}`), charset), text);
  }
});

Deno.test("decodeText() refuses what is binary, or not in the charset that it says", async () => {
  const bytes = await fixture("latin1.txt");
  assertEquals(refusal(bytes), "BROKEN_DOCUMENT");
  assertEquals(refusal(bytes, "utf-16le"), "BROKEN_DOCUMENT");
  assertEquals(refusal(bytes, "ebcdic"), "BROKEN_DOCUMENT");
  assertEquals(refusal(bytesOf("a\0b")), "BROKEN_DOCUMENT");
});

Deno.test("charsetOfPage() finds what a page declares in its head", () => {
  for (
    const [html, charset] of [
      ['<html><head><meta charset="windows-1251">', "windows-1251"],
      [
        '<META http-equiv=Content-Type content="text/html; charset=Shift_JIS">',
        "Shift_JIS",
      ],
      ["<meta charset=utf-16>", "utf-8"],
      ["<title>charset=latin1</title>", undefined],
      [" ".repeat(1_024) + "<meta charset=latin1>", undefined],
    ] as const
  ) {
    assertEquals(charsetOfPage(bytesOf(html)), charset);
  }
});
