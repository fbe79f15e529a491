import { z } from "zod";

const ErrorAnswer = z.object({ error: z.object({ message: z.string() }) });

// What a sentence or two take; a page of HTML is no reason.
const MAX_REASON_LENGTH = 200;

// The providers' own form of keys: what they quote of one is often not exactly
// the key, but its ends with stars between.
const KEY_LIKE = /\b(?:sk|key|Bearer)[-_ ][^\s"']+/gi;

/**
 * The provider's reason for a refusal, to be put behind a message: short, and
 * without keys. Of a refusal that is about our credentials, nothing is told.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { refusalReason } from "./refusal_reason.ts";
 *
 * const answer = '{"error":{"message":"No model m1"}}';
 * assertEquals(refusalReason(400, answer, "sk-1"), ": No model m1");
 * assertEquals(refusalReason(401, answer, "sk-1"), ": the credentials of this project");
 * ```
 */
export function refusalReason(
  status: number,
  answer: string,
  apiKey: string,
): string {
  if (status === 401 || status === 403) {
    return ": the credentials of this project";
  }
  let message: string;
  try {
    message = ErrorAnswer.parse(JSON.parse(answer)).error.message;
  } catch {
    return "";
  }
  const clean = message
    .replaceAll(apiKey || /$^/g, "[key]")
    .replace(KEY_LIKE, "[key]")
    .replace(/[\p{Cc}\s]+/gu, " ")
    .trim();
  return `: ${Array.from(clean).slice(0, MAX_REASON_LENGTH).join("")}`;
}
