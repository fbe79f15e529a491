import { z } from "zod";
import { mediaType } from "./read_request.ts";

/** The other style of an error's body; further members stand in `error`. */
export interface ErrorEnvelope {
  success: false;
  error: { code: string; message: string; [extension: string]: unknown };
}

// What an envelope has no place for: the status line has the status, and
// clients of this style branch on the code.
const LEFT_OUT = new Set(["type", "title", "status", "instance", "retryable"]);

const ProblemDocument = z.looseObject({ code: z.string(), detail: z.string() });

/**
 * The same answer with the body `{ success: false, error: { code, message } }`
 * in place of its problem document. An answer that has none, or one without a
 * code, stays as it is.
 *
 * Status and headers, such as `Retry-After`, are kept; so are the members that
 * a problem adds to the standard's, for instance `cost`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { problemResponse } from "../../shared/idempotency.ts";
 * import { toErrorEnvelope } from "./error_envelope.ts";
 *
 * const response = await toErrorEnvelope(problemResponse({
 *   status: 409,
 *   code: "REQUEST_IN_PROGRESS",
 *   title: "Request in progress",
 *   detail: "Send the same request again in 2 s",
 * }));
 * assertEquals(response.status, 409);
 * assertEquals(await response.json(), {
 *   success: false,
 *   error: {
 *     code: "REQUEST_IN_PROGRESS",
 *     message: "Send the same request again in 2 s",
 *   },
 * });
 * ```
 */
export async function toErrorEnvelope(response: Response): Promise<Response> {
  if (mediaType(response) !== "application/problem+json") return response;
  const problem = ProblemDocument.safeParse(await response.clone().json());
  if (!problem.success) return response;
  const { code, detail: message, ...others } = problem.data;
  const extensions = Object.fromEntries(
    Object.entries(others).filter(([name]) => !LEFT_OUT.has(name)),
  );
  const envelope: ErrorEnvelope = {
    success: false,
    error: { code, message, ...extensions },
  };
  const headers = new Headers(response.headers);
  headers.set("Content-Type", "application/json");
  headers.delete("Content-Length");
  return new Response(JSON.stringify(envelope), {
    status: response.status,
    headers,
  });
}

/**
 * Whether a client asks for envelopes: it accepts `application/json` and names
 * nothing that a problem document would be.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { asksForEnvelope } from "./error_envelope.ts";
 *
 * const asks = (accept: string) =>
 *   asksForEnvelope(new Request("http://x", { headers: { accept } }));
 * assertEquals(asks("application/json"), true);
 * assertEquals(asks("application/json, application/problem+json"), false);
 * ```
 */
export function asksForEnvelope(req: Request): boolean {
  const accepted = (req.headers.get("accept") ?? "")
    .split(",")
    .map((range) => range.split(";")[0]!.trim().toLowerCase());
  return accepted.includes("application/json") &&
    !accepted.some((range) => PROBLEM_RANGES.has(range));
}

const PROBLEM_RANGES = new Set([
  "application/problem+json",
  "application/*",
  "*/*",
]);

/**
 * Gives a handler's errors in the style that the client asks for: problem
 * documents, or envelopes by the rule of {@link asksForEnvelope}. Goes outside
 * everything that answers with problem documents.
 */
export function withErrorStyle(
  handler: (req: Request) => Promise<Response>,
): (req: Request) => Promise<Response> {
  return async (req) => {
    const response = await handler(req);
    return asksForEnvelope(req) ? await toErrorEnvelope(response) : response;
  };
}
