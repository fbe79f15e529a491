import { bytesToHex, canonicalize, sha256 } from "./deps.ts";
import {
  BodyConsumedError,
  BodyIncompleteError,
  RequestTooLargeError,
} from "./errors.ts";

/**
 * The largest request body that is read for its fingerprint, in bytes. An edge
 * function has 256 MB of memory; the body is held once here and once by the
 * handler that parses it.
 */
export const MAX_REQUEST_BYTES: number = 64 * 1024 * 1024;

// A mebibyte of brackets takes 80 MB once it is parsed and sorted.
const MAX_PARSED_BYTES = 1024 * 1024;
const MAX_DEPTH = 1000;

// A trip to the thread pool costs more than the hash: at 200 bytes 7 µs here
// and 115 µs there, at 2 KB 49 and 43, at 64 KB 566 and 65 (Deno, two cores;
// Node and Bun cross at 2 and 4 KB).
const MAX_IN_PLACE_BYTES = 2048;

// Says where to run, not what: supabase-js sends it with `region`.
const IGNORED_QUERY = ["forceFunctionRegion"];

/** What {@link fingerprintRequest} takes into account, and what not. */
export interface FingerprintOptions {
  /**
   * Query parameters that may differ between tries of one intention, for
   * instance `confirm_credit`. `forceFunctionRegion` is always left out.
   *
   * @default {[]}
   */
  ignoreQuery?: readonly string[] | undefined;
  /**
   * Fields of a JSON body that may differ between tries, such as a timestamp
   * that each try makes anew: JSON Pointers (RFC 6901), `"/meta/sentAt"`,
   * `"/items/0/id"`. An element of an array is still counted.
   *
   * @default {[]}
   */
  ignoreFields?: readonly string[] | undefined;
  /**
   * The only fields of a JSON body that matter, as JSON Pointers; less
   * `ignoreFields` inside them.
   *
   * @default {"the whole body"}
   */
  onlyFields?: readonly string[] | undefined;
  /**
   * Request headers whose values take part, for instance `x-organisation`.
   *
   * @default {[]}
   */
  headers?: readonly string[] | undefined;
}

/**
 * SHA-256 over what a request asks for: method, path, query and body.
 *
 * JSON is canonicalised (RFC 8785), so spaces and the order of members do not
 * matter, where each number in it survives the round trip through a double: it
 * is worth exactly what the shortest text of its double is. A text with another
 * number (`9007199254740993`, `1e400`), one that is nested deeper than 1,000
 * levels, and one above 1 MiB are compared as the bytes that they are. With
 * `ignoreFields` or `onlyFields` such numbers are compared as they are written.
 * A multipart form is taken by its parts, since its boundary changes at every
 * retry; anything else is taken as bytes.
 *
 * Reads the body: hand in a clone, `req.clone()`, unless nobody else needs it.
 *
 * @returns 64 lower-case hexadecimal digits.
 * @throws {RequestTooLargeError} When the body is larger than 64 MiB; no more
 * than that is read.
 * @throws {BodyConsumedError} When somebody has read the body before.
 * @throws {BodyIncompleteError} When the client is cut off before its end.
 * @throws {TypeError} When a field is no JSON Pointer.
 *
 * @example
 * ```ts
 * import { assertEquals, assertNotEquals } from "@std/assert";
 * import { fingerprintRequest } from "./fingerprint.ts";
 *
 * const post = (body: string) =>
 *   fingerprintRequest(
 *     new Request("http://x/pay", {
 *       method: "POST",
 *       headers: { "Content-Type": "application/json" },
 *       body,
 *     }),
 *     { ignoreFields: ["/sentAt"] },
 *   );
 * assertEquals(
 *   await post('{"a":1,"b":2,"sentAt":"10:00"}'),
 *   await post('{ "b": 2, "a": 1, "sentAt": "10:05" }'),
 * );
 * assertNotEquals(await post('{"a":1}'), await post('{"a":2}'));
 * ```
 */
export async function fingerprintRequest(
  req: Request,
  options: FingerprintOptions = {},
): Promise<string> {
  const fields = {
    ignore: options.ignoreFields?.map(parsePointer) ?? [],
    only: options.onlyFields?.map(parsePointer),
  };
  const url = new URL(req.url);
  const ignored = new Set([...IGNORED_QUERY, ...options.ignoreQuery ?? []]);
  const query = [...url.searchParams]
    .filter(([name]) => !ignored.has(name))
    .sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
  const headers = options.headers?.map((name) => name.toLowerCase()).sort()
    .map((name) => [name, req.headers.get(name)]) ?? [];
  const head = canonicalize([req.method, url.pathname, query, headers]);
  const bytes = await readBody(req);
  const type = req.headers.get("content-type") ?? "";
  // The head has no line break of its own, so nothing moves across.
  return sha256Hex(`${head}\n${await describeBody(bytes, type, fields)}`);
}

