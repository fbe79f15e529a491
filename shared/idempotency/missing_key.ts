import { type Enforcement, enforcementOf } from "./enforcement.ts";
import { KeyMissingError } from "./errors.ts";
import { type IdempotencyEvent, reportMissing } from "./event.ts";
import { expose } from "./response.ts";

/**
 * Admits a request without a key, or not, as the environment says or else the
 * code. For functions that call the ledger themselves; `withIdempotency` does
 * it by itself.
 *
 * @param configured What the code says.
 * @param onEvent Told of the request, with the outcome `missing`.
 * @returns Marks the answer with `X-Idempotency-Missing: true` where clients
 * are to be warned, and else gives it back as it is.
 * @throws {KeyMissingError} Where a key is required.
 *
 * @example
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { KeyMissingError } from "./errors.ts";
 * import { admitWithoutKey } from "./missing_key.ts";
 *
 * const mark = admitWithoutKey("orders", "warn");
 * const answer = mark(new Response("done"));
 * assertEquals(answer.headers.get("X-Idempotency-Missing"), "true");
 * assertThrows(() => admitWithoutKey("orders", "required"), KeyMissingError);
 * ```
 */
export function admitWithoutKey(
  scope: string,
  configured: Enforcement,
  onEvent?: (event: IdempotencyEvent) => void,
): (answer: Response) => Response {
  const enforcement = enforcementOf(scope, configured);
  reportMissing(scope, enforcement, onEvent);
  if (enforcement === "required") throw new KeyMissingError();
  return enforcement === "warn" ? markMissing : (answer) => answer;
}

function markMissing(answer: Response): Response {
  const marked = new Response(answer.body, answer);
  marked.headers.set("X-Idempotency-Missing", "true");
  return expose(marked);
}
