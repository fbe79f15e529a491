// One encoding by its own path: the package's main module loads a table of
// every model as well.
import { countTokens as count } from "gpt-tokenizer/encoding/o200k_base";

/** The encoding that {@link countTokens} counts in: that of GPT-4o and later. */
export const ENCODING = "o200k_base";

/**
 * How many tokens a text has. What looks like a control token, such as
 * `<|endoftext|>`, counts as the text it is.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { countTokens } from "./count_tokens.ts";
 *
 * assertEquals(countTokens("idempotency key"), 4);
 * ```
 */
export function countTokens(text: string): number {
  return count(text, { disallowedSpecial: new Set() });
}
