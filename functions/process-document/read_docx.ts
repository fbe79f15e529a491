import { Buffer } from "node:buffer";
import { strFromU8, unzipSync } from "fflate";
import { Parser } from "htmlparser2";
import { BlockText } from "./block_text.ts";
import { BoundedParser } from "./bounded_parser.ts";
import { decodeText } from "./decode_text.ts";
import { DocumentError, MAX_DEPTH, MAX_UNPACKED_BYTES } from "./document.ts";

/**
 * The text of a Word document (ISO/IEC 29500): paragraphs with empty lines
 * between them, the cells of a table with tabs, then notes. What was struck
 * with changes tracked is left out, and so are headers, footers and comments.
 *
 * @throws {DocumentError} `BROKEN_DOCUMENT`, `ENCRYPTED_DOCUMENT`,
 * `DOCUMENT_TOO_LARGE`, or `UNREADABLE_TEXT` where some would be lost.
 */
export function readDocx(bytes: Uint8Array): string {
  const main = mainPartOf(unzip(bytes, (name) => name === "_rels/.rels"));
  const folder = main.slice(0, main.lastIndexOf("/") + 1);
  const names = [main, `${folder}footnotes.xml`, `${folder}endnotes.xml`];
  const parts = unzip(bytes, (name) => names.includes(name));
  if (parts[main] === undefined) {
    throw broken(new Error(`It has no part ${main}`));
  }
  const text = new BlockText();
  for (const name of names) {
    const part = parts[name];
    if (part !== undefined) read(decodeText(part), text);
  }
  return text.toString();
}

/** Unpacks parts of the file, within the bound on what they say they unpack to. */
function unzip(
  bytes: Uint8Array,
  isWanted: (name: string) => boolean,
): Record<string, Uint8Array> {
  let left = MAX_UNPACKED_BYTES;
  try {
    return unzipSync(bytes, {
      // A part that is longer than it says is cut to what it says.
      filter({ name, originalSize }) {
        if (!isWanted(name)) return false;
        left -= originalSize;
        if (left >= 0) return true;
        throw new DocumentError(
          "DOCUMENT_TOO_LARGE",
          `The text of the document unpacks to more than ${MAX_UNPACKED_BYTES} bytes: split it`,
        );
      },
    });
  } catch (error) {
    if (error instanceof DocumentError) throw error;
    throw isEncrypted(bytes)
      ? new DocumentError(
        "ENCRYPTED_DOCUMENT",
        "The document asks for a password: save it without one and send that file",
        { cause: error },
      )
      : broken(error);
  }
}

/** Office packs what it encrypts into a file of another format. */
function isEncrypted(bytes: Uint8Array): boolean {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return file.includes(Buffer.from("EncryptedPackage", "utf16le"));
}

// Word writes a hundredth of it, and the time that parsing takes grows with the
// square of how deep it nests.
const MAX_RELATIONS_BYTES = 64 * 1024;

function mainPartOf(parts: Record<string, Uint8Array>): string {
  let main = "word/document.xml";
  const parser = new Parser({
    onopentag(_, { Type = "", Target }) {
      if (Type.endsWith("/officeDocument") && Target) main = Target;
    },
  }, { xmlMode: true });
  const relations = parts["_rels/.rels"] ?? new Uint8Array();
  parser.end(strFromU8(relations.subarray(0, MAX_RELATIONS_BYTES)));
  return main.replace(/^\//, "");
}

// What is there again in the words of an older Word, and where it was before it
// was moved.
const LEFT_OUT = new Set(["mc:Fallback", "w:moveFrom"]);

function read(xml: string, text: BlockText): void {
  let elements = 0;
  let depth = 0;
  let leftOut = 0;
  let isText = false;
  const parser = new BoundedParser({
    onopentag(name) {
      elements++;
      if (++depth > MAX_DEPTH) throw broken(new Error("It nests too deep"));
      if (LEFT_OUT.has(name)) leftOut++;
      isText = name === "w:t" || name === "m:t";
      switch (name) {
        case "w:altChunk":
          throw new DocumentError(
            "UNREADABLE_TEXT",
            "The document holds another one as a file: save it in Word, which takes the text over, and send it again",
          );
        case "w:tc":
          return text.beginCell();
        case "w:tab":
          return text.add(" ");
        case "w:br":
        case "w:cr":
          return text.endLine();
        case "w:noBreakHyphen":
          return text.addAsIs("-");
        case "w:sym":
          // A letter of Symbol or Wingdings, which no other font has.
          return text.addAsIs("\ufffd");
      }
    },
    ontext(data) {
      if (isText && leftOut === 0) text.add(data);
    },
    onclosetag(name) {
      depth--;
      isText = false;
      if (LEFT_OUT.has(name)) leftOut--;
      switch (name) {
        case "w:p":
        case "w:tbl":
          return text.endParagraph();
        case "w:tc":
          return text.endCell();
        case "w:tr":
          return text.endLine();
      }
    },
  }, {
    xmlMode: true,
    onTooMuchWork: () => broken(new Error("It closes what is not open")),
  });
  parser.write(xml);
  if (elements === 0 || depth > 0) throw broken(new Error("It ends too early"));
  parser.end();
}

function broken(cause: unknown): DocumentError {
  return new DocumentError(
    "BROKEN_DOCUMENT",
    "The file cannot be read as a Word document: check that it opens in Word, then send it again",
    { cause },
  );
}
