/** How the body of a {@link RawRequest} goes over the wire. */
export type Framing =
  | "length"
  | "chunked"
  /** In two parts, with a pause in between. */
  | "slow"
  /** Half of it; then the client says that nothing more comes. */
  | "cut"
  /** Half of a chunk; then the same. */
  | "cut chunk"
  /** Half of it; then the client is gone, and reads no answer. */
  | "gone"
  /** More bytes than were announced. */
  | "too long"
  /** A length that is none. */
  | "no number"
  /** A chunk whose size is none. */
  | "no chunk"
  /** Announced in both ways. */
  | "twice";

/** A request as it stands on the wire; each character of a text is one byte. */
export interface RawRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array<ArrayBuffer> | null;
  readonly framing: Framing;
}

/** What came back. */
export type RawAnswer =
  | {
    readonly kind: "answer";
    readonly status: number;
    readonly headers: Headers;
    readonly body: string;
  }
  /** The connection ended without an answer. */
  | { readonly kind: "closed" }
  | { readonly kind: "hung" };

const PAUSE_MS = 5;

/**
 * Sends a request byte by byte as it is, which `fetch` would refuse or mend, over
 * a connection of its own.
 *
 * @param port On this machine.
 * @param withinMs How long the answer may take.
 */
export async function sendRaw(
  port: number,
  request: RawRequest,
  withinMs: number,
): Promise<RawAnswer> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  let isHung = false;
  const deadline = setTimeout(() => {
    isHung = true;
    connection.close();
  }, withinMs);
  try {
    // Whoever refuses early reads no further; what it answers counts.
    const writing = write(connection, request).catch(() => {});
    if (request.framing === "gone") {
      await writing;
      return { kind: "closed" };
    }
    const answer = await readAnswer(connection, request.method);
    return isHung ? { kind: "hung" } : answer;
  } finally {
    clearTimeout(deadline);
  }
}

async function write(
  connection: Deno.Conn,
  { method, target, headers, body, framing }: RawRequest,
): Promise<void> {
  const lines = [
    `${method} ${target} HTTP/1.1`,
    "Host: 127.0.0.1",
    "Connection: close",
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...body === null ? [] : frame(body.byteLength, framing),
  ];
  const head = bytesOf(`${lines.join("\r\n")}\r\n\r\n`);
  const send = async (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.byteLength;) {
      at += await connection.write(bytes.subarray(at));
    }
  };
  await send(head);
  if (body === null) return;
  const half = body.byteLength >> 1;
  switch (framing) {
    case "chunked":
      for (const part of [body.subarray(0, half), body.subarray(half)]) {
        if (part.byteLength > 0) await send(chunk(part));
      }
      return await send(bytesOf("0\r\n\r\n"));
    case "slow":
      await send(body.subarray(0, half));
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      return await send(body.subarray(half));
    case "cut":
    case "gone":
      await send(body.subarray(0, half));
      break;
    case "cut chunk":
      await send(chunk(body).subarray(0, half));
      break;
    case "no chunk":
      return await send(bytesOf("zz\r\n{}\r\n0\r\n\r\n"));
    default:
      return await send(body);
  }
  // Not at once: whoever reads is to have begun.
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  await (connection as Deno.TcpConn).closeWrite();
}

function frame(length: number, framing: Framing): string[] {
  const chunked = "Transfer-Encoding: chunked";
  switch (framing) {
    case "chunked":
    case "cut chunk":
    case "no chunk":
      return [chunked];
    case "too long":
      return [`Content-Length: ${length >> 1}`];
    case "no number":
      return ["Content-Length: -1"];
    case "twice":
      return [`Content-Length: ${length}`, chunked];
    default:
      return [`Content-Length: ${length}`];
  }
}

function chunk(bytes: Uint8Array): Uint8Array {
  const head = bytesOf(`${bytes.byteLength.toString(16)}\r\n`);
  const whole = new Uint8Array(head.byteLength + bytes.byteLength + 2);
  whole.set(head);
  whole.set(bytes, head.byteLength);
  whole.set([13, 10], head.byteLength + bytes.byteLength);
  return whole;
}

/** Reads one answer, to its own end; a server may keep the connection open. */
async function readAnswer(
  connection: Deno.Conn,
  method: string,
): Promise<RawAnswer> {
  const buffer = new Uint8Array(64 * 1024);
  let text = "";
  for (;;) {
    // What came before the connection was reset counts.
    const length = await connection.read(buffer).catch(() => null);
    if (length !== null) text += textOf(buffer.subarray(0, length));
    const answer = parseAnswer(text, method, length === null);
    if (answer !== null) return answer;
  }
}

/** `null` where more is to come. */
function parseAnswer(
  received: string,
  method: string,
  isAll: boolean,
): RawAnswer | null {
  const end = received.indexOf("\r\n\r\n");
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1]);
  if (end < 0 || !(status >= 100)) return isAll ? { kind: "closed" } : null;
  const rest = received.slice(end + 4);
  // RFC 9110, section 15.2: an answer before the answer.
  if (status < 200) return parseAnswer(rest, method, isAll);
  const headers = new Headers(
    received.slice(0, end).split("\r\n").slice(1)
      .map((line): [string, string] => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon), line.slice(colon + 1).trim()];
      }),
  );
  const isChunked = headers.get("transfer-encoding") === "chunked";
  const isEmpty = method === "HEAD" || status === 204 || status === 304;
  const announced = isEmpty ? 0 : Number(headers.get("content-length") ?? NaN);
  const isWhole = rest.length >= announced ||
    isChunked && rest.endsWith("0\r\n\r\n");
  if (!isWhole && !isAll) return null;
  const body = isEmpty ? "" : isChunked ? unchunk(rest) : rest;
  return {
    kind: "answer",
    status,
    headers,
    // A body is UTF-8, whose bytes the text has kept as they are.
    body: new TextDecoder().decode(bytesOf(body)),
  };
}

function unchunk(text: string): string {
  let whole = "";
  for (let at = 0;;) {
    const end = text.indexOf("\r\n", at);
    const size = parseInt(text.slice(at, end), 16);
    if (end < 0 || !(size > 0)) return whole;
    whole += text.slice(end + 2, end + 2 + size);
    at = end + 2 + size + 2;
  }
}

/** Each character as one byte. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

function textOf(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.byteLength; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return text;
}
