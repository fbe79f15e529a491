import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  DocumentError,
  MAX_PDF_PAGES,
  MAX_UNPACKED_BYTES,
} from "../../../../functions/process-document/document.ts";
import { readPdf } from "../../../../functions/process-document/read_pdf.ts";
import { fixture } from "../../../support/call.ts";
import {
  draw,
  packed,
  pageOf,
  pdfOf,
  unicodeFont,
} from "../../../support/pdf.ts";

async function refusal(bytes: Uint8Array): Promise<string> {
  const error = await assertRejects(() => readPdf(bytes), DocumentError);
  return error.code;
}

Deno.test("readPdf() reads every page", async () => {
  const { text, pages } = await readPdf(await fixture("claims.pdf"));
  assertEquals(pages, 3);
  assertStringIncludes(text, "Retries\nA client that gets no answer");
  assertStringIncludes(text, "naïve\nZähler genügen nicht.\n\nReplays\n");
});

Deno.test("readPdf() says how many pages of several have no text", async () => {
  const page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]";
  const { text, ...rest } = await readPdf(pdfOf([
    "<</Type/Catalog/Pages 2 0 R>>",
    "<</Type/Pages/Count 3/Kids[3 0 R 4 0 R 3 0 R]>>",
    `${page}>>`,
    `${page}/Contents 5 0 R/Resources<</Font<</F 6 0 R>>>>>>`,
    packed("BT /F 9 Tf 9 9 Td (Scanned) Tj ET"),
    "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
  ]));
  assertEquals([text, rest], ["Scanned", { pages: 3, pagesWithoutText: 2 }]);
});

Deno.test("readPdf() leaves the bytes as they were", async () => {
  const bytes = await fixture("claims.pdf");
  await readPdf(bytes);
  assertEquals(bytes, await fixture("claims.pdf"));
});

Deno.test("readPdf() tells an encrypted PDF from a broken one", async () => {
  assertEquals(
    await refusal(await fixture("encrypted.pdf")),
    "ENCRYPTED_DOCUMENT",
  );
  assertEquals(await refusal(await fixture("broken.pdf")), "BROKEN_DOCUMENT");
  assertEquals(await refusal(await fixture("guide.md")), "BROKEN_DOCUMENT");
});

Deno.test("readPdf() refuses more pages than it can read in time", async () => {
  const pages = Array.from({ length: MAX_PDF_PAGES + 1 }, (_, page) => page);
  const pdf = pdfOf([
    "<</Type/Catalog/Pages 2 0 R>>",
    `<</Type/Pages/Count ${pages.length}/Kids[${
      pages.map((page) => `${page + 3} 0 R`).join(" ")
    }]>>`,
    ...pages.map(() => "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"),
  ]);
  assertEquals(await refusal(pdf), "DOCUMENT_TOO_LARGE");
});

Deno.test("readPdf() reads a font that goes by one of Adobe's character maps", async () => {
  const { text } = await readPdf(await fixture("cn_unigb.pdf"));
  assertStringIncludes(text, "付款期限");
});

Deno.test("readPdf() refuses such a font where the maps are not at hand", async () => {
  const bytes = await fixture("cn_unigb.pdf");
  const error = await assertRejects(
    () => readPdf(bytes, () => Promise.reject(new Error("not bundled"))),
    DocumentError,
  );
  assertEquals(error.code, "UNREADABLE_TEXT");
});

Deno.test("readPdf() refuses text whose font does not say what it shows", async () => {
  // Codes are numbers of glyphs then, of which the letters come after the 29th.
  const glyphs = Array.from(
    "Where no table of characters is there, glyphs are all that can be read",
    (letter) => String.fromCharCode(letter.charCodeAt(0) - 29),
  ).join("");
  const lines = [700, 680, 660].map((y) => ({ text: glyphs, x: 50, y }));
  const pdf = pageOf(draw(...lines), unicodeFont({ table: false }));
  assertEquals(await refusal(pdf), "UNREADABLE_TEXT");
});

