import {
  AlreadyCompletedError,
  IdempotencyError,
  ResponseNotStoredError,
} from "./errors.ts";
import { expose, replayResponse } from "./response.ts";

/** What {@link problemResponse} needs to know. */
export interface Problem {
  /** HTTP status of the answer. */
  status: number;
  /** Machine-readable code, for instance `"REQUEST_IN_PROGRESS"`. */
  code: string;
  /** Short and the same at every occurrence of this code. */
  title: string;
  /** What was attempted, what was wrong, what to do. */
  detail: string;
  /**
   * Whether the same request may succeed later without a change.
   *
   * @default {false}
   */
  retryable?: boolean | undefined;
  /** URI reference of this occurrence; the middleware uses the path. */
  instance?: string | undefined;
  /** Further response headers, for instance `Retry-After` (seconds). */
  headers?: Record<string, string> | undefined;
  /** Further members of the document (RFC 9457, section 3.2). */
  extensions?: Record<string, unknown> | undefined;
}

/** Where the meaning of these answers is written down for people. */
const DESCRIBED_BY =
  "https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/";

/**
 * Builds an `application/problem+json` answer (RFC 9457) with the members
 * `type`, `title`, `status`, `detail`, `code`, `retryable` and, when given,
 * `instance`, and a `Link` to the description of the contract
 * (draft-ietf-httpapi-idempotency-key-header, section 2.7).
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { problemResponse } from "./problem.ts";
 *
 * const response = problemResponse({
 *   status: 404,
 *   code: "DOCUMENT_NOT_FOUND",
 *   title: "Document not found",
 *   detail: "No document of yours has this id: check the id and try again",
 * });
 * assertEquals(response.headers.get("content-type"), "application/problem+json");
 * assertEquals((await response.json()).code, "DOCUMENT_NOT_FOUND");
 * ```
 */
export function problemResponse(problem: Problem): Response {
  const { status, code, title, detail, instance, retryable = false } = problem;
  const body = {
    type: `urn:problem-type:${code.toLowerCase().replaceAll("_", "-")}`,
    title,
    status,
    detail,
    ...(instance === undefined ? {} : { instance }),
    code,
    retryable,
    ...problem.extensions,
  };
  return new Response(JSON.stringify(body), {
    status,
    // As `toResponse` has it: refusals are given more headers later.
    headers: new Headers({
      ...problem.headers,
      "Content-Type": "application/problem+json",
      "Link": `<${DESCRIBED_BY}>; rel="describedby"`,
    }),
  });
}

/**
 * The problem document of an {@link IdempotencyError}, with `Retry-After`
 * where the error says how long to wait.
 *
 * @param instance Path of the request, or another URI reference to it.
 */
export function problemOf(error: IdempotencyError, instance?: string): Problem {
  const { status, code, title, message, retryable, retryAfterSeconds } = error;
  const headers: Record<string, string> = {};
  if (retryAfterSeconds !== undefined) {
    headers["Retry-After"] = String(retryAfterSeconds);
  }
  const extensions: Record<string, unknown> = {};
  if (error instanceof ResponseNotStoredError) {
    extensions["storedStatus"] = error.storedStatus;
    if (error.location !== undefined) headers["Location"] = error.location;
  }
  return {
    status,
    code,
    title,
    detail: message,
    retryable,
    headers,
    extensions,
    ...(instance === undefined ? {} : { instance }),
  };
}

/**
 * The response of an error of this module, for functions that call the ledger
 * without the middleware: the problem document of an {@link IdempotencyError},
 * the recorded answer of an {@link AlreadyCompletedError}. Throws any other
 * error on.
 *
 * @param req The request, whose path names this occurrence.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { KeyMissingError } from "./errors.ts";
 * import { refusalResponse } from "./problem.ts";
 *
 * const req = new Request("http://x/pay", { method: "POST" });
 * const response = refusalResponse(new KeyMissingError(), req);
 * assertEquals(response.status, 400);
 * assertEquals((await response.json()).instance, "/pay");
 * ```
 */
export function refusalResponse(error: unknown, req: Request): Response {
  if (error instanceof AlreadyCompletedError) {
    const { response, status_code, response_headers } = error.cachedResponse;
    return replayResponse({
      status: status_code,
      headers: response_headers,
      body: new TextEncoder().encode(response),
    });
  }
  if (!(error instanceof IdempotencyError)) throw error;
  return expose(problemResponse(problemOf(error, new URL(req.url).pathname)));
}
