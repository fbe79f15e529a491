import { redactText } from "./redact_text.ts";
import type { HideSecrets } from "./request_secrets.ts";

// A line tells what happened, it is no dump of it.
const MAX_DEPTH = 6;
const MAX_VALUES = 300;
const MAX_FRAMES = 5;

// Ids that come from elsewhere (a caller, OpenTelemetry, the ledger's events): one
// that happens to look like a card number is none.
const ID_NAME = /^(?:traceId|originalTraceId|spanId|parentSpanId|keyHash)$/;
const HEX = /^[0-9a-f]{16}(?:[0-9a-f]{16})?$/;

/**
 * A value as it may be logged: texts redacted, errors told by name, message,
 * code and where they came from, all of it bounded.
 *
 * @param hide Takes out what the request brought in confidence.
 */
export function loggable(value: unknown, hide: HideSecrets): unknown {
  const text = (raw: string) => redactText(hide(raw));
  let left = MAX_VALUES;

  const walk = (value: unknown, depth: number): unknown => {
    if (typeof value === "string") return text(value);
    if (typeof value === "bigint") return String(value);
    if (typeof value !== "object" || value === null) return value;
    if (value instanceof Date) return value;
    if (depth > MAX_DEPTH || left <= 0) return "[…]";
    if (value instanceof Error) return walkError(value, depth);
    if (Array.isArray(value)) {
      return value.slice(0, left)
        .map((item) => (left--, walk(item, depth + 1)));
    }
    return Object.fromEntries(
      Object.entries(value).slice(0, left).map(([name, item]) => [
        text(name),
        (left--, isId(name, item) ? item : walk(item, depth + 1)),
      ]),
    );
  };

  // The message apart from the stack, whose first lines repeat it.
  const walkError = (error: Error, depth: number) => {
    const { name, message, stack = "", cause } = error;
    const code = "code" in error ? error.code : undefined;
    const at = stack.split("\n").filter((line) => /^\s+at /.test(line))
      .slice(0, MAX_FRAMES)
      .map((line) => text(line.trim()));
    return {
      name: text(name),
      message: text(message),
      ...(typeof code === "string" || typeof code === "number"
        ? { code: walk(code, depth) }
        : {}),
      ...(at.length === 0 ? {} : { at }),
      ...(cause === undefined ? {} : { cause: walk(cause, depth + 1) }),
    };
  };

  return walk(value, 0);
}

function isId(name: string, value: unknown): boolean {
  return ID_NAME.test(name) && typeof value === "string" && HEX.test(value);
}
