import { MAX_STORED_BYTES } from "./response.ts";
import {
  type BodyEncoding,
  bytesOfBase64,
  decodeBody,
  encodeBody,
  toBase64,
} from "./stored_body.ts";

/** How a body is kept: written down as it is, or compressed and in base64. */
export type StoredEncoding = BodyEncoding | "gzip";

/** A body as the ledger keeps it. */
export interface StoredBody {
  /** `null` when the body was not kept. */
  readonly body: string | null;
  readonly encoding: StoredEncoding;
}

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
 * @param body The bytes; `null` when they were too many to keep.
 * @param headers Of the answer, names in lower case: what they say is
 * compressed is not compressed again.
 */
export async function storeBody(
  body: Uint8Array | null,
  headers: Readonly<Record<string, string>>,
): Promise<StoredBody> {
  const plain = encodeBody(body);
  if (body === null || body.byteLength < COMPRESS_FROM_BYTES) return plain;
  if (isCompressed(headers)) return plain;
  const compressed = toBase64(await gzip(body));
  // Of the plain text its bytes count, of which base64 has one a character.
  const size = plain.encoding === "text"
    ? body.byteLength
    : plain.body?.length ?? 0;
  return compressed.length < size
    ? { body: compressed, encoding: "gzip" }
    : plain;
}

/**
 * The bytes that {@link storeBody} wrote down; `null` when there are none to
 * give: they were not kept, or what is there is not what was written. Users can
 * write their own rows, so nothing is inflated beyond what would be kept.
 */
export async function restoreBody(
  body: string | null,
  encoding: StoredEncoding,
): Promise<Uint8Array | null> {
  if (encoding !== "gzip") return decodeBody(body, encoding);
  if (body === null) return null;
  try {
    return await gunzip(bytesOfBase64(body));
  } catch {
    return null;
  }
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
