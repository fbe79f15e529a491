import {
  CREDIT_CARD_NUMBER_PATTERN,
  EMAIL_ADDRESS_PATTERN,
  type LogRecord,
  redactByField,
  type RedactionPattern,
  type RedactionPatterns,
  type Sink,
  US_SSN_PATTERN,
} from "./deps.ts";
import { currentScope, scopeFields } from "./scope.ts";
import {
  decoded,
  hashUserId,
  type HideSecrets,
  SECRET_NAME,
  USER_ID_NAME,
} from "./secrets.ts";

/**
 * A LogTape sink behind which no line holds a secret: fields that are called
 * like one are masked, user ids hashed, and every text is searched for what the
 * request brought in confidence and for what looks like a secret.
 *
 * It is part of what `withTracing` sets up. A project that configures LogTape by
 * itself wraps its own sinks.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import type { LogRecord } from "@logtape/logtape";
 * import { redacting } from "./redaction.ts";
 *
 * const seen: LogRecord[] = [];
 * redacting((record) => seen.push(record))({
 *   category: ["app"],
 *   level: "info",
 *   timestamp: 0,
 *   message: ["Sent to ada@example.com"],
 *   rawMessage: "Sent to ada@example.com",
 *   properties: { password: "hunter2", attempts: 3 },
 * });
 * assertEquals(seen[0]?.message, ["Sent to REDACTED@EMAIL.ADDRESS"]);
 * assertEquals(seen[0]?.properties, { password: "[redacted]", attempts: 3 });
 * ```
 */
export function redacting(sink: Sink): Sink {
  // Last, for the names of a message's fields are read from it as it was written.
  const last: Sink = (record) => {
    const { rawMessage } = record;
    if (typeof rawMessage !== "string" || EVENTS.has(rawMessage)) {
      return sink(record);
    }
    sink({ ...record, rawMessage: redactText(hiding()(rawMessage)) });
  };
  const byName = redactByField(
    redactByField(last, {
      fieldPatterns: [SECRET_NAME],
      action: () => "[redacted]",
    }),
    {
      fieldPatterns: [USER_ID_NAME],
      action: (id) =>
        typeof id === "string" ? HASHED.exec(id)?.[1] ?? hashUserId(id) : id,
    },
  );
  const wrapped: Sink = (record) => {
    const hide = hiding();
    let redacted: Pick<LogRecord, "message" | "properties">;
    try {
      redacted = {
        message: record.message.map((part) =>
          EVENTS.has(part) ? part : loggable(part, hide)
        ),
        properties: loggable(record.properties, hide) as Record<
          string,
          unknown
        >,
      };
    } catch {
      // A getter threw. What is logged must not fail for that.
      const scope = currentScope();
      const properties = { ...(scope && scopeFields(scope)) };
      redacted = { message: ["UNREADABLE"], properties };
    }
    byName({ ...record, ...redacted });
  };
  // What a sink holds back it writes when LogTape disposes of it.
  for (const symbol of [Symbol.dispose, Symbol.asyncDispose]) {
    if (symbol in sink) Reflect.set(wrapped, symbol, Reflect.get(sink, symbol));
  }
  return wrapped;
}

/** Hides what the request under way brought. */
function hiding(): HideSecrets {
  return currentScope()?.hide ?? ((text) => text);
}

// As secretsOf puts it in the place of a user id.
const HASHED = /^user ([0-9a-f]{16})$/;

// What monitoring counts by. Hidden, a caller whose key is REQUEST_COMPLETE would not be counted.
const EVENTS: ReadonlySet<unknown> = new Set([
  "DATABASE_OPERATION",
  "EXTERNAL_CALL",
  "LOG",
  "OPERATION",
  "REQUEST_COMPLETE",
  "REQUEST_INCOMING",
]);

// A line tells what happened, it is no dump of it.
const MAX_DEPTH = 6;
const MAX_VALUES = 300;
const MAX_FRAMES = 5;

