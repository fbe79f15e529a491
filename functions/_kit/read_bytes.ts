import { Refusal } from "./refusal.ts";

/**
 * Reads the body of a request, but no more than `maxBytes` of it.
 *
 * @throws {Refusal} 413 when it is longer; at once where the request says so,
 * else at the byte too many.
 */
export async function readBytes(
  req: Request,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const declared = Number(req.headers.get("content-length") ?? 0);
  if (declared > maxBytes) throw tooLarge(maxBytes);
  const bytes = req.bodyUsed
    ? await readAgain(req)
    : await readStream(req, maxBytes);
  if (bytes.length > maxBytes) throw tooLarge(maxBytes);
  return bytes;
}

// Below a middleware that read the body for its fingerprint, a request hands
// out what was read, but its stream is gone.
async function readAgain(req: Request): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await req.arrayBuffer());
}

async function readStream(
  req: Request,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  // Leaving the loop cancels the stream.
  for await (const part of req.body ?? []) {
    parts.push(part);
    length += part.length;
    if (length > maxBytes) break;
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function tooLarge(maxBytes: number): Refusal {
  return new Refusal({
    status: 413,
    code: "REQUEST_TOO_LARGE",
    title: "Request too large",
    detail:
      `The request body is larger than ${maxBytes} bytes, the most that this route takes`,
  });
}
