import {
  CREDIT_CARD_NUMBER_PATTERN,
  EMAIL_ADDRESS_PATTERN,
  type RedactionPattern,
  type RedactionPatterns,
  US_SSN_PATTERN,
} from "@logtape/redaction";

// A line is read by people. The bound also keeps the patterns from being fed
// more than they can look through in a millisecond or two.
const MAX_CHARACTERS = 2_000;

// Names of events, methods, operations, levels: most of what a line consists of.
const PLAIN_WORD = /^(?:[A-Z_]{0,24}|[a-z]{0,24})$/;

/** What is a secret or about a person wherever it stands, the widest first. */
const PATTERNS: RedactionPatterns = [
  // Also one that was cut off before its second dot.
  {
    pattern: /eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,2}/g,
    replacement: "[jwt]",
  },
  {
    pattern: /\b(Bearer|Basic)\s+[^\s"',;]+/gi,
    replacement: "$1 [redacted]",
  },
  // Keys that their makers gave a prefix: Supabase, Stripe, OpenAI, GitHub, Slack.
  {
    pattern:
      /\b(?:sb_secret_|sb_publishable_|sbp_|[sr]k[-_]|whsec_|gh[pousr]_|github_pat_|xox[abprs]-)[A-Za-z0-9_-]{8,}/g,
    replacement: "[key]",
  },
  // scheme://user:password@host
  {
    pattern: /\b([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/@]+@/gi,
    replacement: "$1[redacted]@",
  },
  // password=…, "token": "…", secret is …, password hunter2
  {
    pattern:
      /(pass(?:word|wd|phrase|code)|\bpwd|secret|token|api[-_ ]?key|authorization|cookie|credential|\bcvc|\bcvv)(s?["']?\s{0,3}(?:[:=]|is\b)?\s{0,3}["']?)[^\s"',;)}&[\]]+/gi,
    replacement: "$1$2[redacted]",
  },
  // The key "…" was taken over
  { pattern: /\b(keys?) "[^"]*"/gi, replacement: '$1 "[redacted]"' },
  // Postgres: Key (email)=(ada@example.com) already exists.
  { pattern: /\)=\([^)]*\)/g, replacement: ")=([redacted])" },
  EMAIL_ADDRESS_PATTERN,
  standingAlone(CREDIT_CARD_NUMBER_PATTERN),
  standingAlone(US_SSN_PATTERN),
];

/**
 * A pattern of digits that leaves alone what stands within a word. Trace ids,
 * hashes and UUIDs have so many digits that one in a few hundred holds thirteen
 * in a row with a fitting check digit. The span in a `traceparent` is the one id
 * that may consist of digits alone; it is told by the trace before it.
 */
function standingAlone(
  { pattern, replacement }: RedactionPattern,
): RedactionPattern {
  const before = "(?<![A-Za-z0-9]|[0-9a-f]{32}-)";
  const alone = `${before}(?:${pattern.source})(?![A-Za-z0-9])`;
  return {
    pattern: new RegExp(alone, pattern.flags),
    replacement,
  } as RedactionPattern;
}

/**
 * A text as it may be logged: without tokens, keys, passwords that are called
 * so, e-mail addresses and card numbers, and no longer than 2,000 characters.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { redactText } from "./redact_text.ts";
 *
 * assertEquals(
 *   redactText("refused Bearer abc.def, password: hunter2"),
 *   "refused Bearer [redacted], password: [redacted]",
 * );
 * ```
 */
export function redactText(text: string): string {
  if (PLAIN_WORD.test(text)) return text;
  let redacted = bounded(text);
  for (const { pattern, replacement } of PATTERNS) {
    redacted = typeof replacement === "string"
      ? redacted.replaceAll(pattern, replacement)
      : redacted.replaceAll(pattern, replacement);
  }
  return redacted;
}

/** Cut between words, and not within a number: half a secret fits no pattern. */
function bounded(text: string): string {
  if (text.length <= MAX_CHARACTERS) return text;
  const cut = text.slice(0, MAX_CHARACTERS).replace(/\S*$/, "");
  return `${cut.replace(/(?<![A-Za-z0-9]|[0-9a-f]{4}-)[\d\s-]*$/, "")} …`;
}