// Ids that come from elsewhere (a caller, OpenTelemetry, the ledger's events): one
// that happens to look like a card number is none.
const ID_NAME =
  /^(?:traceId|w3cTraceId|originalTraceId|spanId|parentSpanId|keyHash)$/;
const SPAN_ID = /^[0-9a-f]{16}$/;
const TRACE_ID =
  /^(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;

/** Whether a text is by its form 32 hexadecimal digits or a UUID. */
export function looksLikeTraceId(text: string): boolean {
  return TRACE_ID.test(text);
}

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
    if (typeof value === "bigint") return text(String(value));
    // A card number that JSON had without quotes.
    if (typeof value === "number" && value > 1e11) {
      const shown = text(String(value));
      return shown === String(value) ? value : shown;
    }
    if (typeof value !== "object" || value === null) return value;
    if (value instanceof Date) return value;
    // As numbers no pattern would find what is in them.
    if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
    if (depth > MAX_DEPTH || left <= 0) return "[…]";
    if (value instanceof Error) return walkError(value, depth);
    if (value instanceof URL) return text(value.href);
    if (value instanceof Set) return walk([...value], depth);
    if (value instanceof Map || value instanceof Headers) {
      return walk(
        Object.fromEntries(value as Iterable<[string, unknown]>),
        depth,
      );
    }
    if (Array.isArray(value)) {
      return value.slice(0, left)
        .map((item) => (left--, walk(item, depth + 1)));
    }
    return Object.fromEntries(
      Object.entries(value).slice(0, left).map(([name, item]) => [
        text(name),
        (left--, named(name, item, depth + 1)),
      ]),
    );
  };

  // As it is, before a pattern makes one user id of all that are e-mail addresses.
  const named = (name: string, value: unknown, depth: number) =>
    isId(name, value)
      ? value
      : SECRET_NAME.test(name)
      ? "[redacted]"
      : USER_ID_NAME.test(name) && typeof value === "string"
      ? `user ${hashUserId(value)}`
      : walk(value, depth);

  // The message apart from the stack, whose first lines repeat it.
  const walkError = (error: Error, depth: number) => {
    const { name, message, stack, cause } = error;
    const code = "code" in error ? error.code : undefined;
    const errors = error instanceof AggregateError ? error.errors : undefined;
    const at = `${stack ?? ""}`.split("\n").filter((line) =>
      /^\s+at /.test(line)
    )
      .slice(0, MAX_FRAMES)
      .map((line) => text(line.trim()));
    return {
      name: walk(name, depth),
      message: walk(message, depth + 1),
      ...(typeof code === "string" || typeof code === "number"
        ? { code: walk(code, depth) }
        : {}),
      ...(at.length === 0 ? {} : { at }),
      ...(cause === undefined ? {} : { cause: walk(cause, depth + 1) }),
      ...(errors === undefined ? {} : { errors: walk(errors, depth + 1) }),
    };
  };

  return walk(value, 0);
}

