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
import { connect } from "../project.ts";
import { createOps, newToken, type ServeOps } from "../ops/serve.ts";
import {
  type Command,
  commandLine,
  COMMON_OPTIONS,
  parseOptions,
  UsageError,
} from "./command.ts";

async function run(args: readonly string[]): Promise<void> {
  const { values: options } = parseOptions(args, {
    port: { type: "string", default: "0" },
  });
  const port = Number(options.port);
  if (!/^\d+$/.test(options.port) || port > 65535) {
    throw new UsageError(
      `--port ${options.port}: expected a number from 0 to 65535`,
    );
  }
  await using project = connect(options["database-url"], options.project);
  if (options["dry-run"]) {
    return console.log(`would serve the operators' page of ${project.name}`);
  }
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
}

/** The operators' page of a project, on 127.0.0.1 until it is told to stop. */
export const ops: Command = {
  summary: "serve the operators' page of a project to this machine",
  usage: () =>
    `Usage: ${commandLine("ops")} [--port N]

Prints a link that is good until the command ends.

  --port N             the port on 127.0.0.1; a free one by default
${COMMON_OPTIONS}`,
  run,
};

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
  // Put together as text: a path of two slashes would name another host.
  return new Request(new URL(`http://${headers.host}${url}`), {
    method,
    headers: given,
    ...(method === "GET" || method === "HEAD"
      ? {}
      : { body: Readable.toWeb(incoming), duplex: "half" }),
  });
}
