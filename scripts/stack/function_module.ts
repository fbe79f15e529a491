import { AsyncLocalStorage } from "node:async_hooks";
import { pathToFileURL } from "node:url";
import { within } from "./background.ts";

/** What answers the requests to a function. */
export type Fetch = (
  request: Request,
  info: Deno.ServeHandlerInfo,
) => Response | Promise<Response>;

/** A function that is loaded. */
export interface LoadedFunction {
  fetch: Fetch;
  close(): Promise<void> | void;
}

type ServeArguments =
  | [Fetch]
  | [Deno.ServeTcpOptions, Fetch]
  | [Deno.ServeTcpOptions & { handler: Fetch }];

/** A module that is being loaded, and what it starts. */
interface Loading {
  serve(fetch: Fetch): void;
  listeners: Deno.Listener[];
  /** Deno hands the context of a module that it evaluated on to unrelated work. */
  over: boolean;
}

// For a module that serves once something it did not await is done.
const LATE_MS = 1_000;

const loading = new AsyncLocalStorage<Loading>();
const imports = new Map<string, number>();
let intercepting = false;

/**
 * Loads a function of either style, as the edge runtime does: one that exports
 * `{ fetch }`, or one that calls `Deno.serve`, which binds no port then. The
 * `serve` of older versions of the standard library gets a port of its own.
 *
 * @throws {Error} When the module fails, or is neither
 */
export async function loadFunction(
  entrypoint: string,
): Promise<LoadedFunction> {
  intercept();
  const served = Promise.withResolvers<Fetch>();
  const module: Loading = {
    serve: served.resolve,
    listeners: [],
    over: false,
  };
  const close = () => module.listeners.forEach((listener) => listener.close());
  const importing = loading.run(
    module,
    async () => await import(freshly(entrypoint)),
  );
  // It may go on for as long as it serves: `await Deno.serve(…).finished`.
  const exported = importing.then((exports) => fetchOf(exports, entrypoint));
  exported.catch(() => {});
  try {
    const fetch = await Promise.race([
      served.promise,
      exported.then((fetch) => fetch ?? within(LATE_MS, served.promise)),
    ]);
    if (fetch !== undefined) return { fetch, close };
    throw new Error(
      `${entrypoint} neither exports a default with a fetch method nor calls Deno.serve.`,
    );
  } catch (error) {
    close();
    throw error;
  } finally {
    module.over = true;
  }
}

function fetchOf(
  { default: exported }: { default?: { fetch?: unknown } },
  entrypoint: string,
): Fetch | undefined {
  if (exported === undefined) return undefined;
  const fetch = exported?.fetch;
  if (typeof fetch !== "function") {
    throw new Error(`${entrypoint} has no default export with a fetch method.`);
  }
  return (request, info) => fetch.call(exported, request, info);
}

/** Evaluated once more where it was before: its stack may be another one now. */
function freshly(entrypoint: string): string {
  const { href } = pathToFileURL(entrypoint);
  const before = imports.get(href) ?? 0;
  imports.set(href, before + 1);
  return before === 0 ? href : `${href}?again=${before}`;
}

function current(): Loading | undefined {
  const module = loading.getStore();
  return module?.over ? undefined : module;
}

function intercept(): void {
  if (intercepting) return;
  intercepting = true;
  const { serve, listen } = Deno;
  const instead = {
    serve(...args: ServeArguments) {
      const module = current();
      return module === undefined
        ? Reflect.apply(serve, Deno, args)
        : serveInstead(module, args);
    },
    listen(options: Deno.TcpListenOptions & { transport?: string }) {
      const module = current();
      if (module === undefined || (options.transport ?? "tcp") !== "tcp") {
        return Reflect.apply(listen, Deno, [options]);
      }
      const listener = listen({ hostname: "127.0.0.1", port: 0 });
      module.listeners.push(listener);
      module.serve((request) => forward(request, listener.addr.port));
      return listener;
    },
  };
  for (const [name, value] of Object.entries(instead)) {
    Object.defineProperty(Deno, name, {
      value,
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
}

function serveInstead(
  module: Loading,
  args: ServeArguments,
): Deno.HttpServer<Deno.NetAddr> {
  const { handler, ...options } = readArguments(args);
  const { onError } = options;
  module.serve(
    onError === undefined ? handler : async (request, info) => {
      try {
        return await handler(request, info);
      } catch (error) {
        return await onError(error);
      }
    },
  );
  const finished = Promise.withResolvers<void>();
  options.signal?.addEventListener("abort", () => finished.resolve());
  const addr = {
    transport: "tcp" as const,
    hostname: options.hostname ?? "0.0.0.0",
    port: options.port ?? 8000,
  };
  queueMicrotask(() => options.onListen?.(addr));
  const shutdown = () => Promise.resolve(finished.resolve());
  return {
    addr,
    finished: finished.promise,
    ref() {},
    unref() {},
    shutdown,
    [Symbol.asyncDispose]: shutdown,
  };
}

function readArguments(
  [first, second]: ServeArguments,
): Deno.ServeTcpOptions & { handler: Fetch } {
  if (typeof first === "function") return { handler: first };
  const handler = second ?? ("handler" in first ? first.handler : undefined);
  if (typeof handler !== "function") {
    throw new TypeError("Cannot serve: no handler was given to Deno.serve");
  }
  return { ...first, handler };
}

/** Passes a request on to who serves it on a port of this machine. */
export async function forward(
  request: Request,
  port: number,
): Promise<Response> {
  const url = new URL(request.url);
  const headers = new Headers(request.headers);
  headers.set("x-forwarded-host", url.host);
  // A compressed answer would arrive here unpacked, with headers that say else.
  headers.set("accept-encoding", "identity");
  url.host = `127.0.0.1:${port}`;
  const response = await fetch(url, {
    method: request.method,
    headers,
    body: request.body,
    redirect: "manual",
  });
  if (!response.headers.has("content-encoding")) return response;
  const unpacked = new Response(response.body, response);
  unpacked.headers.delete("content-encoding");
  unpacked.headers.delete("content-length");
  return unpacked;
}
