interface EdgeRuntime {
  waitUntil(work: Promise<unknown>): void;
}

/** What the core asks of the machine it runs on. */
export interface Platform {
  /** Keeps the worker alive until background work is done. */
  waitUntil(work: Promise<unknown>): void;
  /** Calls back when the worker is told to go. */
  onUnload(listener: () => void): void;
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
};
