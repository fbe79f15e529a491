/** What {@link keyStore} needs. */
export interface KeyStoreOptions {
  /** Shared with others; `undefined` keeps them in memory. */
  storage: KeyStorage | undefined;
  /** How long a key without a final answer is kept, in milliseconds. */
  keepMs: number;
  /**
   * The present, in milliseconds since 1970: by the device's clock, and by a
   * stopwatch. People set the first, often when the network is back, and the
   * other may stand still while the device sleeps.
   */
  clocks: () => [number, number];
}

/** The key of an intention. */
export interface KeptKey {
  key: string;
  /** Whether it was made now; an earlier try has used it otherwise. */
  isNew: boolean;
}

/** Keeps the keys of intentions that have no final answer yet. */
export interface KeyStore {
  /**
   * The key of an intention: the kept one, or else a new one, now kept.
   *
   * @param ask Asked before one is made, and never throws. A page that is left
   * meanwhile has kept none; an equal request waits for what comes of it.
   */
  keyOf(intention: string, ask?: () => unknown): Promise<KeptKey>;
  /** Forgets a key: the intention's, and wherever else it is kept. */
  forget(key: string, intention: string): Promise<void>;
}

// One item for each intention, so that two tabs do not overwrite each other's,
// and a list of them under no intention, because not every storage can be listed.
const PREFIX = "idempotency:";

/** More than a person has under way; the oldest go first. */
const MAX_KEPT = 100;

// Longer than a write takes to be seen in another tab's process.
const SEEN_MS = 25;
// A tab that holds the lock for so long is asleep.
const LOCK_MS = 1000;

/** What some browsers' `navigator` has, and other platforms' has not. */
interface BrowserNavigator extends Partial<Pick<Navigator, "userAgent">> {
  readonly locks?: {
    request(
      name: string,
      options: { signal?: AbortSignal },
      held: () => Promise<void>,
    ): Promise<unknown>;
  };
}

/** `[intention, key, expires]`, the last in milliseconds since 1970. */
type Kept = [string, string, number];

/**
 * Keeps keys in a storage that other tabs and later page loads share.
 *
 * Two tabs that need a key for the same intention at the same time settle on
 * one under a Web Lock. Where there are no locks they write, wait until the
 * other's write would show, and take what stands there (Fischer's protocol).
 */
export function keyStore(
  { storage, keepMs, clocks }: KeyStoreOptions,
): KeyStore {
  // What the storage did not do: a full, forbidden or missing one costs the
  // reload and not the request.
  const spare = new Map<string, string>();
  let turn: Promise<void> = Promise.resolve();

  // Where the clocks disagree, an intention goes on.
  const isLive = ([, , expires]: Kept) => expires > Math.min(...clocks());

  const read = async (name: string): Promise<unknown[]> => {
    try {
      const text = spare.get(name) ?? await storage!.getItem(name);
      return [...JSON.parse(text!)];
    } catch {
      // There is nothing, or nothing of ours.
      return [];
    }
  };

  const write = async (name: string, value: unknown[]): Promise<void> => {
    const text = JSON.stringify(value);
    spare.delete(name);
    try {
      if (value[0]) await storage!.setItem(name, text);
      else await storage!.removeItem(name);
    } catch {
      if (value[0] || (await read(name))[0]) spare.set(name, text);
    }
  };

  const find = async (intention: string): Promise<KeptKey | undefined> => {
    const kept = await read(PREFIX + intention) as Kept;
    return isLive(kept) ? { key: kept[1], isNew: false } : undefined;
  };

  // Adds an entry to the list, leaves out a forgotten key, and removes what has
  // gone from it. One at a time: each reads the list, and writes it anew.
  const list = (added: Kept, forgotten?: string) =>
    turn = turn.then(async () => {
      const all = (await read(PREFIX)).filter(Array.isArray) as Kept[];
      all.push(added);
      const after = all.slice(-MAX_KEPT)
        .filter((entry) => isLive(entry) && entry[1] !== forgotten);
      for (const entry of all) {
        const name = PREFIX + entry[0];
        if (after.includes(entry)) continue;
        if ((await read(name))[1] === entry[1]) await write(name, []);
      }
      await write(PREFIX, after);
    });

  return {
    keyOf: (intention, ask) =>
      new Promise((resolve) => {
        const navigator: BrowserNavigator | undefined = globalThis.navigator;
        const locks = navigator?.locks;
        const settle = async () => {
          const found = await find(intention) ??
            (await ask?.(), await find(intention));
          if (found) return resolve(found);
          const mine = { key: newKey(), isNew: true };
          // JSON has no Infinity.
          const expires = Math.min(Math.max(...clocks()) + keepMs, 1e15);
          const entry: Kept = [intention, mine.key, expires];
          await write(PREFIX + intention, entry);
          await list(entry);
          if (locks || !storage) resolve(mine);
          await new Promise((seen) => setTimeout(seen, SEEN_MS));
          const other = await find(intention) ?? mine;
          resolve(other.key === mine.key ? mine : other);
        };
        const signal = AbortSignal.timeout?.(LOCK_MS);
        if (!locks) settle();
        else {
          locks.request(PREFIX + intention, { signal }, settle).catch(settle);
        }
      }),

    // Not found in the list alone: two tabs may have written it at once.
    forget: (key, intention) => list([intention, key, 0], key),
  };
}

/**
 * Makes a key that no other attempt of its user has: `idem_` and a random UUID,
 * or as many digits of `Math.random` where `crypto` does not make any (React
 * Native, pages over plain HTTP).
 */
export function newKey(): string {
  // Looked up at each call: polyfills are often installed late.
  const random = globalThis.crypto?.randomUUID?.() ??
    `${Math.random()}${Math.random()}`.replaceAll(".", "");
  return `idem_${random}`;
}

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
