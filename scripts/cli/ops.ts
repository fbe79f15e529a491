import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { Readable } from "node:stream";
import { parseArgs } from "node:util";
import { connect } from "../project.ts";
import { createOps, type ServeOps } from "./serve.ts";

/** How the command is called. */
export const USAGE = `Usage: ops [--port N] [--database-url URL]
With SUPABASE_URL and SUPABASE_SECRET_KEY in the environment, or --database-url URL.

Serves the operators' page of the project to this machine, and prints its link.

  --port N   the port on 127.0.0.1; a free one by default`;

/** A token that nobody guesses. */
export function newToken(): string {
  return randomBytes(32).toString("base64url");
}

/**
 * Serves the operators' page on 127.0.0.1 until the process is told to stop.
 *
 * @param args `--port N`, `--database-url URL`.
 * @returns The exit code.
 * @throws {TypeError} When there is an option that the command does not know.
 * @throws {UnknownProjectError} When no project is named.
 */
export async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      "database-url": { type: "string" },
      "port": { type: "string", default: "0" },
    },
  });
  const port = Number(values.port);
  if (!/^\d+$/.test(values.port) || port > 65535) {
    throw new TypeError(
      `--port ${values.port}: expected a number from 0 to 65535`,
    );
  }
  await using project = connect(values["database-url"]);
  const token = newToken();
  const server = createServer(listener(createOps({ project, token })));
  const stopped = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => stopped.resolve());
  }
  const url = await listen(server, port);
  console.log(`Operators' page of ${project.name}:`);
  console.log(`${url}/#token=${token}`);
  console.log("The link is good until this command ends: Ctrl-C");
  await stopped.promise;
  server.close();
  server.closeAllConnections();
  return 0;
}

async function listen(server: Server, port: number): Promise<string> {
  server.listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (error) {
    throw new Error(
      `Cannot listen on 127.0.0.1:${port}: ${
        (error as Error).message
      }. Choose another port, or 0 for any free one.`,
      { cause: error },
    );
  }
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function listener(serve: ServeOps) {
  return async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    try {
      const request = toRequest(incoming);
      const { pathname } = new URL(request.url);
      const response = await serve(request, pathname.slice(1));
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      outgoing.end(new Uint8Array(await response.arrayBuffer()));
    } catch (error) {
      console.error(`ops: ${(error as Error).message}`);
      if (!outgoing.headersSent) outgoing.writeHead(500);
      outgoing.end();
    }
  };
}

function toRequest(incoming: IncomingMessage): Request {
  const { method = "GET", url = "/", headers } = incoming;
  const given = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === "string") given.set(name, value);
  }
  return new Request(new URL(url, `http://${headers.host}`), {
    method,
    headers: given,
    ...(method === "GET" || method === "HEAD"
      ? {}
      : { body: Readable.toWeb(incoming), duplex: "half" }),
  });
}
