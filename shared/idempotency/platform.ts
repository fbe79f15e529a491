import { getEnv } from "./deps.ts";

interface EdgeRuntime {
  waitUntil(work: Promise<unknown>): void;
}

/**
 * What the core asks of the machine it runs on: Supabase's edge runtime, Deno,
 * Node, Bun or a Worker. Nothing else in the core names a global that only one
 * of them has.
 */
export const platform = {
  /** Keeps the worker alive until background work is done, where it can be told so. */
  waitUntil(work: Promise<unknown>): void {
    const { EdgeRuntime } = globalThis as { EdgeRuntime?: EdgeRuntime };
    EdgeRuntime?.waitUntil(work);
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
