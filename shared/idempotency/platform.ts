interface EdgeRuntime {
  waitUntil(work: Promise<unknown>): void;
}

interface Host {
  env: { get(name: string): string | undefined };
}

/** What the core asks of the machine it runs on. */
export interface Platform {
  /** Keeps the worker alive until background work is done. */
  waitUntil(work: Promise<unknown>): void;
  /** Calls back when the worker is told to go. */
  onUnload(listener: () => void): void;
  /** A variable of the environment, if it is set and may be read. */
  environment(name: string): string | undefined;
  /** Tells whoever runs this what went wrong; who and which key only as a hash. */
  log(message: string, error?: unknown): void;
}

/** Supabase's edge runtime where there is one, plain promises elsewhere. */
export const platform: Platform = {
  waitUntil(work) {
    const { EdgeRuntime } = globalThis as { EdgeRuntime?: EdgeRuntime };
    EdgeRuntime?.waitUntil(work);
  },
  onUnload(listener) {
    globalThis.addEventListener("beforeunload", listener);
  },
  environment(name) {
    const { Deno } = globalThis as { Deno?: Host };
    try {
      return Deno?.env.get(name);
    } catch {
      // Run without the permission to read it, which is not to be had twice.
      return undefined;
    }
  },
  log(message, error) {
    if (error === undefined) console.error(message);
    else console.error(message, error);
  },
};
