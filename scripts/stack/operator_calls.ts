import { problem } from "./answers.ts";
import { boundRequest, tooLarge } from "./body_limit.ts";
import type { Lite } from "./lite.ts";

/** Where the operators' page calls functions of the database. */
export const OPERATOR_CALLS = "/ops/call/";

const FUNCTIONS = new Set([
  "idempotency_refresh_statistics",
  "idempotency_scope_statistics",
  "idempotency_hourly_statistics",
  "idempotency_stuck_keys",
  "idempotency_upkeep",
  "idempotency_job_runs",
  "idempotency_resolve",
]);

/**
 * Hands a call of the operators' page to the Data API, with the secret key that
 * the page was given. The Data API refuses that key from anything that calls
 * itself a browser, as that of a hosted project does: a page should not have
 * one. This page is served by whoever started the stack, to themselves; its
 * calls are answered to no other origin.
 */
export async function callForOperator(
  request: Request,
  lite: Lite,
): Promise<Response> {
  const url = new URL(request.url);
  const name = url.pathname.slice(OPERATOR_CALLS.length);
  if (!FUNCTIONS.has(name) || request.method !== "POST") {
    return problem(
      404,
      "NOT_FOUND",
      "Not found",
      `The operators' page does not call ${request.method} ${name}.`,
    );
  }
  const bounded = boundRequest(request, {
    url: new URL(`/rest/v1/rpc/${name}`, url),
    headers: new Headers({
      apikey: request.headers.get("apikey") ?? "",
      "content-type": "application/json",
    }),
  });
  const response = await lite.fetch(bounded.request);
  return bounded.exceeded() ? tooLarge() : response;
}
