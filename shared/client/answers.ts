const keys = new WeakMap<Response, string>();

/** Whether an answer repeats the one that an earlier try got. */
export function isReplayed(response: Response): boolean {
  return response.headers.get("x-idempotency-replay") === "true";
}

/** Whether the server has recorded an answer: every retry would get it. */
export function isRecorded(response: Response): boolean {
  return isReplayed(response) ||
    response.headers.get("x-idempotency-stored") === "true";
}

/**
 * The key that the request of an answer was sent under, to send a follow-up of
 * the same intention with. `undefined` where the answer did not come through
 * `createIdempotentFetch`, or its request was left alone.
 */
export function idempotencyKeyOf(response: Response): string | undefined {
  return keys.get(response);
}

/** Notes the key that the request of an answer was sent under. */
export function noteKey(response: Response, key: string): Response {
  keys.set(response, key);
  return response;
}

/** RFC 9457 with the members of this contract, or the `error` of an envelope. */
interface Problem {
  readonly code: string;
  readonly title?: string;
  readonly detail?: string;
  readonly message?: string;
  readonly retryable?: boolean;
  readonly [member: string]: unknown;
}

/**
 * An answer that is no success. Branch on {@link IdempotencyProblemError.code}.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { IdempotencyProblemError } from "./answers.ts";
 *
 * const body = '{"code":"TOO_FEW_CREDITS","detail":"You have 2","balance":2}';
 * const response = new Response(body, { status: 402 });
 * const error = new IdempotencyProblemError(response, body);
 * assertEquals([error.code, error.message], ["TOO_FEW_CREDITS", "You have 2"]);
 * assertEquals([error.retryable, error.members.balance], [false, 2]);
 * ```
 */
export class IdempotencyProblemError extends Error {
  override readonly name = "IdempotencyProblemError";
  /** The HTTP status. */
  declare readonly status: number;
  /** The server's code, or `HTTP_` and the status where it names none. */
  declare readonly code: string;
  /** Short, and the same at every occurrence of the code. */
  declare readonly title: string;
  /** What was attempted, what was wrong, what to do; the message too. */
  declare readonly detail: string;
  /** Whether the same request under the same key may succeed later. */
  declare readonly retryable: boolean;
  /** How long the server asks to wait, in milliseconds, where it says. */
  declare readonly retryAfterMs: number | undefined;
  /** The key that the request was sent under. */
  declare readonly key: string | undefined;
  /** All members of the document, for instance `cost`. */
  declare readonly members: Readonly<Record<string, unknown>>;

  /** @param body The text of the answer's body. */
  constructor(response: Response, body: string) {
    const { status, statusText, headers } = response;
    const members = read(body);
    const wait = retryAfterMs(headers, Date.now());
    const {
      code = `HTTP_${status}`,
      title = statusText || code,
      message = title,
      detail = message,
      retryable = status === 408 || status === 429 || status >= 500 ||
        code === "REQUEST_IN_PROGRESS" ||
        code === "HTTP_409" && wait !== undefined,
    } = members;
    super(detail);
    const key = idempotencyKeyOf(response);
    Object.assign(this, {
      status,
      code,
      title,
      detail,
      retryable,
      key,
      members,
    });
    this.retryAfterMs = wait;
  }
}

/**
 * The typed error of an answer, or `null` of a success. Leaves the body of the
 * answer to be read.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { problemOf } from "./answers.ts";
 *
 * assertEquals((await problemOf(new Response("", { status: 503 })))?.retryable, true);
 * assertEquals(await problemOf(new Response("{}")), null);
 * ```
 */
export async function problemOf(
  response: Response,
): Promise<IdempotencyProblemError | null> {
  return response.status < 400
    ? null
    : new IdempotencyProblemError(response, await response.clone().text());
}

function read(body: string): Partial<Problem> {
  try {
    const json = JSON.parse(body);
    const members: unknown = json.error ?? json;
    return isProblem(members) ? members : {};
  } catch {
    return {};
  }
}

// By hand: this is all that the client has to check, and with a library for it
// nobody could copy the client who does not have that library too.
function isProblem(members: unknown): members is Problem {
  const { code, title = "", detail = "", message = "", retryable = true } =
    Object(members);
  return typeof retryable === "boolean" &&
    [code, title, detail, message].every((text) => typeof text === "string");
}

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
 * import { retryAfterMs } from "./answers.ts";
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
