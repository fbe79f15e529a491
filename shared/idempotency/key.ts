import { parseItem } from "./deps.ts";
import { KeyInvalidError } from "./errors.ts";

const KEY_FORMAT = /^[A-Za-z0-9_-]{3,256}$/;

/** The headers that may carry a key, the standard's own first. */
export const KEY_HEADERS = ["Idempotency-Key", "X-Idempotency-Key"] as const;

/**
 * Whether a value can be an idempotency key: 3–256 characters, each a letter
 * (A–Z), a digit, `-` or `_`.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { isValidIdempotencyKey } from "./key.ts";
 *
 * assert(isValidIdempotencyKey("order-17"));
 * assert(!isValidIdempotencyKey("or der"));
 * ```
 */
export function isValidIdempotencyKey(key: unknown): key is string {
  return typeof key === "string" && KEY_FORMAT.test(key);
}

/**
 * Makes a new key: `idem_` and a random UUID.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { generateIdempotencyKey, isValidIdempotencyKey } from "./key.ts";
 *
 * assert(isValidIdempotencyKey(generateIdempotencyKey()));
 * ```
 */
export function generateIdempotencyKey(): string {
  return `idem_${crypto.randomUUID()}`;
}

/**
 * The idempotency key that a request names, valid or not, or `null` when it
 * names none; {@link isValidIdempotencyKey} judges it. Never throws.
 *
 * Read from `Idempotency-Key`, a structured-field string
 * (draft-ietf-httpapi-idempotency-key-header-07, section 2.1; RFC 9651) or the
 * bare value that most clients send, else from `X-Idempotency-Key`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { getIdempotencyKey } from "./key.ts";
 *
 * const quoted = { headers: { "Idempotency-Key": '"order-17"' } };
 * assertEquals(getIdempotencyKey(new Request("http://x", quoted)), "order-17");
 * assertEquals(getIdempotencyKey(new Request("http://x")), null);
 * ```
 */
export function getIdempotencyKey(req: Request): string | null {
  for (const name of KEY_HEADERS) {
    const value = req.headers.get(name)?.trim();
    if (value !== undefined) return unquoted(value) ?? value;
  }
  return null;
}

/**
 * The idempotency key of a request, or `null` when it has none, as
 * {@link getIdempotencyKey} reads it, and valid.
 *
 * @throws {KeyInvalidError} When the key is malformed or the two headers
 * disagree. A bad key is never taken for none: the request would run
 * unprotected although its sender asked for protection.
 *
 * @example
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { KeyInvalidError } from "./errors.ts";
 * import { readIdempotencyKey } from "./key.ts";
 *
 * const bad = { headers: { "Idempotency-Key": "or der" } };
 * assertThrows(
 *   () => readIdempotencyKey(new Request("http://x", bad)),
 *   KeyInvalidError,
 * );
 * ```
 */
export function readIdempotencyKey(req: Request): string | null {
  const keys = KEY_HEADERS.flatMap((name) => {
    const value = req.headers.get(name);
    return value === null ? [] : [parseKey(value.trim(), name)];
  });
  const [first = null, second = first] = keys;
  if (first !== second) {
    throw new KeyInvalidError(
      `${
        KEY_HEADERS.join(" and ")
      } name different keys, "${first}" and "${second}": send one of them`,
    );
  }
  return first;
}

/** The name under which other stacks know {@link getIdempotencyKey}. */
export const extractIdempotencyKey: typeof getIdempotencyKey =
  getIdempotencyKey;

/**
 * Narrows a value to a valid key.
 *
 * @param source Where the value came from, for the message.
 * @throws {KeyInvalidError} When it is not a valid key.
 */
export function assertIdempotencyKey(
  key: unknown,
  source: string,
): asserts key is string {
  if (isValidIdempotencyKey(key)) return;
  // At most a header's worth of the value goes back to its sender.
  const shown = String(key).slice(0, 64);
  throw new KeyInvalidError(
    `${source} is not a valid idempotency key, got "${shown}": use 3 to 256 letters, digits, "-" or "_"`,
  );
}

function parseKey(value: string, header: string): string {
  const key = unquoted(value);
  if (key === null) {
    throw new KeyInvalidError(
      `${header} starts with a quote but is not a structured-field string: send the key bare or as "key"`,
    );
  }
  assertIdempotencyKey(key, header);
  return key;
}

/** A bare value, or the text of a structured-field string; `null` where it is neither. */
function unquoted(value: string): string | null {
  if (!value.startsWith('"')) return value;
  try {
    const [text] = parseItem(value);
    return typeof text === "string" ? text : null;
  } catch {
    return null;
  }
}
