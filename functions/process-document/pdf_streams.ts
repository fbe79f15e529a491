import { Buffer } from "node:buffer";
import { inflateSync } from "node:zlib";
import { Unzlib } from "fflate";

/**
 * How many times the bound all images together may unpack to: a scan of 16 pages
 * in colour that nothing makes smaller, and half a second's work.
 */
const IMAGES = 16;

/**
 * How many streams may be torn, which is more than a damaged file has: trying one
 * takes a tenth of a millisecond, and what looks like one takes a few bytes.
 */
const MAX_TORN = 1000;

/**
 * Whether what is packed in a PDF stays within a bound when it is unpacked: each
 * image by itself and all of them within sixteen times as much, since no text is
 * taken from them, and all else together, a content stream as often as pages
 * name it: so often it is read.
 * Nothing is parsed, so that it costs little and that there is nothing to be
 * deceived: whatever follows the word `stream` and can be inflated counts. What
 * breaks off when it is inflated is tried so many times and no more.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { isWithinBound } from "./pdf_streams.ts";
 *
 * assert(isWithinBound(new TextEncoder().encode("%PDF-1.7"), 1));
 * ```
 */
export function isWithinBound(pdf: Uint8Array, maxBytes: number): boolean {
  const file = Buffer.from(pdf.buffer, pdf.byteOffset, pdf.length);
  const named = new Map<string, number>();
  const contents: { object: string | undefined; size: number }[] = [];
  const endAfter = endsOf(file);
  countNames(file, named);
  let torn = 0;
  let left = maxBytes;
  let leftForImages = IMAGES * maxBytes;
  for (
    let at = file.indexOf("stream");
    at !== -1;
    at = file.indexOf("stream", at + 1)
  ) {
    if (file.toString("latin1", at - 3, at) === "end") continue;
    const start = afterLineEnd(file, at + "stream".length);
    const { size, innermost, isTorn } = unpacked(
      file.subarray(start),
      maxBytes,
    );
    if (size > maxBytes || (isTorn && ++torn > MAX_TORN)) return false;
    const { object, dictionary } = headOf(file, at);
    if (/\/Subtype\s*\/Image\b/.test(dictionary)) leftForImages -= size;
    else {
      left -= size;
      contents.push({ object, size: size || endAfter(start) - start });
      if (/\/First\b/.test(dictionary)) countNames(innermost, named);
    }
    if (left < 0 || leftForImages < 0) return false;
  }
  // One after the other: a call takes no hundred thousand arguments.
  const most = [...named.values()].reduce((a, b) => Math.max(a, b), 0);
  return contents.every(({ object, size }) => {
    const times = object === undefined ? most : named.get(object) ?? 0;
    left -= Math.max(0, times - 1) * size;
    return left >= 0;
  });
}

// `/Contents 4 0 R`, and the arrays of references of which it may be one.
const NAMES =
  /\/Contents\s+(\d+)\s+\d+\s+R\b|\[((?:\s*\d+\s+\d+\s+R\b)+)\s*\]/g;

/** Counts how often each object is named as the content of a page. */
function countNames(data: Uint8Array, named: Map<string, number>): void {
  const text = Buffer.from(data.buffer, data.byteOffset, data.length)
    .toString("latin1");
  for (const [, one, several] of text.matchAll(NAMES)) {
    const references = several ?? `${one} 0 R`;
    for (const [, number = ""] of references.matchAll(/(\d+)\s+\d+\s+R/g)) {
      const object = `${Number(number)}`;
      named.set(object, (named.get(object) ?? 0) + 1);
    }
  }
}

/**
 * Where the stream that starts at a place ends, as it is in the file. Asked for
 * places that follow each other, it looks through the file once.
 */
function endsOf(file: Buffer): (start: number) => number {
  let end = -1;
  return (start) => {
    if (end < start) end = file.indexOf("endstream", start);
    if (end === -1) end = file.length;
    return end;
  };
}

function afterLineEnd(file: Buffer, at: number): number {
  const afterReturn = file[at] === 0x0d ? at + 1 : at;
  return file[afterReturn] === 0x0a ? afterReturn + 1 : afterReturn;
}

// The dictionary of a stream stands before it.
const DICTIONARY_LENGTH = 1024;

/** Number of the object that a stream is, where it is near enough, and its dictionary. */
function headOf(
  file: Buffer,
  stream: number,
): { object: string | undefined; dictionary: string } {
  const before = file.toString(
    "latin1",
    Math.max(0, stream - DICTIONARY_LENGTH),
    stream,
  );
  const start = before.lastIndexOf("obj");
  // From where digits begin: from each of them it takes the square of the time.
  const number = /(?<!\d)(\d+)\s+\d+\s+$/
    .exec(before.slice(0, Math.max(0, start)));
  return {
    object: number === null ? undefined : `${Number(number[1])}`,
    dictionary: before.slice(Math.max(0, start)),
  };
}

// Packed in what is packed in what is packed: nobody does it in good faith.
const MAX_LAYERS = 3;

/** Bytes of the largest layer, more than `maxBytes` when that is known, and the innermost one. */
function unpacked(
  data: Uint8Array,
  maxBytes: number,
): { size: number; innermost: Uint8Array; isTorn: boolean } {
  let size = 0;
  let isTorn = false;
  for (let layer = 0; isZlib(data); layer++) {
    const inner = layer < MAX_LAYERS ? unpack(data, maxBytes) : null;
    if (inner === null) return { size: maxBytes + 1, innermost: data, isTorn };
    size = Math.max(size, inner.bytes.length);
    isTorn ||= inner.isTorn;
    data = inner.bytes;
  }
  return { size, innermost: size === 0 ? new Uint8Array() : data, isTorn };
}

/** What is packed, as far as it is sound; `null` when it is too much. */
function unpack(
  data: Uint8Array,
  maxBytes: number,
): { bytes: Uint8Array; isTorn: boolean } | null {
  try {
    const bytes = inflateSync(data, { maxOutputLength: maxBytes });
    return { bytes, isTorn: false };
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ERR_BUFFER_TOO_LARGE") return null;
    const bytes = unpackSoundPart(data, maxBytes);
    return bytes && { bytes, isTorn: true };
  }
}

// The parser takes what comes before an error, and so must whoever counts. This
// is several times slower, and gives each piece as soon as it has it.
const PIECE = 16 * 1024;

function unpackSoundPart(
  data: Uint8Array,
  maxBytes: number,
): Uint8Array | null {
  const parts: Uint8Array[] = [];
  let size = 0;
  const unpacking = new Unzlib((part) => {
    parts.push(part);
    size += part.length;
  });
  try {
    for (let at = 0; at < data.length && size <= maxBytes; at += PIECE) {
      unpacking.push(data.subarray(at, at + PIECE));
    }
  } catch {
    // Here it ends.
  }
  return size > maxBytes ? null : Buffer.concat(parts);
}

// RFC 1950, section 2.2
function isZlib([method = 0, flags = 0]: Uint8Array): boolean {
  return (method & 0x0f) === 8 && (method * 256 + flags) % 31 === 0;
}
