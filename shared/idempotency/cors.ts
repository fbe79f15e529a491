import { supabaseCorsHeaders } from "./deps.ts";

/** Response headers that a page on another origin needs to read. */
export const EXPOSED_HEADERS = [
  "Link",
  "Retry-After",
  "X-Idempotency-Missing",
  "X-Idempotency-Replay",
  "X-Idempotency-Stored",
].join(", ");

/**
 * Supabase's CORS headers, with the key headers let in and the replay headers
 * let out. Stock headers let neither pass: a browser then fails where curl
 * works. Hand them to `withSupabase({ cors: { headers: corsHeaders } })`.
 *
 * @example
 * ```ts
 * import { assertStringIncludes } from "@std/assert";
 * import { corsHeaders } from "./cors.ts";
 *
 * const allowed = corsHeaders["Access-Control-Allow-Headers"] ?? "";
 * assertStringIncludes(allowed, "idempotency-key");
 * ```
 */
export const corsHeaders: Record<string, string> = {
  ...supabaseCorsHeaders,
  "Access-Control-Allow-Headers": [
    supabaseCorsHeaders["Access-Control-Allow-Headers"],
    "idempotency-key",
    "x-idempotency-key",
  ].join(", "),
  "Access-Control-Expose-Headers": EXPOSED_HEADERS,
};
