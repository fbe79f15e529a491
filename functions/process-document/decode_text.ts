import { Buffer } from "node:buffer";
import { DocumentError } from "./document.ts";

/**
 * The charset that a media type declares.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { declaredCharset } from "./decode_text.ts";
 *
 * assertEquals(declaredCharset('text/plain; Charset="utf-16"'), "utf-16");
 * ```
 */
export function declaredCharset(mediaType: string): string | undefined {
  return /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(mediaType)?.[1];
}

// Browsers look no further.
const DECLARED_WITHIN = 1024;

/** The charset that an HTML page declares in its head. */
export function charsetOfPage(page: Uint8Array): string | undefined {
  const start = Buffer.from(page.subarray(0, DECLARED_WITHIN));
  const declared = /<meta\s[^>]*charset\s*=\s*["']?([\w:.-]+)/i
    .exec(start.toString("latin1"))?.[1];
  // What can be read in ASCII is not UTF-16, whatever it says.
  return declared && /^utf-?16/i.test(declared) ? "utf-8" : declared;
}

// https://encoding.spec.whatwg.org/#bom-sniff
const BYTE_ORDER_MARKS: [charset: string, mark: number[]][] = [
  ["utf-8", [0xef, 0xbb, 0xbf]],
  ["utf-16be", [0xfe, 0xff]],
  ["utf-16le", [0xff, 0xfe]],
];

/**
 * Decodes a text file: as its byte-order mark says, else as declared, else as
 * UTF-8.
 *
 * @param charset A label that browsers know, such as `windows-1252`.
 * @throws {DocumentError} `BROKEN_DOCUMENT` when it is not written in that
 * charset, when nobody knows the charset, or when the file is binary.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { decodeText } from "./decode_text.ts";
 *
 * assertEquals(decodeText(Uint8Array.of(0x80, 0x35), "windows-1252"), "€5");
 * ```
 */
export function decodeText(bytes: Uint8Array, charset = "utf-8"): string {
  const marked = BYTE_ORDER_MARKS.find(([, mark]) =>
    mark.every((byte, index) => bytes[index] === byte)
  )?.[0];
  const text = decode(bytes, decoderOf(marked ?? charset));
  if (text.includes("\0")) {
    throw new DocumentError(
      "BROKEN_DOCUMENT",
      "The file contains NUL characters, so it is not text: declare its real type or send its text",
    );
  }
  return text;
}

function decoderOf(charset: string): TextDecoder {
  try {
    return new TextDecoder(charset, { fatal: true });
  } catch (cause) {
    throw new DocumentError(
      "BROKEN_DOCUMENT",
      `The file is declared to have the charset "${charset}", which is unknown here: save it with the encoding UTF-8 and send it again`,
      { cause },
    );
  }
}

function decode(bytes: Uint8Array, decoder: TextDecoder): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    const { encoding } = decoder;
    throw new DocumentError(
      "BROKEN_DOCUMENT",
      encoding === "utf-8"
        ? "The file is not UTF-8 text: declare its charset, or save it with the encoding UTF-8 and send it again"
        : `The file is not ${encoding} text, as it says: save it with the encoding UTF-8 and send it again`,
      { cause },
    );
  }
}
