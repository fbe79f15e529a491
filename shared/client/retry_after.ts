/**
 * How long an answer asks to wait, in milliseconds: `Retry-After` in seconds or
 * as an HTTP date (RFC 9110, section 10.2.3). `undefined` where it does not say,
 * or not in one of these forms.
 *
 * @param now The present, in milliseconds since 1970.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { retryAfterMs } from "./retry_after.ts";
 *
 * const asks = (value: string) =>
 *   retryAfterMs(new Headers({ "Retry-After": value }), 0);
 * assertEquals(asks("2"), 2000);
 * assertEquals(asks("Thu, 01 Jan 1970 00:00:03 GMT"), 3000);
 * assertEquals(asks("soon"), undefined);
 * ```
 */
export function retryAfterMs(
  headers: Headers,
  now: number,
): number | undefined {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  // Date.parse takes much that is no HTTP date, "1.5" and "-1" among it.
  const at = /GMT$/.test(value) ? Date.parse(value) : NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
