import { browser } from "./browser.ts";

/** Whether the browser knows that it has no network. */
export function isOffline(): boolean {
  return browser().onLine === false;
}

/**
 * Waits. Ends early when the browser says that it is back online, and throws
 * the signal's reason when it is aborted.
 *
 * @param ms How long, in milliseconds.
 */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const wake = () => end(resolve);
    const abort = () => end(() => reject(reasonOf(signal)));
    const end = (settle: () => void) => {
      clearTimeout(timer);
      // Not on React Native, which has no events of this kind.
      globalThis.removeEventListener?.("online", wake);
      signal.removeEventListener("abort", abort);
      settle();
    };
    // A longer time-out would be taken for none.
    const timer = setTimeout(wake, Math.min(ms, 2 ** 31 - 1));
    globalThis.addEventListener?.("online", wake);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
  });
}

/** Why a signal was aborted; some platforms do not say. */
export function reasonOf(signal: AbortSignal): unknown {
  return signal.reason ?? new Error("The request was aborted");
}
