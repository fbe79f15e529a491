import { Buffer } from "node:buffer";

/** How a stored body is written down. */
export type BodyEncoding = "text" | "base64" | "none";

/**
 * Writes a body down as Postgres text that gives the same bytes back: valid
 * UTF-8 as it is, anything else as base64. Postgres text cannot hold U+0000,
 * and some drivers drop a byte order mark.
 *
 * @param body The bytes; `null` when they were too many to keep.
 */
export function encodeBody(
  body: Uint8Array | null,
): { body: string | null; encoding: BodyEncoding } {
  if (body === null) return { body: null, encoding: "none" };
  const text = decodeUtf8(body);
  return text === null || text.includes("\0") || text.startsWith("\uFEFF")
    ? { body: toBase64(body), encoding: "base64" }
    : { body: text, encoding: "text" };
}

/** The bytes that {@link encodeBody} wrote down. */
export function decodeBody(
  body: string | null,
  encoding: BodyEncoding,
): Uint8Array | null {
  if (encoding === "none" || body === null) return null;
  return encoding === "text"
    ? new TextEncoder().encode(body)
    : bytesOfBase64(body);
}

/**
 * The bytes behind base64.
 *
 * @throws {DOMException} When it is none: Buffer would skip what is not.
 */
export function bytesOfBase64(text: string): Uint8Array {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  // A loop: Uint8Array.from with a function takes twenty times as long.
  for (let index = 0; index < bytes.length; index++) {
    bytes[index] = binary.charCodeAt(index);
  }
  return bytes;
}

function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    // Without ignoreBOM a leading byte order mark would be dropped.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch {
    return null;
  }
}

/** Bytes in base64 (RFC 4648, section 4). */
export function toBase64(bytes: Uint8Array): string {
  // Measured on a megabyte: 1 ms, against 48 ms by way of btoa.
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    .toString("base64");
}
