/** Type numbers of Postgres: `timestamp` and `timestamptz`. */
export const TIMESTAMP_OIDS = [1114, 1184] as const;

/**
 * Postgres's text form of a timestamp in the form of its JSON, which is what
 * PostgREST answers.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { jsonTimestamp } from "./timestamps.ts";
 *
 * assertEquals(
 *   jsonTimestamp("2026-01-02 03:04:05.6+00"),
 *   "2026-01-02T03:04:05.6+00:00",
 * );
 * assertEquals(jsonTimestamp("infinity"), "infinity");
 * ```
 */
export function jsonTimestamp(text: string): string {
  return text
    .replace(/^(\d+-\d\d-\d\d) /, "$1T")
    .replace(/(:\d\d(?:\.\d+)?[+-]\d\d)$/, "$1:00");
}
