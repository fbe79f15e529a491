import { createServer, type IncomingMessage } from "node:http";
import { Buffer } from "node:buffer";
import type { AddressInfo } from "node:net";
import { corsHeaders, memoryLedger } from "../../shared/idempotency.ts";
import { route } from "./middleware.ts";

/** What a test wants of one call, as its body. */
export interface Wanted {
  /** After the row was inserted. @default {201} */
  status?: number;
  /** Whether the connection breaks after the row was inserted. */
  drops?: boolean;
  /** How many answers get lost before one gets through. */
  loses?: number;
  /** How long it takes, in milliseconds. */
  takesMs?: number;
  /** Whether it answers only when `finish` is called. */
  waits?: boolean;
  /** Whether the body comes in two parts, the second when `finish` is called. */
  streams?: boolean;
}

/** A function that nobody has protected, and one that is, on a real server. */
export interface TwoFunctions extends AsyncDisposable {
  /** Of the functions: `unprotected` and `protected` are below it. */
  readonly url: string;
  /** How often a function has inserted its row. */
  rows(name: "unprotected" | "protected"): number;
  /** What reached the server: `POST unprotected`, with ` +key` where it has one. */
  readonly seen: readonly string[];
  /** Answers what waits, and sends the second part of what streams. */
  finish(): void;
}

/** As https://supabase.com/docs/guides/functions/cors has them. */
export const USUAL_CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Headers":
    "authorization, x-client-info, apikey, content-type",
};

/** Starts both on a port of their own. */
export async function twoFunctions(): Promise<TwoFunctions> {
  const rows = { unprotected: 0, protected: 0 };
  const seen: string[] = [];
  const lost = new Map<string, number>();
  const finishing = Promise.withResolvers<void>();

  const work = async (name: keyof typeof rows, wanted: Wanted) => {
    rows[name]++;
    const { status = 201, takesMs = 0, waits, streams } = wanted;
    if (waits) await finishing.promise;
    await new Promise((resolve) => setTimeout(resolve, takesMs));
    if (!streams) return Response.json({ row: rows[name] }, { status });
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode("one "));
        await finishing.promise;
        controller.enqueue(new TextEncoder().encode("two"));
        controller.close();
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/plain" } });
  };

  const wrapped = route(
    { store: memoryLedger(), scope: "protected" },
    async (_, req) => await work("protected", await req.json()),
  );

  const answer = async (
    name: string,
    message: IncomingMessage,
    wanted: Wanted,
    body: string,
  ) => {
    if (name === "unprotected") return await work(name, wanted);
    const key = message.headers["idempotency-key"];
    return await wrapped({
      url: `http://localhost${message.url}`,
      body,
      ...(typeof key === "string" ? { key } : {}),
    });
  };

  const server = createServer(async (message, reply) => {
    // Browsers send again by themselves what got lost on a connection that they
    // had used before.
    reply.shouldKeepAlive = false;
    const parts: Buffer[] = [];
    for await (const part of message) parts.push(part);
    const body = `${Buffer.concat(parts)}`;
    const name = message.url!.match(/^\/functions\/v1\/(\w+)/)![1]!;
    const key = message.headers["idempotency-key"];
    seen.push(`${message.method} ${name}${key === undefined ? "" : " +key"}`);
    const cors = name === "unprotected" ? USUAL_CORS : corsHeaders;
    for (const [header, value] of Object.entries(cors)) {
      reply.setHeader(header, value);
    }
    if (message.method === "OPTIONS") return void reply.end("ok");
    const wanted: Wanted = JSON.parse(body);
    const response = await answer(name, message, wanted, body);
    const count = (lost.get(body) ?? 0) + 1;
    lost.set(body, count);
    if (wanted.drops || count <= (wanted.loses ?? 0)) {
      return void message.socket.destroy();
    }
    reply.writeHead(response.status, Object.fromEntries(response.headers));
    for await (const part of response.body ?? []) reply.write(part);
    reply.end();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/functions/v1`,
    rows: (name) => rows[name],
    seen,
    finish: () => finishing.resolve(),
    async [Symbol.asyncDispose]() {
      finishing.resolve();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
