/** A database error as both drivers raise it. */
interface DatabaseError {
  code?: unknown;
  message?: unknown;
  detail?: unknown;
  hint?: unknown;
}

// lite answers these itself, with the status and code that PostgREST gives them.
const ANSWERED_BY_LITE =
  /^(?:PT...|PGRST|42...|22...|21...|2350[235]|25006|55...|53...)$/;

// The status PostgREST documents for the rest, by class or whole code; else 400.
const STATUS: [RegExp, number][] = [
  [/^08/, 503],
  [/^(?:09|25|2D|38|39|3B|40|54|57|58|F0|HV|XX)/, 500],
  [/^(?:0L|0P|28)/, 403],
  [/^P0001$/, 400],
  [/^P0/, 500],
];

const UNREACHABLE =
  /^(?:E[A-Z]+|CONNECT_TIMEOUT|CONNECTION_(?:CLOSED|ENDED|DESTROYED))$/;

/**
 * lite turns every SQLSTATE that it does not know, check violations and those of
 * one's own included, into a 500 without the code. This gives such an error the
 * form that lite passes on untouched, with PostgREST's status and its own code.
 */
export function asPostgrestError(error: unknown): unknown {
  const { code, message, detail, hint } = (error ?? {}) as DatabaseError;
  if (typeof code !== "string") return error;
  if (UNREACHABLE.test(code)) {
    return passedOn(503, {
      code: "PGRST001",
      message: "Database connection error. Retrying the connection.",
      details: String(message),
      hint: null,
    });
  }
  if (!/^[0-9A-Z]{5}$/.test(code) || ANSWERED_BY_LITE.test(code)) return error;
  const status = STATUS.find(([pattern]) => pattern.test(code))?.[1] ?? 400;
  return passedOn(status, {
    code,
    message,
    details: detail ?? null,
    hint: hint ?? null,
  });
}

function passedOn(status: number, body: Record<string, unknown>): Error {
  return Object.assign(new Error(JSON.stringify(body)), {
    code: "PGRST",
    detail: JSON.stringify({ status, headers: {} }),
  });
}
