import { deflateSync } from "node:zlib";

/** What is packed or not, with what describes it. */
export interface PdfStream {
  dictionary: string;
  data: Uint8Array;
}

/** An object of a PDF: as it is written, or a stream. */
export type PdfObject = string | PdfStream;

/** A PDF by the book: objects, where each of them is, and where that is told. */
export function pdfOf(objects: readonly PdfObject[]): Uint8Array {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  const write = (part: string | Uint8Array) => {
    const bytes = new Uint8Array(
      typeof part === "string" ? new TextEncoder().encode(part) : part,
    );
    parts.push(bytes);
    length += bytes.length;
  };
  write("%PDF-1.7\n");
  let table = "0000000000 65535 f \n";
  for (const [index, object] of objects.entries()) {
    table += `${String(length).padStart(10, "0")} 00000 n \n`;
    write(`${index + 1} 0 obj\n`);
    if (typeof object === "string") {
      write(object);
    } else {
      const { dictionary, data } = object;
      write(`<<${dictionary}/Length ${data.length}>>\nstream\n`);
      write(data);
      write("\nendstream");
    }
    write("\nendobj\n");
  }
  const size = objects.length + 1;
  write(
    `xref\n0 ${size}\n${table}trailer\n<</Size ${size}/Root 1 0 R>>\n` +
      `startxref\n${length}\n%%EOF\n`,
  );
  const pdf = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    pdf.set(part, at);
    at += part.length;
  }
  return pdf;
}

/** A PDF of one page that draws what the content says, in the font `/F`. */
export function pageOf(
  content: string,
  font: readonly PdfObject[] = [
    "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
  ],
): Uint8Array {
  return pdfOf([
    "<</Type/Catalog/Pages 2 0 R>>",
    "<</Type/Pages/Count 1/Kids[3 0 R]>>",
    "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
    packed(content),
    ...font,
  ]);
}

/** A stream that is packed, more than once if so asked. */
export function packed(
  content: string,
  { layers = 1, dictionary = "" } = {},
): PdfStream {
  let data: Uint8Array = new TextEncoder().encode(content);
  for (let layer = 0; layer < layers; layer++) data = deflateSync(data);
  const filters = "/FlateDecode".repeat(layers);
  return { dictionary: `${dictionary}/Filter[${filters}]`, data };
}

/**
 * A font of which the file has no glyphs, objects 5 to 7 of a PDF; its codes
 * are UTF-16, if the file has a table that says so.
 */
export function unicodeFont({ table = true } = {}): PdfObject[] {
  const toUnicode =
    "/CIDInit /ProcSet findresource begin begincmap /CMapType 2 def " +
    "1 begincodespacerange <0000> <FFFF> endcodespacerange " +
    "1 beginbfrange <0000> <FFFF> <0000> endbfrange endcmap end";
  return [
    "<</Type/Font/Subtype/Type0/BaseFont/Any/Encoding/Identity-H/DescendantFonts[6 0 R]" +
    `${table ? "/ToUnicode 7 0 R" : ""}>>`,
    "<</Type/Font/Subtype/CIDFontType2/BaseFont/Any/DW 500/CIDSystemInfo" +
    "<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>",
    packed(toUnicode),
  ];
}

/** Draws texts where they are to stand, in the order given. */
export function draw(
  ...texts: readonly { text: string; x: number; y: number }[]
): string {
  const shown = texts.map(({ text, x, y }) => {
    const codes = Array.from(
      { length: text.length },
      (_, index) => text.charCodeAt(index).toString(16).padStart(4, "0"),
    );
    return `1 0 0 1 ${x} ${y} Tm <${codes.join("")}> Tj`;
  });
  return `BT /F 12 Tf ${shown.join(" ")} ET`;
}
