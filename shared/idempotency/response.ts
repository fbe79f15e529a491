import { supabaseCorsHeaders } from "./deps.ts";
import { KEY_HEADERS } from "./key.ts";
import type { Answer } from "./ledger.ts";

/** What an answer says of its own key. */
const MARKS = [
  "X-Idempotency-Missing",
  "X-Idempotency-Replay",
  "X-Idempotency-Stored",
];

/** Response headers that a page on another origin needs to read. */
const EXPOSED_HEADERS = ["Link", "Location", "Retry-After", ...MARKS]
  .join(", ");

/** The list of request headers that a page on another origin needs to send. */
export const ALLOWED_HEADERS: string = KEY_HEADERS.join(", ").toLowerCase();

/**
 * Supabase's CORS headers, with the key headers let in and the replay headers
 * let out. Stock headers let neither pass: a browser then fails where curl
 * works. Hand them to `withSupabase({ cors: { headers: corsHeaders } })`.
 *
 * @example
 * ```ts
 * import { assertStringIncludes } from "@std/assert";
 * import { corsHeaders } from "./response.ts";
 *
 * const allowed = corsHeaders["Access-Control-Allow-Headers"] ?? "";
 * assertStringIncludes(allowed, "idempotency-key");
 * ```
 */
export const corsHeaders: Record<string, string> = {
  ...supabaseCorsHeaders,
  "Access-Control-Allow-Headers": `${
    supabaseCorsHeaders["Access-Control-Allow-Headers"]
  }, ${ALLOWED_HEADERS}`,
  "Access-Control-Expose-Headers": EXPOSED_HEADERS,
};

/**
 * The largest body that is kept for replays, in bytes. The ledger bounds its
 * text at 6 MiB, and base64 makes four characters of three bytes.
 */
export const MAX_STORED_BYTES: number = 4 * 1024 * 1024;

/**
 * Headers of one answer rather than of the outcome: who asked, when, over
 * which connection, under which trace. Stored, they would reach somebody else
 * or speak of another moment.
 */
const PER_ANSWER = new Set([
  "age",
  "alt-svc",
  "b3",
  "baggage",
  "cf-ray",
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "sb-request-id",
  "sentry-trace",
  "server",
  "server-timing",
  "set-cookie",
  "te",
  "traceparent",
  "traceresponse",
  "tracestate",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "x-amzn-trace-id",
  "x-cloud-trace-context",
  "x-correlation-id",
  // The cookies once more, where a NextResponse sets them.
  "x-middleware-set-cookie",
  "x-request-id",
  "x-trace-id",
]);

const PER_ANSWER_PREFIXES = ["access-control-", "x-b3-", "x-idempotency-"];

// Fetch standard, "null body status": a Response with such a status and a
// body, even an empty one, cannot be made.
const NULL_BODY_STATUS = new Set([101, 103, 204, 205, 304]);

/** Reads a response to its end, as it will be kept. */
export async function readAnswer(response: Response): Promise<Answer> {
  if (response.status === 0) {
    throw new TypeError(
      "Cannot answer with Response.error(): it has no status, answer with one from 200 to 599 or throw",
    );
  }
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

/**
 * Makes sure that a status is one that a response can have.
 *
 * @throws {TypeError} When it is not.
 */
export function assertStatus(status: number): void {
  if (Number.isInteger(status) && status >= 200 && status <= 599) return;
  throw new TypeError(
    `Cannot record the answer: its status must be an integer from 200 to 599, got ${status}`,
  );
}

/** The response that gives an answer. */
export function toResponse({ status, headers, body }: Answer): Response {
  // The Response of Hono on Node forgets what is set later on others.
  const settable = new Headers(headers);
  return new Response(bodyOf(status, body), { status, headers: settable });
}

/** The response that replays a recorded answer. */
export function replayResponse(answer: Answer): Response {
  const response = toResponse(answer);
  response.headers.set("X-Idempotency-Replay", "true");
  return expose(response);
}

/**
 * The response of an attempt, with the body that is left of it, such as the
 * bytes that were read.
 */
export function firstResponse(
  original: Response,
  body: Uint8Array | ReadableStream<Uint8Array> | null,
  isStored: boolean,
): Response {
  const headers = new Headers(original.headers);
  // Of another key, where the handler hands on what another function answered.
  for (const name of MARKS) headers.delete(name);
  if (isStored) headers.set("X-Idempotency-Stored", "true");
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

function bodyOf(
  status: number,
  body: Uint8Array | ReadableStream<Uint8Array> | null,
): BodyInit | null {
  return NULL_BODY_STATUS.has(status) ? null : body as BodyInit | null;
}

/** What becomes of a body that is passed through as it comes. */
export interface StreamEnd {
  /**
   * The body came to its end. When this throws, the client's body is cut off.
   *
   * @param body All of its bytes; `null` when they were too many to keep.
   */
  ended(body: Uint8Array | null): Promise<void>;
  /** The handler's stream failed, or the client went away. */
  aborted(reason: unknown): Promise<void>;
}

/**
 * Passes a body through as it comes and collects it on the way. Its end reaches
 * the client only after {@link StreamEnd.ended}: whoever saw the end can rely on
 * the replay.
 */
export function passThrough(
  body: ReadableStream<Uint8Array>,
  end: StreamEnd,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let parts: Uint8Array<ArrayBuffer>[] | null = [];
  let length = 0;

  const collect = (part: Uint8Array) => {
    length += part.byteLength;
    if (length > MAX_STORED_BYTES) parts = null;
    // A copy: the chunk's buffer may be handed on.
    else parts?.push(part.slice());
  };

  let isCancelled = false;
  let isEnded = false;

  const readNext = async () => {
    try {
      return await reader.read();
    } catch (error) {
      await end.aborted(error);
      throw error;
    }
  };

  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await readNext();
      // Cancelling ends a pending read as the end of the body would.
      if (isCancelled) return;
      if (!done) {
        collect(value);
        return controller.enqueue(value);
      }
      isEnded = true;
      await end.ended(
        parts && new Uint8Array(await new Blob(parts).arrayBuffer()),
      );
      controller.close();
    },
    async cancel(reason) {
      // Who leaves at the last event, as clients do at "[DONE]", aborts nothing.
      if (isEnded) return;
      isCancelled = true;
      await Promise.allSettled([
        reader.cancel(reason),
        end.aborted(reason ?? new Error("The client went away")),
      ]);
    },
  });
}
