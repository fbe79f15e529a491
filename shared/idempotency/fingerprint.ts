import { canonicalize } from "./deps.ts";
import { RequestTooLargeError } from "./errors.ts";
import { sha256Hex } from "./sha256.ts";

/**
 * The largest request body that is read for its fingerprint, in bytes. An edge
 * function has 256 MB of memory; the body is held once here and once by the
 * handler that parses it.
 */
export const MAX_REQUEST_BYTES = 64 * 1024 * 1024;

/** What {@link fingerprintRequest} leaves out. */
export interface FingerprintOptions {
  /**
   * Query parameters that may differ between tries of one intention, for
   * instance `confirm_credit`.
   *
   * @default {[]}
   */
  ignoreQuery?: readonly string[];
}

/**
 * SHA-256 over what a request asks for: method, path, query and body. JSON is
 * canonicalised (RFC 8785), so spaces and the order of members do not matter;
 * a multipart form is taken by its parts, since its boundary changes at every
 * retry; anything else is taken as bytes.
 *
 * Reads the body: hand in a clone unless the request is buffered.
 *
 * @returns 64 lower-case hexadecimal digits.
 * @throws {RequestTooLargeError} When the body is larger than
 * {@link MAX_REQUEST_BYTES}.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { fingerprintRequest } from "./fingerprint.ts";
 *
 * const post = (body: string) =>
 *   fingerprintRequest(new Request("http://x/pay", {
 *     method: "POST",
 *     headers: { "Content-Type": "application/json" },
 *     body,
 *   }));
 * assertEquals(await post('{"a":1,"b":2}'), await post('{ "b": 2, "a": 1 }'));
 * ```
 */
export async function fingerprintRequest(
  req: Request,
  options: FingerprintOptions = {},
): Promise<string> {
  const declared = Number(req.headers.get("content-length") ?? 0);
  if (declared > MAX_REQUEST_BYTES) {
    throw new RequestTooLargeError(MAX_REQUEST_BYTES);
  }
  const bytes = new Uint8Array(await req.arrayBuffer());
  if (bytes.byteLength > MAX_REQUEST_BYTES) {
    throw new RequestTooLargeError(MAX_REQUEST_BYTES);
  }
  const url = new URL(req.url);
  const ignored = new Set(options.ignoreQuery);
  const query = [...url.searchParams]
    .filter(([name]) => !ignored.has(name))
    .sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
  const body = await describeBody(bytes, req.headers.get("content-type"));
  return fingerprintValue([req.method, url.pathname, query, body]);
}

/**
 * SHA-256 over the canonical JSON (RFC 8785) of a value, for operations that
 * are not HTTP requests.
 *
 * @returns 64 lower-case hexadecimal digits.
 * @throws {TypeError} When the value has no JSON form.
 */
export function fingerprintValue(value: unknown): Promise<string> {
  const text = canonicalize(value);
  if (text === undefined) {
    throw new TypeError(
      `Cannot fingerprint a value of type ${typeof value}: it has no JSON form`,
    );
  }
  return sha256Hex(text);
}

async function describeBody(
  bytes: Uint8Array<ArrayBuffer>,
  contentType: string | null,
): Promise<unknown> {
  const type = contentType?.split(";")[0]?.trim().toLowerCase() ?? "";
  try {
    if (type === "application/json" || type.endsWith("+json")) {
      return ["json", canonicalize(JSON.parse(decode(bytes)))];
    }
    if (type === "multipart/form-data") {
      return ["form", await describeForm(bytes, contentType ?? "")];
    }
  } catch {
    // Malformed: the handler will say so. Its bytes still identify it.
  }
  return ["bytes", type, await sha256Hex(bytes)];
}

async function describeForm(
  bytes: Uint8Array<ArrayBuffer>,
  contentType: string,
): Promise<unknown> {
  const headers = { "Content-Type": contentType };
  const form = await new Response(bytes, { headers }).formData();
  return await Promise.all(
    [...form].map(async ([name, value]) =>
      typeof value === "string" ? [name, value] : [
        name,
        value.name,
        value.type,
        await sha256Hex(new Uint8Array(await value.arrayBuffer())),
      ]
    ),
  );
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}