Deno.test("readPdf() reads what was typed into a form", async () => {
  const { text } = await readPdf(await fixture("form.pdf"));
  assertEquals(
    text,
    "Application for a loan\nName:\nAmount:\n" +
      "name: Ada Lovelace\namount: 12345.67 EUR\nagree: Yes",
  );
});

Deno.test("readPdf() reads what was chosen and written on a page, and nothing hidden", async () => {
  const widget = (fields: string) =>
    `<</Type/Annot/Subtype/Widget/Rect[0 0 9 9]/P 3 0 R${fields}>>`;
  const states = (on: string) => `/AP<</N<</${on} 4 0 R/Off 4 0 R>>>>`;
  const annotations = [
    widget(`/FT/Btn/T(agree)/V/Off/AS/Off${states("Yes")}`),
    widget(`/FT/Btn/T(paid)/TU(Paid in full)/V/Yes/AS/Yes${states("Yes")}`),
    widget(`/Parent 5 0 R/AS/Off${states("card")}`),
    widget(`/Parent 5 0 R/AS/cash${states("cash")}`),
    widget("/FT/Ch/T(country)/V(Portugal)/Opt[(Spain)(Portugal)]"),
    // Flags: a password, and an annotation that is hidden.
    widget("/FT/Tx/T(pin)/Ff 8192/V(1234)"),
    widget("/FT/Tx/T(internal)/F 2/V(secret)"),
    "<</Type/Annot/Subtype/FreeText/Rect[0 0 9 9]/Contents(Urgent)/DA(/F 9 Tf)>>",
    "<</Type/Annot/Subtype/Text/Rect[0 0 9 9]/Contents(a comment)>>",
  ];
  const list = annotations.map((_, index) => `${index + 6} 0 R`);
  const fields = list.filter((_, index) => ![2, 3, 7, 8].includes(index));
  const pdf = pdfOf([
    `<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[5 0 R ${
      fields.join(" ")
    }]>>>>`,
    "<</Type/Pages/Count 1/Kids[3 0 R]>>",
    `<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Annots[${list.join(" ")}]>>`,
    packed("", {
      dictionary: "/Type/XObject/Subtype/Form/BBox[0 0 9 9]",
    }),
    "<</FT/Btn/Ff 32768/T(payment)/V/cash/Kids[8 0 R 9 0 R]>>",
    ...annotations,
  ]);
  assertEquals(
    (await readPdf(pdf)).text,
    "Urgent\nPaid in full: Yes\npayment: cash\ncountry: Portugal",
  );
});

Deno.test("readPdf() reads a dynamic form, or refuses its placeholder", async () => {
  const bytes = await fixture("xfa.pdf");
  const { text } = await readPdf(bytes);
  assertEquals(
    text,
    "Visa application, section A: purpose of the journey\nConference in Lisbon",
  );
  // Without the word by which a reader knows that it has to draw the form.
  const undrawn = new TextDecoder().decode(bytes)
    .replace("NeedsRendering", "NeedsNoDrawing");
  assertEquals(
    await refusal(new TextEncoder().encode(undrawn)),
    "UNREADABLE_TEXT",
  );
});

Deno.test("readPdf() reads lines from right to left in the order they are read", async () => {
  // As they are seen: the last letter of a word stands first.
  const seen = (text: string) => Array.from(text).reverse().join("");
  const pdf = pageOf(
    draw(
      { text: seen("עולם"), x: 200, y: 700 },
      { text: seen("שלום"), x: 300, y: 700 },
      // One maker draws from the left, another in the order of reading.
      { text: seen("תוך"), x: 300, y: 680 },
      { text: "30", x: 250, y: 680 },
      { text: seen("ימים"), x: 200, y: 680 },
      { text: "in", x: 50, y: 660 },
      { text: seen("אביב"), x: 90, y: 660 },
      { text: seen("תל"), x: 150, y: 660 },
      { text: "by the sea", x: 200, y: 660 },
    ),
    unicodeFont(),
  );
  const { text } = await readPdf(pdf);
  assertEquals(text, "שלום עולם\nתוך 30 ימים\nin תל אביב by the sea");
});

