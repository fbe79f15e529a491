import { EXPOSED_HEADERS } from "./cors.ts";
import type { Answer } from "./ledger.ts";

/**
 * The largest body that is kept for replays, in bytes. The ledger bounds its
 * text at 6 MiB, and base64 makes four characters of three bytes.
 */
export const MAX_STORED_BYTES = 4 * 1024 * 1024;

/**
 * Headers of one answer rather than of the outcome: who asked, when, over
 * which connection, under which trace. Stored, they would reach somebody else
 * or speak of another moment.
 */
const PER_ANSWER = new Set([
  "age",
  "alt-svc",
  "baggage",
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "server",
  "set-cookie",
  "te",
  "traceparent",
  "tracestate",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "x-correlation-id",
  "x-request-id",
  "x-trace-id",
]);

const PER_ANSWER_PREFIXES = ["access-control-", "x-idempotency-"];

// Fetch standard, "null body status": a Response with such a status and a
// body, even an empty one, cannot be made.
const NULL_BODY_STATUS = new Set([101, 103, 204, 205, 304]);

/** Reads a response to its end, as it will be kept. */
export async function readAnswer(response: Response): Promise<Answer> {
  return {
    status: response.status,
    headers: outcomeHeaders(response.headers),
    body: new Uint8Array(await response.arrayBuffer()),
  };
}

/** The headers that belong to the outcome, names in lower case. */
export function outcomeHeaders(headers: Headers): Record<string, string> {
  return Object.fromEntries(
    [...headers].filter(([name]) =>
      !PER_ANSWER.has(name) &&
      !PER_ANSWER_PREFIXES.some((prefix) => name.startsWith(prefix))
    ),
  );
}

/** The response that replays a recorded answer. */
export function replayResponse(answer: Answer): Response {
  return expose(
    new Response(bodyOf(answer.status, answer.body), {
      status: answer.status,
      headers: { ...answer.headers, "X-Idempotency-Replay": "true" },
    }),
  );
}

/**
 * The response of an attempt whose body was read: the same, from the bytes.
 *
 * @param marker A header to set, for instance `X-Idempotency-Stored`.
 */
export function firstResponse(
  original: Response,
  body: Uint8Array | null,
  marker?: string,
): Response {
  const headers = new Headers(original.headers);
  if (marker !== undefined) headers.set(marker, "true");
  return expose(
    new Response(bodyOf(original.status, body), {
      status: original.status,
      statusText: original.statusText,
      headers,
    }),
  );
}

/** Lets a page on another origin read the headers of the contract. */
export function expose(response: Response): Response {
  const name = "Access-Control-Expose-Headers";
  const present = response.headers.get(name);
  response.headers.set(
    name,
    present ? `${present}, ${EXPOSED_HEADERS}` : EXPOSED_HEADERS,
  );
  return response;
}

function bodyOf(status: number, body: Uint8Array | null): BodyInit | null {
  if (NULL_BODY_STATUS.has(status) || body === null) return null;
  return body as Uint8Array<ArrayBuffer>;
}
