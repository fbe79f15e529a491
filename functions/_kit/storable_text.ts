import { z } from "zod";

/**
 * A schema for text that is going to be a column: trimmed, 1 to `maxLength`
 * UTF-16 code units, and free of what JSON can say and Postgres cannot store,
 * the character U+0000 and half surrogate pairs.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { storableText } from "./storable_text.ts";
 *
 * const Title = storableText(200);
 * assert(Title.safeParse(" Summer party 🎉 ").success);
 * assert(!Title.safeParse("\0").success);
 * ```
 */
export function storableText(maxLength: number): z.ZodType<string> {
  return z.string().trim().min(1).max(maxLength).refine(
    (text) => text.isWellFormed() && !text.includes("\0"),
    { error: "contains U+0000 or half a surrogate pair" },
  );
}
