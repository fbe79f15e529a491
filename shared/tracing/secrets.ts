import { createHash, createHmac } from "node:crypto";
import { getEnv } from "./deps.ts";

/** Takes what one request brought in confidence out of a text. */
export type HideSecrets = (text: string) => string;

const KEY_HEADERS = ["idempotency-key", "x-idempotency-key"];

const SCHEMES = new Set(["Basic", "Bearer"]);

// About a person rather than secret.
const ADDRESS_HEADERS = [
  "cf-connecting-ip",
  "true-client-ip",
  "x-forwarded-for",
  "x-real-ip",
];

// Each has its own way below.
const OTHER_HEADERS = [...KEY_HEADERS, "cookie"];

/** Names whose values are nobody's business: of headers, in a query, or as a field of a log line. */
export const SECRET_NAME: RegExp =
  /pass(?:word|wd|phrase|code)|^pwd$|secret|(?:^|[-_])token$|Token$|credential|signature|(?:api|private|signing|encryption|service[-_]?role)[-_]?key$|authorization|cookie|idempotency[-_]?key$|e[-_]?mail|phone|^card|card[-_]?number|^(?:pan|cvc|cvv|iban|ssn)$/i;

/** Names under which a line would tell who somebody is. */
export const USER_ID_NAME: RegExp =
  /^(?:(?:user|sender|recipient|owner|customer)_?id|sub)$/i;

/**
 * What a request carries that must be in no line about it, wherever it turns up
 * again: in the message of an error, in a path, in the name of a step. Patterns
 * find what looks like a secret; this finds what is one.
 *
 * The token is read without being verified: nothing is granted for it here.
 */
export function secretsOf(req: Request): HideSecrets {
  const stands = new Map<string, string>();
  const hide = (value: string | null | undefined, stand: string) => {
    if (!value || value.length < MIN_CHARACTERS) return;
    if (value.length <= MAX_CHARACTERS) stands.set(value, stand);
  };
  for (const [name, value] of req.headers) {
    if (OTHER_HEADERS.includes(name)) continue;
    if (!SECRET_NAME.test(name) && !ADDRESS_HEADERS.includes(name)) continue;
    hide(value, "[redacted]");
    for (const part of value.split(/[\s,]+/)) {
      if (!SCHEMES.has(part)) hide(part, "[redacted]");
    }
  }
  for (const name of KEY_HEADERS) {
    hide(req.headers.get(name)?.replace(/^"(.*)"$/, "$1"), "[key]");
  }
  for (const cookie of req.headers.get("cookie")?.split(/;\s*/) ?? []) {
    const value = cookie.slice(cookie.indexOf("=") + 1);
    hide(value, "[redacted]");
    hide(decoded(value), "[redacted]");
  }
  // As it came, which is how the address has it, and as it is read.
  for (const pair of new URL(req.url).search.slice(1).split("&")) {
    const [[name, value] = ["", ""]] = new URLSearchParams(pair);
    if (!SECRET_NAME.test(name)) continue;
    hide(value, "[redacted]");
    hide(pair.slice(pair.indexOf("=") + 1), "[redacted]");
  }
  for (const [name, value] of claimsOf(req)) {
    if (name === "sub") hide(value, `user ${hashUserId(value)}`);
    else if (SECRET_NAME.test(name)) hide(value, "[redacted]");
  }
  return replacer(stands);
}

/** A text without its percent signs, where they are well-formed. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// Shorter ones are words: to take "on" out of every line helps nobody.
const MIN_CHARACTERS = 3;

// Longer ones make a pattern that the engine refuses, and a line has no room for them.
const MAX_CHARACTERS = 2_000;

function replacer(stands: ReadonlyMap<string, string>): HideSecrets {
  if (stands.size === 0) return (text) => text;
  // The longest first: a token before the part of it that is also elsewhere.
  const values = [...stands.keys()].sort((a, b) => b.length - a.length);
  // Whole words only, for a key may be as short as "abc".
  const pattern = new RegExp(
    `(?<![A-Za-z0-9])(?:${values.map(literally).join("|")})(?![A-Za-z0-9])`,
    "g",
  );
  return (text) => text.replaceAll(pattern, (value) => stands.get(value)!);
}

// RegExp.escape() is too young for the hosted runtime.
function literally(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}

/** Whose token a request carries, hashed; it is not verified here. */
export function userOf(req: Request): string | null {
  const subject = claimsOf(req).find(([name]) => name === "sub")?.[1];
  return subject ? hashUserId(subject) : null;
}

function claimsOf(req: Request): [string, string][] {
  const payload = req.headers.get("authorization")?.split(".")[1];
  if (payload === undefined) return [];
  try {
    const base64 = payload.replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return Object.entries(claims).filter((claim): claim is [string, string] =>
      typeof claim[1] === "string"
    );
  } catch {
    return []; // no token of ours: the gate will say so
  }
}

// 64 bits: two users of one project do not meet in them, and a line stays short.
// One digit at least is a letter, or the hash could be a card number.
const HASH = /(?=\d{0,15}[a-f])[0-9a-f]{16}/;

/**
 * Stands for a user in a log: the same for the same user, and no way back. It
 * is keyed (HMAC-SHA-256) where the secret `LOG_HASH_KEY` is set; otherwise it
 * is plain SHA-256, which whoever has the list of users can compute as well.
 *
 * @returns 16 hexadecimal digits, a letter among them.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { hashUserId } from "./secrets.ts";
 *
 * const user = "7f0c9a52-9d0c-4a31-a4a5-3f5a1e0d8b11";
 * assertEquals(hashUserId(user), hashUserId(user));
 * assertEquals(hashUserId(user).length, 16);
 * ```
 */
export function hashUserId(
  userId: string,
  environment: { get(name: string): string | undefined } = { get: getEnv },
): string {
  const key = environment.get("LOG_HASH_KEY");
  const hash = key ? createHmac("sha256", key) : createHash("sha256");
  return HASH.exec(hash.update(userId).digest("hex"))![0];
}