/**
 * A clone of a request, for somebody who has to read its body before the
 * handler does.
 *
 * @throws {BodyConsumedError} When somebody has read the body before.
 */
export function cloneUnread(req: Request): Request {
  assertUnread(req);
  return req.clone();
}

/**
 * SHA-256 over the canonical JSON (RFC 8785) of a value, for operations that
 * are not HTTP requests.
 *
 * @returns 64 lower-case hexadecimal digits.
 * @throws {TypeError} When the value has no JSON form.
 */
export async function fingerprintValue(value: unknown): Promise<string> {
  let text: string | undefined;
  try {
    text = describeValue(value);
  } catch (cause) {
    throw new TypeError("Cannot fingerprint a value: it has no JSON form", {
      cause,
    });
  }
  if (text === undefined) {
    throw new TypeError(
      `Cannot fingerprint a value of type ${typeof value}: it has no JSON form`,
    );
  }
  // Few have one, and only those are walked through.
  const opaque = text.includes("{}") ? opaqueIn(value) : null;
  if (opaque === null) return await sha256Hex(text);
  const { name } = opaque.constructor;
  throw new TypeError(
    `Cannot fingerprint a value of type ${name}: it has no JSON form, await it or give what is in it, such as Object.fromEntries(form)`,
  );
}

/**
 * The first object that to JSON is `{}`, whatever is in it: a promise that nobody
 * awaited, a form, a map. All of them would be the same payload.
 */
function opaqueIn(value: unknown): object | null {
  if (
    typeof value !== "object" || value === null || "toJSON" in value ||
    ArrayBuffer.isView(value)
  ) return null;
  const parts = Object.values(value);
  if (parts.length > 0 || Array.isArray(value)) {
    for (const part of parts) {
      const opaque = opaqueIn(part);
      if (opaque !== null) return opaque;
    }
    return null;
  }
  // Of an object in another realm, too, the prototype has none itself.
  const prototype = Object.getPrototypeOf(value);
  return prototype !== null && Object.getPrototypeOf(prototype) !== null
    ? value
    : null;
}

function describeValue(value: unknown): string | undefined {
  try {
    return canonicalize(value);
  } catch {
    // Not for want of a JSON form, where it is half a surrogate pair.
    const json = JSON.stringify(value, (_name, part) => {
      if (typeof part !== "number" || Number.isFinite(part)) return part;
      throw new TypeError(`found ${part}`);
    });
    return `spelt\n${canonicalize(JSON.parse(spellOut(json)))}`;
  }
}

/** SHA-256 of a text or of bytes, as 64 lower-case hexadecimal digits. */
export async function sha256Hex(
  data: string | Uint8Array<ArrayBuffer>,
): Promise<string> {
  const bytes = typeof data === "string"
    ? new TextEncoder().encode(data)
    : data;
  if (bytes.byteLength <= MAX_IN_PLACE_BYTES) return bytesToHex(sha256(bytes));
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return bytesToHex(new Uint8Array(digest));
}

/**
 * Whether the middleware engine keeps the body of a request: then everybody may
 * read it, but by its methods alone, and `bodyUsed` says nothing.
 */
function isBuffered(req: Request): boolean {
  return req.arrayBuffer !== Request.prototype.arrayBuffer;
}

function assertUnread(req: Request): void {
  if (isBuffered(req)) return;
  if (req.bodyUsed || req.body?.locked) throw new BodyConsumedError(req);
}

async function readBody(req: Request): Promise<Uint8Array<ArrayBuffer>> {
  assertUnread(req);
  const tooLarge = () => new RequestTooLargeError(MAX_REQUEST_BYTES);
  const declared = Number(req.headers.get("content-length") ?? 0);
  if (declared > MAX_REQUEST_BYTES) throw tooLarge();
  const bytes = isBuffered(req)
    ? await readBuffered(req)
    : await readStream(req).catch((cause) => {
      throw new BodyIncompleteError(req, cause);
    });
  if (bytes === null || bytes.byteLength > MAX_REQUEST_BYTES) throw tooLarge();
  return bytes;
}

async function readBuffered(req: Request): Promise<Uint8Array<ArrayBuffer>> {
  // By the engine, which can hand it out again, or past it.
  const isTaken = req.bodyUsed || req.body?.locked;
  try {
    return new Uint8Array(await req.arrayBuffer());
  } catch (cause) {
    throw isTaken
      ? new BodyConsumedError(req)
      : new BodyIncompleteError(req, cause);
  }
}

