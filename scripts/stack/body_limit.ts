import { problem } from "./answers.ts";

const LIMIT_BYTES = 60 * 1024 * 1024;

/** A request as a backend gets it, and whether its body went over the limit. */
export interface Bounded {
  request: Request;
  exceeded(): boolean;
}

/**
 * A copy of a request for a backend, with another URL and headers where given. Its
 * body ends in an error at the limit. The copy has no abort signal: work goes on
 * when the client hangs up, as it does on a hosted project.
 */
export function boundRequest(
  original: Request,
  change: { url?: URL; headers?: Headers } = {},
): Bounded {
  let length = 0;
  const counter = () =>
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        length += chunk.byteLength;
        if (length > LIMIT_BYTES) controller.error(new RangeError(describe()));
        else controller.enqueue(chunk);
      },
    });
  // Whose name may stand in lower case on the wire, and not in a `Request`.
  const isBodiless = /^(get|head)$/i.test(original.method);
  return {
    request: new Request(change.url ?? original.url, {
      method: original.method,
      headers: change.headers ?? original.headers,
      body: isBodiless ? null : original.body?.pipeThrough(counter()) ?? null,
    }),
    exceeded: () => length > LIMIT_BYTES,
  };
}

/** Whether a request announces a body over the limit, so that it need not be read. */
export function announcesTooMuch(request: Request): boolean {
  return Number(request.headers.get("content-length") ?? 0) > LIMIT_BYTES;
}

/** The answer to a body over the limit. */
export function tooLarge(): Response {
  return problem(413, "PAYLOAD_TOO_LARGE", "Request too large", describe());
}

function describe(): string {
  return `The request body is larger than ${LIMIT_BYTES} bytes, which is all the local stack accepts.`;
}
