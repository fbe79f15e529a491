// Section 3.3.1: at most this many members, and the length that everybody is
// to pass on.
const MAX_MEMBERS = 32;
const MAX_CHARACTERS = 512;

// Section 3.3.1.3: a key of up to 256 characters, "=", and a value of up to 256
// printable ones without "," and "=" that does not end in a space.
const MEMBER =
  /^([a-z0-9][a-z0-9_\-*/@]{0,255})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/**
 * Reads a `tracestate` header: what tracing systems along the way told each
 * other. It is passed on and never looked into, nor logged. What is longer than
 * 512 characters loses its oldest members, which stand at the end.
 *
 * @returns The header to pass on; `null` when it is malformed or empty.
 * @see https://www.w3.org/TR/trace-context/#tracestate-header
 */
export function parseTracestate(header: string | null): string | null {
  const members = (header ?? "").split(",").map((member) =>
    member.replace(/^[ \t]+|[ \t]+$/g, "")
  ).filter((member) => member !== "");
  if (members.length === 0 || members.length > MAX_MEMBERS) return null;
  const keys = new Set<string>();
  for (const member of members) {
    const key = MEMBER.exec(member)?.[1];
    if (key === undefined || keys.has(key)) return null;
    keys.add(key);
  }
  while (members.join(",").length > MAX_CHARACTERS) members.pop();
  return members.join(",") || null;
}