/** `null` where there is more than the most; no more than that is read. */
async function readStream(
  req: Request,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const reader = req.body?.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done = true, value } = await reader?.read() ?? {};
    if (done || value === undefined) break;
    length += value.byteLength;
    if (length > MAX_REQUEST_BYTES) {
      // Not awaited: of a clone it ends only with the original.
      reader?.cancel().catch(() => {});
      return null;
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/** Which fields of a JSON body count, as paths. */
interface Fields {
  readonly ignore: readonly Path[];
  readonly only: readonly Path[] | undefined;
}

async function describeBody(
  bytes: Uint8Array<ArrayBuffer>,
  contentType: string,
  fields: Fields,
): Promise<string> {
  const type = contentType.split(";")[0]!.trim().toLowerCase();
  try {
    if (type === "application/json" || type.endsWith("+json")) {
      const described = describeJson(bytes, fields);
      if (described !== null) return described;
    }
    if (type === "multipart/form-data") {
      return `form\n${await describeForm(bytes, contentType)}`;
    }
  } catch {
    // Malformed: the handler will say so. Its bytes still identify it.
  }
  return `bytes\n${type}\n${await sha256Hex(bytes)}`;
}

/** `null` where the bytes have to do. */
function describeJson(bytes: Uint8Array, fields: Fields): string | null {
  if (bytes.byteLength > MAX_PARSED_BYTES) return null;
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  const { isDeep, isExact, isWellFormed } = examine(text);
  if (isDeep) return null;
  const plain = choose(JSON.parse(text), fields, (name) => name);
  if (isExact && isWellFormed) return `json\n${canonicalize(plain)}`;
  const isWhole = fields.ignore.length === 0 && fields.only === undefined;
  if (!isExact && isWhole) return null;
  const spelt: unknown = JSON.parse(spellOut(text));
  const chosen = choose(spelt, fields, (name) => `s${name}`);
  // A field that does not count must not decide how the others are written.
  const counts = fields.only === undefined
    ? chosen
    : (chosen as unknown[][]).map(([, found]) => found);
  return isPlain(counts)
    ? `json\n${canonicalize(plain)}`
    : `spelt\n${canonicalize(chosen)}`;
}

/** Whether nothing that was spelt out needed it. */
function isPlain(spelt: unknown): boolean {
  if (typeof spelt === "string") {
    return spelt[0] === "n" ? survives(spelt.slice(1)) : spelt[0] !== "h";
  }
  return typeof spelt !== "object" || spelt === null ||
    Object.entries(spelt).every(([name, value]) =>
      (Array.isArray(spelt) || name[0] !== "h") && isPlain(value)
    );
}

async function describeForm(
  bytes: Uint8Array<ArrayBuffer>,
  contentType: string,
): Promise<string | undefined> {
  const headers = { "Content-Type": contentType };
  const form = [...await new Response(bytes, { headers }).formData()];
  // Parsers drop, without a word, a part that they cannot read, and one without
  // an end: forms that differ there would be the same.
  if (form.length !== countParts(bytes, contentType)) {
    throw new TypeError("Cannot tell the form by its parts");
  }
  return canonicalize(
    await Promise.all(
      form.map(async ([name, value]) =>
        typeof value === "string" ? [name, value] : [
          name,
          value.name,
          value.type,
          await sha256Hex(new Uint8Array(await value.arrayBuffer())),
        ]
      ),
    ),
  );
}

/** How many parts begin in a multipart body. */
function countParts(bytes: Uint8Array, contentType: string): number {
  const [, quoted, bare] =
    /;\s*boundary=(?:"([^"]*)"|([^\s;]*))/i.exec(contentType) ?? [];
  const start = new TextEncoder().encode(`--${quoted ?? bare}\r\n`);
  let parts = 0;
  // From its line break backwards: what a file may be full of, dashes and
  // letters, is passed over.
  for (let at = -1; (at = bytes.indexOf(0x0a, at + 1)) >= 0;) {
    let left = start.length;
    const from = at + 1 - left;
    while (left > 0 && bytes[from + left - 1] === start[left - 1]) left--;
    if (left === 0) parts++;
  }
  return parts;
}

/** The names and indices of a JSON Pointer. */
type Path = readonly string[];

