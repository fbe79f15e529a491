import { z } from "zod";
import { mediaType } from "./read_request.ts";

/** The other style of an answer's body; an error's further members stand in `error`. */
export type Envelope =
  | { success: true; data: unknown }
  | {
    success: false;
    error: { code: string; message: string; [extension: string]: unknown };
  };

// What an envelope has no place for: the status line has the status, and
// clients of this style branch on the code.
const LEFT_OUT = new Set(["type", "title", "status", "instance", "retryable"]);

// A problem document, or what fails the authentication.
const Said = z.union([
  z.looseObject({ code: z.string(), detail: z.string() })
    .transform(({ detail: message, ...said }) => ({ ...said, message })),
  z.looseObject({ code: z.string(), message: z.string() }),
]);

/**
 * The same answer with the body `{ success: true, data }`, or, where it is an
 * error, `{ success: false, error: { code, message } }`. An answer that has no
 * body, no JSON, or an error without a code, stays as it is.
 *
 * Status and headers, such as `Retry-After`, are kept; so are the members that
 * a problem adds to the standard's, for instance `cost`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { problemResponse } from "../../shared/idempotency.ts";
 * import { toEnvelope } from "./envelope.ts";
 *
 * const refused = await toEnvelope(problemResponse({
 *   status: 409,
 *   code: "REQUEST_IN_PROGRESS",
 *   title: "Request in progress",
 *   detail: "Send the same request again in 2 s",
 * }));
 * assertEquals(refused.status, 409);
 * assertEquals(await refused.json(), {
 *   success: false,
 *   error: {
 *     code: "REQUEST_IN_PROGRESS",
 *     message: "Send the same request again in 2 s",
 *   },
 * });
 *
 * const created = await toEnvelope(Response.json({ id: 1 }, { status: 201 }));
 * assertEquals(await created.json(), { success: true, data: { id: 1 } });
 * ```
 */
export async function toEnvelope(response: Response): Promise<Response> {
  // To HEAD there are the headers alone.
  if (response.body === null) return response;
  const type = mediaType(response);
  const isProblem = type === "application/problem+json";
  if (!isProblem && type !== "application/json") return response;
  const body: unknown = await response.clone().json();
  const envelope = response.ok && !isProblem
    ? { success: true, data: body } satisfies Envelope
    : envelopeOf(body);
  if (envelope === null) return response;
  const headers = new Headers(response.headers);
  headers.set("Content-Type", "application/json");
  headers.delete("Content-Length");
  return new Response(JSON.stringify(envelope), {
    status: response.status,
    headers,
  });
}

function envelopeOf(body: unknown): Envelope | null {
  const said = Said.safeParse(body);
  if (!said.success) return null;
  const { code, message, ...others } = said.data;
  const extensions = Object.fromEntries(
    Object.entries(others).filter(([name]) => !LEFT_OUT.has(name)),
  );
  return { success: false, error: { code, message, ...extensions } };
}

/**
 * Whether a client asks for envelopes: it accepts `application/json` and names
 * nothing that a problem document would be.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { asksForEnvelope } from "./envelope.ts";
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
 * Gives a handler's answers in the style that the client asks for: bare, with
 * problem documents, or in envelopes by the rule of {@link asksForEnvelope}.
 * Goes outside of everything that answers, idempotency too: an answer is stored
 * once, and replayed in either style.
 */
export function withEnvelope(
  handler: (req: Request) => Promise<Response>,
): (req: Request) => Promise<Response> {
  return async (req) => {
    const response = await handler(req);
    const styled = asksForEnvelope(req) ? await toEnvelope(response) : response;
    return varying(styled, "Accept");
  };
}

/** The same answer, saying that another one goes to another request header. */
export function varying(response: Response, header: string): Response {
  const varied = new Response(response.body, response);
  varied.headers.append("Vary", header);
  return varied;
}
