import { IdempotencyError } from "./errors.ts";
import { problemOf, problemResponse } from "./problem.ts";
import { expose } from "./response.ts";

/**
 * The problem document of an {@link IdempotencyError}, for functions that call
 * the ledger without the middleware. Throws any other error on.
 *
 * @param req The request, whose path names this occurrence.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { KeyMissingError } from "./errors.ts";
 * import { refusalResponse } from "./refusal_response.ts";
 *
 * const req = new Request("http://x/pay", { method: "POST" });
 * const response = refusalResponse(new KeyMissingError(), req);
 * assertEquals(response.status, 400);
 * assertEquals((await response.json()).instance, "/pay");
 * ```
 */
export function refusalResponse(error: unknown, req: Request): Response {
  if (!(error instanceof IdempotencyError)) throw error;
  return expose(problemResponse(problemOf(error, new URL(req.url).pathname)));
}
