import { getEnv } from "./deps.ts";

interface Waiting {
  waitUntil(work: Promise<unknown>): void;
}

interface Host {
  EdgeRuntime?: Waiting;
  process?: { getBuiltinModule?: (name: string) => Waiting | undefined };
}

const host = globalThis as Host;

/**
 * What the core asks of the machine it runs on: Supabase's edge runtime, Deno,
 * Node, Bun or a Worker. Nothing else in the core names a global that only one
 * of them has.
 */
export const platform = {
  /**
   * What a Worker has for background work; elsewhere `undefined`. A Worker cuts a
   * request off whose client goes away, unless it is told to wait.
   */
  // An import would be awaited, and the request over by then.
  workers: host.process?.getBuiltinModule?.("cloudflare:workers") as
    | Waiting
    | undefined,

  /** Keeps the worker alive until background work is done, where it can be told so. */
  waitUntil(work: Promise<unknown>): void {
    (host.EdgeRuntime ?? platform.workers)?.waitUntil(work);
  },

  /** Calls back when the worker is told to go, where it is told. */
  onUnload(listener: () => void): void {
    globalThis.addEventListener?.("beforeunload", listener);
  },

  /**
   * A variable of the environment, if it is set and may be read. On Workers
   * there is none before the first request.
   */
  environment(name: string): string | undefined {
    try {
      return getEnv(name);
    } catch {
      // Run without the permission to read it, which is not to be had twice.
      return undefined;
    }
  },

  /** Tells whoever runs this what went wrong; who and which key only as a hash. */
  log(message: string, error?: unknown): void {
    if (error === undefined) console.error(message);
    else console.error(message, error);
  },
};
