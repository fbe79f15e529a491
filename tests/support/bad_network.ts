import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

// About as long as the retry needs to come through.
const LATE_MS = 5;

/** What happens to one request on its way. */
export type Fate =
  /** The connection breaks before the server has the request. */
  | "request lost"
  /** The server has done its work; the connection breaks before it can say so. */
  | "answer lost"
  /** It breaks in the middle of the answer. */
  | "answer cut"
  /** It breaks before the server has the request, which comes all the same, beside its own retry. */
  | "request late"
  | "through";

/** A stretch of bad network in front of a server. */
export interface BadNetwork extends AsyncDisposable {
  /** Address to use in the server's place. */
  readonly url: string;
  /** How many requests met which fate. */
  readonly fates: ReadonlyMap<Fate, number>;
  /** Waits until every late request has arrived and was answered. */
  arrived(): Promise<unknown>;
}

/**
 * Puts a proxy in front of a server, which lets each request meet its fate.
 *
 * @param fateOf The fate of the next request.
 */
export async function badNetwork(
  upstream: string,
  fateOf: () => Fate,
): Promise<BadNetwork> {
  const fates = new Map<Fate, number>();
  const late: Promise<unknown>[] = [];
  const server = createServer(async (request, response): Promise<void> => {
    const fate = fateOf();
    fates.set(fate, (fates.get(fate) ?? 0) + 1);
    if (fate === "request lost") return void request.socket.destroy();
    const body = request.method === "GET" ? null : await text(request);
    if (fate === "request late") {
      request.socket.destroy();
      late.push(pause(LATE_MS).then(() => forward(upstream, request, body)));
      return;
    }
    const answer = await forward(upstream, request, body);
    if (fate === "answer lost") return void request.socket.destroy();
    response.writeHead(answer.status, answer.headers);
    if (fate !== "answer cut") return void response.end(answer.body);
    const half = answer.body.subarray(0, answer.body.length / 2);
    response.write(half, () => request.socket.destroy());
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    fates,
    arrived: () => Promise.all(late),
    async [Symbol.asyncDispose]() {
      await Promise.all(late);
      await new Promise<void>((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      });
    },
  };
}

const pause = (ms: number) => new Promise((wake) => setTimeout(wake, ms));

async function forward(
  upstream: string,
  request: IncomingMessage,
  body: string | null,
) {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (typeof value === "string" && !HOP_BY_HOP.has(name)) {
      headers.set(name, value);
    }
  }
  const answer = await fetch(`${upstream}${request.url}`, {
    method: request.method ?? "GET",
    headers,
    body,
  });
  const bytes = new Uint8Array(await answer.arrayBuffer());
  return {
    status: answer.status,
    headers: {
      ...Object.fromEntries(
        [...answer.headers].filter(([name]) => !HOP_BY_HOP.has(name)),
      ),
      "content-length": bytes.length,
    },
    body: bytes,
  };
}

const HOP_BY_HOP = new Set([
  "connection",
  // fetch has decoded what it hands over
  "content-encoding",
  "content-length",
  "host",
  "transfer-encoding",
]);
