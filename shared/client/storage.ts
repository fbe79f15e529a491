/**
 * Where keys are kept between tabs and page reloads: the part of the Web
 * Storage interface that is used, each method at once or as a promise.
 * `localStorage`, React Native's `AsyncStorage` and most key-value stores fit.
 */
export interface KeyStorage {
  /** The value, or `null` where there is none. */
  getItem(name: string): string | null | Promise<string | null>;
  /** May throw where there is no room: the key is then kept in memory. */
  setItem(name: string, value: string): unknown;
  /** May be asked to remove what is not there. */
  removeItem(name: string): unknown;
}

/** Keeps keys as long as the page or process lives. */
export function memoryStorage(): KeyStorage {
  const items = new Map<string, string>();
  return {
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, value) => items.set(name, value),
    removeItem: (name) => items.delete(name),
  };
}

/** `localStorage`, where there is one that may be used. */
export function defaultStorage(): KeyStorage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    // In a sandboxed frame the mere look at it throws.
    return undefined;
  }
}
