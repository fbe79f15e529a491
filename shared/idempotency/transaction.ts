import { kept } from "./attempt.ts";
import { denialOf } from "./claim.ts";
import { firstResponse, replayResponse } from "./response.ts";
import { rowOf, toAnswer, toClaimResult } from "./sql_ledger.ts";

/**
 * Turns what a Postgres function of your own answered, which claims and
 * completes a key together with its effect, into the response of the HTTP
 * contract.
 *
 * @param answer The function's `public.idempotency_answer`: that of
 * `idempotency_claim` when the key was not granted, else `completed` with the
 * status code, response, encoding and headers that were recorded.
 * @param key The key of the request, for the messages of refusals.
 * @throws {IdempotencyError} When the request did not run: another payload, in
 * progress, abandoned, or the answer was not kept. `refusalResponse` makes the
 * response of it.
 * @throws {TypeError} When the key is claimed and not completed.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { answerResponse } from "./transaction.ts";
 *
 * const response = await answerResponse({
 *   outcome: "completed",
 *   attempt: 1,
 *   fence: 17,
 *   retry_after_seconds: null,
 *   status_code: 201,
 *   response: '{"order":1}',
 *   response_encoding: "text",
 *   response_headers: { "content-type": "application/json" },
 *   steps: null,
 *   completed_at: "2026-11-22T08:00:00Z",
 * }, "order-17");
 * assertEquals(response.headers.get("x-idempotency-stored"), "true");
 * assertEquals(await response.json(), { order: 1 });
 * ```
 */
export async function answerResponse(
  answer: unknown,
  key: string,
): Promise<Response> {
  const row = rowOf("answer from what the database answered", answer);
  if (row.outcome === "completed") {
    const { status, headers, body } = kept(key, await toAnswer(row));
    const original = new Response(null, { status, headers });
    return firstResponse(original, body, true);
  }
  const result = await toClaimResult(row);
  if (result.outcome === "replay") {
    return replayResponse(kept(key, result.answer));
  }
  if (!("fence" in result)) throw denialOf(key, result);
  throw new TypeError(
    `Cannot answer for the key "${key}": it is claimed and not completed, in the same transaction it has to be`,
  );
}
