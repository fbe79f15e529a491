/** Type numbers of Postgres: `timestamp` and `timestamptz`. */
export const TIMESTAMP_OIDS = [1114, 1184] as const;

/**
 * Postgres's text form of a timestamp in the form of its JSON, which is what
 * PostgREST answers: `2026-01-02 03:04:05+00` as `2026-01-02T03:04:05+00:00`.
 */
export function jsonTimestamp(text: string): string {
  return text
    .replace(/^(\d+-\d\d-\d\d) /, "$1T")
    .replace(/(:\d\d(?:\.\d+)?[+-]\d\d)$/, "$1:00");
}
