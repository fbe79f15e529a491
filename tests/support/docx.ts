import { strToU8, zipSync } from "fflate";

const WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";
const MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math";
const MAIN =
  "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument";

/** A part of a Word document around paragraphs and tables. */
export function partOf(root: string, blocks: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?><w:${root} xmlns:w="${WORD}" xmlns:m="${MATH}">${blocks}</w:${root}>`;
}

/** A Word document of these blocks, with further parts, or others. */
export function docxOf(
  blocks: string,
  { main = "word/document.xml", parts = {} }: {
    main?: string;
    parts?: Record<string, string>;
  } = {},
): Uint8Array<ArrayBuffer> {
  const files: Record<string, string> = {
    "[Content_Types].xml": "<Types/>",
    "_rels/.rels":
      `<Relationships><Relationship Id="r1" Type="${MAIN}" Target="/${main}"/></Relationships>`,
    [main]: partOf("document", `<w:body>${blocks}</w:body>`),
    ...parts,
  };
  return new Uint8Array(zipSync(
    Object.fromEntries(
      Object.entries(files).map(([name, text]) => [name, strToU8(text)]),
    ),
  ));
}

/** A paragraph of runs, as Word cuts text into them. */
export function paragraph(...runs: readonly string[]): string {
  const texts = runs.map((run) =>
    `<w:r><w:t xml:space="preserve">${run}</w:t></w:r>`
  );
  return `<w:p>${texts.join("")}</w:p>`;
}