function parsePointer(pointer: string): Path {
  if (!/^(\/([^~]|~[01])*)?$/.test(pointer)) {
    throw new TypeError(
      `Cannot find a field by "${pointer}": it is no JSON Pointer (RFC 6901), such as "/items/0/id"`,
    );
  }
  return pointer.split("/").slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** The value without what is ignored, or only what counts of it. */
function choose(
  value: unknown,
  { ignore, only }: Fields,
  spell: (name: string) => string,
): unknown {
  for (const path of ignore) {
    const last = path.at(-1);
    if (last === undefined) return null;
    const holder = valueAt(value, path.slice(0, -1), spell);
    if (valueAt(holder, [last], spell) === undefined) continue;
    if (Array.isArray(holder)) holder[Number(last)] = null;
    else delete (holder as Record<string, unknown>)[spell(last)];
  }
  // What is not there has no value in its list, and null has one.
  return only?.map((path) => {
    const found = valueAt(value, path, spell);
    return found === undefined ? [path] : [path, found];
  }) ?? value;
}

function valueAt(
  value: unknown,
  path: Path,
  spell: (name: string) => string,
): unknown {
  let here = value;
  for (const part of path) {
    if (typeof here !== "object" || here === null) return undefined;
    const name = Array.isArray(here) ? part : spell(part);
    if (Array.isArray(here) && !/^(0|[1-9]\d*)$/.test(name)) return undefined;
    if (!Object.hasOwn(here, name)) return undefined;
    here = (here as Record<string, unknown>)[name];
  }
  return here;
}

/**
 * Whether a JSON text is nested too deep, whether its numbers are exact, and
 * whether its texts are free of half surrogate pairs.
 */
function examine(
  text: string,
): { isDeep: boolean; isExact: boolean; isWellFormed: boolean } {
  let depth = 0;
  let deepest = 0;
  let isExact = true;
  let isWellFormed = true;
  scan(text, (token) => {
    if (token === "[" || token === "{") deepest = Math.max(deepest, ++depth);
    else if (token === "]" || token === "}") depth--;
    else if (isExact && isNumber(token)) isExact = survives(token);
    else if (isWellFormed && hasHalves(token)) isWellFormed = false;
  });
  return { isDeep: deepest > MAX_DEPTH, isExact, isWellFormed };
}

/** Whether a token is a text with half a surrogate pair, which only escapes are. */
function hasHalves(token: string): boolean {
  return token.startsWith('"') && /\\u[dD][89a-fA-F]/.test(token) &&
    /[\ud800-\udfff]/u.test(JSON.parse(token));
}

/**
 * The same JSON with each number as a text, so that none loses a digit when it
 * is parsed, and half surrogate pairs as their escapes, since RFC 8785 has no
 * form for them. Texts are marked too: none may look like another kind's.
 */
function spellOut(text: string): string {
  let spelt = "";
  scan(text, (token) => {
    if (hasHalves(token)) {
      spelt += JSON.stringify(`h${JSON.stringify(JSON.parse(token))}`);
    } else if (token.startsWith('"')) spelt += `"s${token.slice(1)}`;
    else if (!isNumber(token)) spelt += token;
    else spelt += `"n${survives(token) ? Number(token) : token}"`;
  });
  return spelt;
}

/** Visits the texts and numbers of a JSON text whole, the rest by characters. */
function scan(text: string, visit: (token: string) => void): void {
  const number = /[-+.eE\d]+/y;
  for (let at = 0, end; at < text.length; at = end) {
    end = at + 1;
    const first = text[at]!;
    if (first === '"') {
      while (end < text.length && text[end] !== '"') {
        end += text[end] === "\\" ? 2 : 1;
      }
      end += 1;
    } else if (isNumber(first)) {
      number.lastIndex = at;
      number.test(text);
      end = number.lastIndex;
    }
    visit(text.slice(at, end));
  }
}

function isNumber(token: string): boolean {
  return token[0] === "-" || (token[0]! >= "0" && token[0]! <= "9");
}

/** Whether a number is worth exactly what the shortest text of its double is. */
function survives(token: string): boolean {
  // IEEE 754: a decimal of up to 15 digits comes back as it was.
  if (token.length <= 15 && !/e/i.test(token)) return true;
  const double = Number(token);
  return Number.isFinite(double) &&
    worth(token) === worth(String(Math.abs(double)));
}

/** What a decimal is worth without its sign: its digits and their exponent. */
function worth(decimal: string): string {
  const [mantissa = "", exponent = "0"] = decimal.toLowerCase().split("e");
  const [whole = "", fraction = ""] = mantissa.replace("-", "").split(".");
  const digits = whole + fraction;
  let from = 0;
  let to = digits.length;
  while (digits[from] === "0") from++;
  while (to > from && digits[to - 1] === "0") to--;
  if (from === to) return "0";
  const shift = Number(exponent) - fraction.length + digits.length - to;
  return `${digits.slice(from, to)}e${shift}`;
}