Deno.test("readPdf() refuses what unpacks to too much before it is unpacked", async () => {
  const much = "q Q ".repeat(MAX_UNPACKED_BYTES / 4 + 1);
  const blank = pageOf("");
  const bomb = pageOf(much);
  assert(bomb.length < 262_144);
  assertEquals(await refusal(bomb), "DOCUMENT_TOO_LARGE");

  const half = packed(much.slice(much.length / 2 - 4));
  const objects = [
    "<</Type/Catalog/Pages 2 0 R>>",
    "<</Type/Pages/Count 1/Kids[3 0 R]>>",
    "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents[4 0 R 5 0 R]>>",
  ];
  for (
    const streams of [[half, half], [packed(much, { layers: 3 })], [
      packed(" ", { layers: 5 }),
    ]]
  ) {
    assertEquals(
      await refusal(pdfOf([...objects, ...streams])),
      "DOCUMENT_TOO_LARGE",
    );
  }
  // The parser reads what is packed up to where it is broken.
  const broken = new Uint8Array(half.data);
  broken[broken.length - 3]! ^= 0xff;
  const torn = { ...half, data: broken };
  assertEquals(
    await refusal(pdfOf([...objects, torn, torn])),
    "DOCUMENT_TOO_LARGE",
  );
  assertEquals((await readPdf(blank)).text, "");
});

Deno.test("readPdf() lets images be larger together than all else", async () => {
  const image = packed("\0".repeat(MAX_UNPACKED_BYTES / 2), {
    dictionary: "/Subtype/Image/Width 4096/Height 4096",
  });
  const pdf = pdfOf([
    "<</Type/Catalog/Pages 2 0 R>>",
    "<</Type/Pages/Count 1/Kids[3 0 R]>>",
    "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>",
    image,
    image,
    image,
  ]);
  assertEquals((await readPdf(pdf)).pages, 1);

  // Each takes a few kilobytes, and time to be unpacked.
  const many = pdfOf([
    "<</Type/Catalog/Pages 2 0 R>>",
    "<</Type/Pages/Count 1/Kids[3 0 R]>>",
    "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>",
    ...Array.from({ length: 33 }, () => image),
  ]);
  assertEquals(await refusal(many), "DOCUMENT_TOO_LARGE");

  // The same dictionary before what is no image at all.
  const bomb = packed("q Q ".repeat(MAX_UNPACKED_BYTES / 4 + 1), {
    dictionary: "/Subtype/Image",
  });
  assertEquals(
    await refusal(pdfOf([
      "<</Type/Catalog/Pages 2 0 R>>",
      "<</Type/Pages/Count 1/Kids[3 0 R]>>",
      "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>",
      bomb,
    ])),
    "DOCUMENT_TOO_LARGE",
  );
});

Deno.test("readPdf() refuses a PDF whose pages name one content stream again and again", async () => {
  const much = "q Q ".repeat(MAX_UNPACKED_BYTES / 4 / 100);
  const page = (contents: string) =>
    `<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents ${contents}>>`;
  const pages = "<</Type/Pages/Count 1/Kids[3 0 R]>>";
  const catalog = "<</Type/Catalog/Pages 2 0 R>>";
  const often = `[${"4 0 R ".repeat(101)}]`;
  for (const stream of [packed(much), packed(much, { layers: 0 })]) {
    assertEquals(
      await refusal(pdfOf([catalog, pages, page(often), stream])),
      "DOCUMENT_TOO_LARGE",
    );
    assertEquals(
      await refusal(pdfOf([catalog, pages, page("5 0 R"), stream, often])),
      "DOCUMENT_TOO_LARGE",
    );
  }
  const few = pdfOf([catalog, pages, page("[4 0 R 4 0 R]"), packed(much)]);
  assertEquals((await readPdf(few)).pages, 1);
});