function isId(name: string, value: unknown): boolean {
  return ID_NAME.test(name) && typeof value === "string" &&
    (SPAN_ID.test(value) || TRACE_ID.test(value));
}

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
  // Also one that was cut off, or stands in JSON.
  {
    pattern:
      /-----BEGIN [A-Z ]*PRIVATE KEY-----[^]*?(?:-----END [A-Z ]*-----|$)/g,
    replacement: "[key]",
  },
  // Keys that their makers gave a prefix: Supabase, Stripe, OpenAI, GitHub, Slack,
  // Google, SendGrid.
  {
    pattern:
      /\b(?:sb_secret_|sb_publishable_|sbp_|[sr]k[-_]|whsec_|gh[pousr]_|github_pat_|xox[abprs]-|AIza|SG\.[A-Za-z0-9_-]{8,}\.)[A-Za-z0-9_-]{8,}/g,
    replacement: "[key]",
  },
  // Cookie: a=b; c=d, Set-Cookie: a=b; Path=/
  {
    pattern: /(\bcookie["']?\s{0,3}:\s{0,3}["']?)[^"'\r\n]+/gi,
    replacement: "$1[redacted]",
  },
  // The address of a Slack webhook is all that its sender needs.
  {
    pattern: /(\/services\/T[A-Z0-9]+\/B[A-Z0-9]+\/)[A-Za-z0-9]+/g,
    replacement: "$1[redacted]",
  },
  // scheme://user:password@host, also with an @ in the password
  {
    pattern: /\b([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/]+@/gi,
    replacement: "$1[redacted]@",
  },
  // An address that whoever has it may call: fetch() names it in its errors.
  {
    pattern: /([?&][\w.-]{0,30}(?:key|sig|signature)=)[^\s&#"')]+/gi,
    replacement: "$1[redacted]",
  },
  // password=…, "token": "…", secret is …, password hunter2, secret_1a2b…; but not
  // a name that goes on in letters: push_tokens, /password/reset, tokenization
  // Within quotes it goes on to the closing one, also in JSON within JSON.
  {
    pattern:
      /((?:pass(?:word|wd|phrase|code)|\bpwd|secret|token|api[-_ ]?key|authorization|cookie|credential|\bcvc|\bcvv)(?:s\b|(?!s\b|[a-z_/-]{1,15}(?:[\s"',;)}&[\]]|$))))((?:\\{0,7}["'])?\s{0,3}(?:[:=]|is\b)?\s{0,3})(?:(?<=[:=]\s{0,3})(\\{0,7}["'])(?:(?!\3)(?:\\[^]|[^\\]))+|(\\{0,7}["'])?(?!\\+["'])[^\s"',;)}&[\]]+)/gi,
    replacement: "$1$2$3$4[redacted]",
  },
  // The key "…" was taken over
  { pattern: /\b(keys?) "[^"]*"/gi, replacement: '$1 "[redacted]"' },
  // Postgres: Key (phone)=((555) 0100) already exists. Failing row contains (…).
  {
    pattern: /\)=\((?:.*?\)(?=\.| already | is | conflicts )|[^)]*\)?)/g,
    replacement: ")=([redacted])",
  },
  // To the end: nothing says where a row's own brackets end.
  {
    pattern: /(failing row contains) \([^]*/gi,
    replacement: "$1 ([redacted])",
  },
  EMAIL_ADDRESS_PATTERN,
  standingAlone(CREDIT_CARD_NUMBER_PATTERN),
  standingAlone(US_SSN_PATTERN),
];

/**
 * A pattern of digits that leaves alone what stands within a word. Trace ids,
 * hashes and UUIDs have so many digits that one in a few hundred holds thirteen
 * in a row with a fitting check digit. The span in a `traceparent` is the one id
 * that may consist of digits alone; it is told by the trace before it. Times since
 * 1970 begin with a 1 (in milliseconds, microseconds and nanoseconds); no card of
 * 13, 16 or 19 digits does.
 */
function standingAlone(
  { pattern, replacement }: RedactionPattern,
): RedactionPattern {
  const before =
    "(?<![A-Za-z0-9]|[0-9a-f]{32}-)(?!1\\d{12}(?:\\d{3}){0,2}(?!\\d))";
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
 * import { redactText } from "./redaction.ts";
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

const MAX_SEGMENT = 40;

/**
 * The path of an address as it may be logged: without query and fragment, which
 * is where secrets travel, and without segments that may be one.
 */
export function pathOf(address: string): string {
  const [path = ""] = address.split(/[?#]/);
  return path.split("/").map((segment) => {
    const text = decoded(segment);
    return text.length > MAX_SEGMENT || /[@:\s]/.test(text)
      ? "[redacted]"
      : segment;
  }).join("/");
}
