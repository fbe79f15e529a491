import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

/** What happens to one request on its way. */
export type Fate =
  /** The connection breaks before the server has the request. */
  | "request lost"
  /** The server has done its work; the connection breaks before it can say so. */
  | "answer lost"
  /** It breaks in the middle of the answer. */
  | "answer cut"
  /** The answer comes long after the client stopped waiting. */
  | "answer late"
  | "through";

/** A stretch of bad network in front of a server. */
export interface BadNetwork extends AsyncDisposable {
  /** Address to use in the server's place. */
  readonly url: string;
  /** How many requests met which fate. */
  readonly fates: ReadonlyMap<Fate, number>;
}

/**
 * Puts a proxy in front of a server, which lets each request meet its fate.
 *
 * @param fateOf The fate of the next request.
 * @param lateMs How long a late answer is held back, in ms.
 */
export async function badNetwork(
  upstream: string,
  fateOf: () => Fate,
  lateMs: number,
): Promise<BadNetwork> {
  const fates = new Map<Fate, number>();
  const server = createServer(async (request, response): Promise<void> => {
    const fate = fateOf();
    fates.set(fate, (fates.get(fate) ?? 0) + 1);
    if (fate === "request lost") return void request.socket.destroy();
    const { status, headers, body } = await forward(upstream, request);
    if (fate === "answer lost") return void request.socket.destroy();
    if (fate === "answer late") {
      await new Promise((wake) => setTimeout(wake, lateMs));
    }
    if (request.socket.destroyed) return;
    response.writeHead(status, { ...headers, "content-length": body.length });
    if (fate !== "answer cut") return void response.end(body);
    response.write(
      body.subarray(0, body.length / 2),
      () => request.socket.destroy(),
    );
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    fates,
    [Symbol.asyncDispose]: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}

async function forward(upstream: string, request: IncomingMessage) {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (typeof value === "string" && !HOP_BY_HOP.has(name)) {
      headers.set(name, value);
    }
  }
  const body = request.method === "GET" ? null : await text(request);
  const answer = await fetch(`${upstream}${request.url}`, {
    method: request.method ?? "GET",
    headers,
    body,
  });
  return {
    status: answer.status,
    headers: {
      "content-type": answer.headers.get("content-type") ?? "",
      ...Object.fromEntries(
        [...answer.headers].filter(([name]) =>
          name.startsWith("x-idempotency-")
        ),
      ),
    },
    body: new Uint8Array(await answer.arrayBuffer()),
  };
}

const HOP_BY_HOP = new Set([
  "connection",
  "content-length",
  "host",
  "transfer-encoding",
]);
