import * as z from "zod/mini";
import { idempotencyKeyOf } from "./answers.ts";
import { retryAfterMs } from "./retry_after.ts";

const text = z.optional(z.string());

/** RFC 9457 with the members of this contract, or the `error` of an envelope. */
const Problem = z.looseObject({
  code: z.string(),
  title: text,
  detail: text,
  message: text,
  retryable: z.optional(z.boolean()),
});

/**
 * An answer that is no success. Branch on {@link IdempotencyProblemError.code}.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { IdempotencyProblemError } from "./problem_error.ts";
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
 * import { problemOf } from "./problem_error.ts";
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

function read(body: string): Partial<z.infer<typeof Problem>> {
  try {
    const json = JSON.parse(body);
    return Problem.parse(json.error ?? json);
  } catch {
    return {};
  }
}
