import {
  AccountGoneError,
  IdempotencyError,
  type Problem,
  problemResponse,
  refusalResponse,
} from "../../shared/idempotency.ts";
import { StoreError } from "./store_error.ts";

/** A request that is refused before anything was done. */
export class Refusal extends Error {
  override readonly name = "Refusal";

  constructor(readonly problem: Problem, options?: ErrorOptions) {
    super(problem.detail, options);
  }
}

/** The refusal of a path at which nothing is served. */
export function routeNotFound(path: string): Refusal {
  return new Refusal({
    status: 404,
    code: "ROUTE_NOT_FOUND",
    title: "Route not found",
    detail: `Nothing is served at ${path}: check the path`,
  });
}

/** How each error code of a domain is told over HTTP. */
export type ProblemTable<Code extends string> = Record<
  Code,
  Pick<Problem, "status" | "title" | "retryable" | "headers">
>;

// What is named is no id, or is not there, or the permission lacks: that stays so.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
const REFUSED_FOR_GOOD = /^(22P02|23503|42501)$/;

/**
 * Whether a row could not be written because the account that it is to belong to
 * was deleted. Where a row names other users, its domain tells of those before.
 */
function isAccountGone({ code, details }: StoreError["cause"]): boolean {
  return code === "23503" && details?.includes(' in table "users"') === true;
}

/**
 * Whether who asks is another issuer's user. Ids in a request are checked before:
 * what is no UUID is the caller's own.
 */
function isForeign({ code, message }: StoreError["cause"]): boolean {
  return code === "22P02" && message.includes(" type uuid");
}

// Long enough for a database to be back from a restart or a fail-over.
const RETRY_AFTER_SECONDS = 5;

/**
 * The answer to an error that a route expects: a {@link Refusal}, an
 * `IdempotencyError`, a database that failed or refused, or an error whose code
 * is in the table. Throws any other on.
 *
 * @param req The request, whose path names this occurrence in the answer.
 */
export function refuse<Code extends string>(
  error: unknown,
  table: ProblemTable<Code>,
  req: Request,
): Response {
  const instance = new URL(req.url).pathname;
  if (error instanceof Refusal) {
    return problemResponse({ ...error.problem, instance });
  }
  if (error instanceof IdempotencyError) return refusalResponse(error, req);
  if (error instanceof StoreError) {
    console.error(error.message);
    if (isAccountGone(error.cause)) {
      return refusalResponse(new AccountGoneError(error), req);
    }
    if (isForeign(error.cause)) {
      return problemResponse({
        status: 403,
        code: "ACCOUNT_UNKNOWN",
        title: "Account unknown",
        detail:
          "This function is for users of this project's Auth, and your token names none: sign in there",
        retryable: false,
        instance,
      });
    }
    if (REFUSED_FOR_GOOD.test(`${error.cause.code}`)) {
      return problemResponse({
        status: 500,
        code: "DATABASE_REFUSED",
        title: "Database refused the request",
        detail:
          `The database refuses this and would again (${error.cause.code}): do not send it again, tell whoever runs the function`,
        retryable: false,
        instance,
      });
    }
    return problemResponse({
      status: 503,
      code: "DATABASE_UNAVAILABLE",
      title: "Database unavailable",
      detail: "The database did not do its part: send the same request again",
      retryable: true,
      instance,
      headers: { "Retry-After": String(RETRY_AFTER_SECONDS) },
    });
  }
  if (hasCodeOf(error, table)) {
    const { code, message } = error;
    return problemResponse({ ...table[code], code, detail: message, instance });
  }
  throw error;
}

function hasCodeOf<Code extends string>(
  error: unknown,
  table: ProblemTable<Code>,
): error is Error & { code: Code } {
  return error instanceof Error && "code" in error &&
    typeof error.code === "string" && Object.hasOwn(table, error.code);
}
