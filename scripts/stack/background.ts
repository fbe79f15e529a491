/** Work that functions have started and not finished, requests included. */
export interface Background {
  /** Counts `work` as running until it settles. */
  track<T>(work: Promise<T>): Promise<T>;
  /**
   * Waits for what is running, tells functions through `beforeunload` that they
   * are about to end, and waits for what they start then. At most twice `graceMs`.
   */
  settle(graceMs: number): Promise<void>;
}

/** Provides `EdgeRuntime.waitUntil` as the hosted runtime does. */
export function startBackground(): Background {
  const running = new Set<Promise<unknown>>();
  const track = <T>(work: Promise<T>): Promise<T> => {
    running.add(work);
    const done = () => void running.delete(work);
    work.then(done, done);
    return work;
  };
  const idle = async () => {
    while (running.size > 0) await Promise.allSettled(running);
  };
  Object.assign(globalThis, {
    EdgeRuntime: {
      waitUntil: <T>(work: Promise<T>) => track(Promise.resolve(work)),
    },
  });
  return {
    track,
    settle: async (graceMs) => {
      await within(graceMs, idle());
      const detail = { reason: "shutdown" };
      globalThis.dispatchEvent(new CustomEvent("beforeunload", { detail }));
      await within(graceMs, idle());
      Reflect.deleteProperty(globalThis, "EdgeRuntime");
    },
  };
}

/** What `work` gives, or nothing where that takes longer. */
export async function within<T>(
  ms: number,
  work: Promise<T>,
): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
