import { Buffer } from "node:buffer";
import { inflateRawSync } from "node:zlib";
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
  if (!parts.has(main)) {
    throw broken(new Error(`It has no part ${main}`));
  }
  const text = new BlockText();
  for (const name of names) {
    const part = parts.get(name);
    if (part !== undefined) read(decodeText(part), text);
  }
  return text.toString();
}

/** Unpacks parts of the file, all of them within one bound, whatever they say of their size. */
function unzip(
  bytes: Uint8Array,
  isWanted: (name: string) => boolean,
): Map<string, Uint8Array> {
  const parts = new Map<string, Uint8Array>();
  let left = MAX_UNPACKED_BYTES;
  try {
    for (const { name, method, data } of entriesOf(bytes)) {
      // One of a name, or a part could be there to be unpacked a thousand times.
      if (!isWanted(name) || parts.has(name)) continue;
      const part = unpack(method, data, left + 1);
      parts.set(name, part);
      left -= part.length;
      if (left < 0) throw tooLarge();
    }
    return parts;
  } catch (error) {
    if (error instanceof DocumentError) throw error;
    const { code } = error as { code?: string };
    if (code === "ERR_BUFFER_TOO_LARGE") throw tooLarge();
    throw isEncrypted(bytes)
      ? new DocumentError(
        "ENCRYPTED_DOCUMENT",
        "The document asks for a password: save it without one and send that file",
        { cause: error },
      )
      : broken(error);
  }
}

/**
 * What is in a zip file, by the directory at its end. The library for that goes on
 * through all of a part that is longer than it says: minutes for some megabytes.
 *
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3.7 to 4.3.16
 */
function* entriesOf(bytes: Uint8Array) {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = file.lastIndexOf("PK\x05\x06");
  if (end === -1) throw new Error("It is no zip file");
  let at = file.readUInt32LE(end + 16);
  for (let left = file.readUInt16LE(end + 10); left > 0; left--) {
    const nameAt = at + 46;
    const nameEnd = nameAt + file.readUInt16LE(at + 28);
    const local = file.readUInt32LE(at + 42);
    const start = local + 30 + file.readUInt16LE(local + 26) +
      file.readUInt16LE(local + 28);
    yield {
      name: file.toString("utf8", nameAt, nameEnd),
      method: file.readUInt16LE(at + 10),
      data: file.subarray(start, start + file.readUInt32LE(at + 20)),
    };
    at = nameEnd + file.readUInt16LE(at + 30) + file.readUInt16LE(at + 32);
  }
}

function unpack(
  method: number,
  data: Uint8Array,
  maxOutputLength: number,
): Uint8Array {
  if (method === 0) return data;
  if (method === 8) return inflateRawSync(data, { maxOutputLength });
  throw new Error(`It is packed by method ${method}`);
}

function tooLarge(): DocumentError {
  return new DocumentError(
    "DOCUMENT_TOO_LARGE",
    `The text of the document unpacks to more than ${MAX_UNPACKED_BYTES} bytes: split it`,
  );
}

/** Office packs what it encrypts into a file of another format. */
function isEncrypted(bytes: Uint8Array): boolean {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return file.includes(Buffer.from("EncryptedPackage", "utf16le"));
}

// Word writes a hundredth of it, and the time that parsing takes grows with the
// square of how deep it nests.
const MAX_RELATIONS_BYTES = 64 * 1024;

function mainPartOf(parts: Map<string, Uint8Array>): string {
  let main = "word/document.xml";
  const parser = new Parser({
    onopentag(_, { Type = "", Target }) {
      if (Type.endsWith("/officeDocument") && Target) main = Target;
    },
  }, { xmlMode: true });
  const relations = parts.get("_rels/.rels") ?? new Uint8Array();
  parser.end(
    Buffer.from(relations.subarray(0, MAX_RELATIONS_BYTES)).toString(),
  );
  return main.replace(/^\//, "");
}

// What is there again in the words of an older Word, what was struck, of which only
// plain text has another name, and where it was before it was moved.
const LEFT_OUT = new Set(["mc:Fallback", "w:del", "w:moveFrom"]);

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
      if (leftOut > 0) return;
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
      if (isText) text.add(data);
    },
    onclosetag(name) {
      depth--;
      isText = false;
      if (leftOut > 0) {
        if (LEFT_OUT.has(name)) leftOut--;
        return;
      }
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
