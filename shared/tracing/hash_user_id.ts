import { createHash, createHmac } from "node:crypto";

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
 * import { hashUserId } from "./hash_user_id.ts";
 *
 * const user = "7f0c9a52-9d0c-4a31-a4a5-3f5a1e0d8b11";
 * assertEquals(hashUserId(user), hashUserId(user));
 * assertEquals(hashUserId(user).length, 16);
 * ```
 */
export function hashUserId(
  userId: string,
  environment: Pick<typeof Deno.env, "get"> = Deno.env,
): string {
  const key = environment.get("LOG_HASH_KEY");
  const hash = key ? createHmac("sha256", key) : createHash("sha256");
  return HASH.exec(hash.update(userId).digest("hex"))![0];
}
