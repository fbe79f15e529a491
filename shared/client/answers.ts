/** How the request of an answer was sent. */
export interface Sent {
  readonly key: string;
  /** How often, up to this answer. */
  readonly count: number;
}

const sendings = new WeakMap<Response, Sent>();

function isMarked({ headers }: Response, name: string): boolean {
  return headers.get(`x-idempotency-${name}`) === "true";
}

/** Whether an answer repeats the one that an earlier try got. */
export function isReplayed(response: Response): boolean {
  return isMarked(response, "replay");
}

/** Whether the server has recorded an answer: every retry would get it. */
export function isRecorded(response: Response): boolean {
  return isReplayed(response) || isMarked(response, "stored");
}

// But for what the server does not record: see docs/reference.md.
export const FINAL_REFUSALS: RegExp = /^4(?!0[1389]|2[59])/;

// Refusals before anything was done: IDEMPOTENCY_…, RESPONSE_NOT_STORED,
// LEDGER_UNAVAILABLE, REQUEST_IN_PROGRESS; the last two may be sent again. Not
// LEDGER_MISCONFIGURED, which says nothing of what an earlier try has done.
const REFUSED = /^(IDEMPOTENCY_|RESPONSE_NOT|LEDGER_U|REQUEST_IN_)/;

/**
 * Whether an answer is one that only a protected function gives: by the headers
 * of what is recorded, and the codes of refusals. Not by what CORS headers say,
 * since a project may answer with the same ones everywhere; nor by a code alone,
 * since a function may hand on what another one answered it.
 */
export function isFromProtected(
  response: Response,
  refusal: Refusal | undefined,
): boolean {
  return isRecorded(response) ||
    response.headers.has("link") && REFUSED.test(refusal?.code ?? "");
}

/**
 * The key that the request of an answer was sent under, to send a follow-up of
 * the same intention with. `undefined` where the answer did not come through
 * `createIdempotentFetch`, or its request was left alone.
 */
export function idempotencyKeyOf(response: Response): string | undefined {
  return sentOf(response)?.key;
}

/** What {@link noteSent} has noted of an answer. */
export function sentOf(response: Response): Sent | undefined {
  return sendings.get(response);
}

/** Notes how the request of an answer was sent. */
export function noteSent(response: Response, sent: Sent): Response {
  sendings.set(response, sent);
  return response;
}

/** What an answer that is no success says to a client that may send again. */
export interface Refusal {
  /** The server's code, or `HTTP_` and the status where it names none. */
  readonly code: string;
  /** Whether the same request under the same key may succeed later. */
  readonly retryable: boolean;
  /** How long the server asks to wait, in milliseconds, where it says. */
  readonly retryAfterMs: number | undefined;
  /** All members of the problem document, for instance `cost`. */
  readonly members: Readonly<Record<string, unknown>>;
}

/** Reads an answer's refusal; `undefined` of a success. Leaves the body unread. */
export async function refusalOf(
  response: Response,
  isProtected: boolean,
): Promise<Refusal | undefined> {
  if (response.status < 400) return;
  return readRefusal(
    response,
    isProtected || response.headers.has("link")
      ? await response.clone().text()
      : "",
  );
}

function readRefusal({ status, headers }: Response, body: string): Refusal {
  const retryAfterMs = waitOf(headers, Date.now());
  let members: Problem = {};
  try {
    const json = JSON.parse(body);
    const found = json.error?.code ? json.error : json;
    const { code = "", retryable = true } = found;
    // By hand: this is all that the client has to check, and with a library for
    // it nobody could copy the client who does not have that library too.
    if (typeof code === "string" && typeof retryable === "boolean") {
      members = { ...found };
    }
  } catch {
    // Not ours: told by its status.
  }
  const {
    code = `HTTP_${status}`,
    retryable = /408|429|5../.test(`${status}`) ||
      code === "REQUEST_IN_PROGRESS" ||
      status === 409 && retryAfterMs! >= 0,
  } = members;
  return { code, retryable, retryAfterMs, members };
}

/** RFC 9457 with the members of this contract, or the `error` of an envelope. */
interface Problem {
  readonly code?: string;
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
 * assertEquals([error.retryable, error.members["balance"]], [false, 2]);
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
  /** How often the request was sent, where the client sent it. */
  declare readonly count: number | undefined;
  /** Whether the server has recorded it: every retry would get it. */
  declare readonly recorded: boolean;
  /** All members of the document, for instance `cost`. */
  declare readonly members: Readonly<Record<string, unknown>>;

  /** @param body The text of the answer's body. */
  constructor(response: Response, body: string) {
    const refusal = readRefusal(response, body);
    const { title, detail, message } = refusal.members;
    const named = textOf(title) ?? (response.statusText || refusal.code);
    const said = textOf(detail) ?? textOf(message) ?? named;
    super(said);
    const { key, count } = sentOf(response) ?? {} as Partial<Sent>;
    const { status } = response;
    Object.assign(this, {
      status,
      title: named,
      detail: said,
      key,
      count,
      recorded: isRecorded(response),
      ...refusal,
    });
  }
}

/**
 * Whether an attempt has its answer with an error that its sending ended in.
 * What is no answer says nothing of what the server has done; nor does a refusal
 * of what was sent beside it, under another key.
 *
 * @param own The key of the attempt.
 * @param isFirst Whether no earlier sending of the attempt can have taken
 * effect.
 */
export function endsAttempt(
  error: unknown,
  own: string,
  isFirst: boolean,
): boolean {
  if (!(error instanceof IdempotencyProblemError)) return false;
  const { recorded, retryable, code, status, key = own, count = 1 } = error;
  return key === own && (recorded || !retryable &&
      (REFUSED.test(code) ||
        isFirst && count < 2 && FINAL_REFUSALS.test(`${status}`)));
}

function textOf(member: unknown): string | undefined {
  return typeof member === "string" ? member : undefined;
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
 * import { waitOf } from "./answers.ts";
 *
 * const asks = (value: string) =>
 *   waitOf(new Headers({ "Retry-After": value }), 0);
 * assertEquals(asks("2"), 2000);
 * assertEquals(asks("Thu, 01 Jan 1970 00:00:03 GMT"), 3000);
 * assertEquals(asks("soon"), undefined);
 * ```
 */
export function waitOf(headers: Headers, now: number): number | undefined {
  const value = `${headers.get("retry-after")}`;
  // Date.parse takes much that is no HTTP date, "1.5" and "-1" among it.
  const ms = /^\d+$/.test(value)
    ? Number(value) * 1000
    : /GMT$/.test(value)
    ? Math.max(0, Date.parse(value) - now)
    : NaN;
  return ms >= 0 ? ms : undefined;
}
