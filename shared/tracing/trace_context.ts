/** What a `traceparent` header says: which trace, and who asks within it. */
export interface Traceparent {
  /** 32 lower-case hexadecimal digits, not all of them zero. */
  readonly traceId: string;
  /** The caller's span: 16 lower-case hexadecimal digits, not all zero. */
  readonly spanId: string;
  /** Whether the caller records this trace. */
  readonly sampled: boolean;
}

const VERSION_00 = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

// Section 3.2.4: of a later version, the fields of this one are read, and
// whatever a dash sets apart behind them is left. Version ff is forbidden.
const LATER_VERSION =
  /^(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/;

const SAMPLED = 0x01;

/**
 * Reads a `traceparent` header as W3C Trace Context demands: anything that is
 * not exactly one is no trace at all, rather than half of one.
 *
 * @see https://www.w3.org/TR/trace-context/#traceparent-header
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseTraceparent } from "./trace_context.ts";
 *
 * const header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
 * assertEquals(parseTraceparent(header)?.sampled, true);
 * assertEquals(parseTraceparent(header.toUpperCase()), null);
 * ```
 */
export function parseTraceparent(header: string | null): Traceparent | null {
  const fields = VERSION_00.exec(header ?? "") ??
    LATER_VERSION.exec(header ?? "");
  if (fields === null) return null;
  const [, traceId, spanId, flags] = fields;
  if (!isTraceId(traceId!) || isZero(spanId!)) return null;
  const sampled = (parseInt(flags!, 16) & SAMPLED) === SAMPLED;
  return { traceId: traceId!, spanId: spanId!, sampled };
}

/** Writes a `traceparent` header of version 00. */
export function formatTraceparent(
  { traceId, spanId, sampled }: Traceparent,
): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

/** Whether a text is 32 lower-case hexadecimal digits, not all of them zero. */
export function isTraceId(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text) && !isZero(text);
}

/** A trace id that nobody else has. */
export function newTraceId(): string {
  return randomHex(16);
}

/**
 * A span id that nobody else has in its trace, with a letter in it: sixteen
 * decimal digits could be a card number.
 */
export function newSpanId(): string {
  const id = randomHex(8);
  return /[a-f]/.test(id) ? id : newSpanId();
}

function randomHex(bytes: number): string {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  // A span or trace of zeros only would be none.
  random[0]! ||= 1;
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

function isZero(digits: string): boolean {
  return /^0+$/.test(digits);
}

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
