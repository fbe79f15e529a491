import { MAX_STORED_BYTES } from "./response.ts";

/**
 * How a body is kept: as text, in base64, compressed and in base64, or not at
 * all.
 */
export type BodyEncoding = "text" | "base64" | "gzip" | "none";

/** A body as the ledger keeps it. */
export interface StoredBody {
  /** `null` when the body was not kept. */
  readonly body: string | null;
  readonly encoding: BodyEncoding;
}

const encoder = new TextEncoder();
// Without ignoreBOM a leading byte order mark would be dropped.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// Postgres compresses what is larger than 2 kB by itself, at rest but not on
// the way. Below this size it ends up within a fifth of gzip in base64, saves
// less than 10 kB on the way, and leaves the body readable in SQL.
const COMPRESS_FROM_BYTES = 16 * 1024;

// Deflate makes at most 1,032 bytes of one, and a decompressor hands over all
// that a write gives at once: so little is written at a time.
const SLICE_BYTES = 1024;

const COMPRESSED_TYPES =
  /^(audio|video)\/|^image\/(?!svg|bmp|x-ms-bmp|tiff)|^font\/woff|^application\/(pdf|zip|gzip|x-gzip|zstd|x-7z-compressed|x-bzip2?|x-xz|vnd\.rar|vnd\.openxmlformats|vnd\.oasis|epub\+zip|wasm)/i;

/**
 * Writes a body down for the ledger: a large one compressed, where that is
 * smaller.
 *
 * @param body The bytes; `null` when they are not to be kept.
 * @param headers Of the answer, names in lower case: what they say is
 * compressed is not compressed again.
 */
export function storeBody(
  body: Uint8Array | null,
  headers: Readonly<Record<string, string>>,
): StoredBody | Promise<StoredBody> {
  const plain = encodeBody(body);
  return body === null || body.byteLength < COMPRESS_FROM_BYTES ||
      isCompressed(headers)
    ? plain
    : smaller(body, plain);
}

/**
 * The bytes that {@link storeBody} wrote down; `null` when there are none to
 * give: they were not kept, or what is there is not what was written. Nothing
 * is inflated beyond what would be kept.
 */
export function restoreBody(
  { body, encoding }: StoredBody,
): Uint8Array | null | Promise<Uint8Array | null> {
  if (encoding === "none" || body === null) return null;
  if (encoding === "text") return encoder.encode(body);
  try {
    const bytes = bytesOfBase64(body);
    return encoding === "gzip" ? gunzip(bytes).catch(() => null) : bytes;
  } catch {
    return null;
  }
}

/**
 * Writes a body down as Postgres text that gives the same bytes back: valid
 * UTF-8 as it is, anything else as base64. Postgres text cannot hold U+0000,
 * and some drivers drop a byte order mark.
 */
export function encodeBody(body: Uint8Array | null): StoredBody {
  if (body === null) return { body: null, encoding: "none" };
  const text = decodeUtf8(body);
  return text === null || text.includes("\0") || text.startsWith("\uFEFF")
    ? { body: toBase64(body), encoding: "base64" }
    : { body: text, encoding: "text" };
}

/** Bytes as the text they are, else in base64. */
export function textOrBase64(bytes: Uint8Array): string {
  return decodeUtf8(bytes) ?? toBase64(bytes);
}

/** Bytes in base64 (RFC 4648, section 4). */
export function toBase64(bytes: Uint8Array): string {
  // Newer engines have it built in.
  const { toBase64 } = bytes as { toBase64?: () => string };
  if (toBase64 !== undefined) return toBase64.call(bytes);
  let binary = "";
  // As many arguments as every engine takes in one call.
  for (let start = 0; start < bytes.length; start += 0x2000) {
    binary += String.fromCharCode(...bytes.subarray(start, start + 0x2000));
  }
  return btoa(binary);
}

/**
 * The bytes behind base64.
 *
 * @throws {DOMException} When it is none.
 */
export function bytesOfBase64(text: string): Uint8Array<ArrayBuffer> {
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
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

async function smaller(
  body: Uint8Array,
  plain: StoredBody,
): Promise<StoredBody> {
  let compressed: string;
  try {
    compressed = toBase64(await gzip(body));
  } catch {
    // Not every platform compresses: not the Edge runtime of Next.js, nor Bun
    // before 1.3.3. An answer that is not recorded would be made again.
    return plain;
  }
  // Of the plain text its bytes count, of which base64 has one a character.
  const size = plain.encoding === "text"
    ? body.byteLength
    : plain.body?.length ?? 0;
  return compressed.length < size
    ? { body: compressed, encoding: "gzip" }
    : plain;
}

function isCompressed(headers: Readonly<Record<string, string>>): boolean {
  return "content-encoding" in headers ||
    COMPRESSED_TYPES.test(headers["content-type"] ?? "");
}

async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream()
    .pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** `null` when there is more than would be kept. */
async function gunzip(bytes: Uint8Array): Promise<Uint8Array | null> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for await (
    const part of slices(bytes).pipeThrough(new DecompressionStream("gzip"))
  ) {
    length += part.byteLength;
    if (length > MAX_STORED_BYTES) return null;
    parts.push(part);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function slices(bytes: Uint8Array): ReadableStream<Uint8Array<ArrayBuffer>> {
  let start = 0;
  return new ReadableStream({
    pull(controller) {
      if (start >= bytes.byteLength) return controller.close();
      controller.enqueue(bytes.slice(start, start += SLICE_BYTES));
    },
  });
}
