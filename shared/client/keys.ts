import { browser, newKey } from "./platform.ts";

/** What {@link keyStore} needs. */
export interface KeyStoreOptions {
  /** Shared with others; `undefined` keeps them in memory. */
  storage: KeyStorage | undefined;
  /** How long a key without a final answer is kept, in milliseconds. */
  keepMs: number;
  /** The present, in milliseconds since 1970. */
  now: () => number;
}

/** The key of an intention. */
export interface KeptKey {
  key: string;
  /** Whether it was made now; an earlier try has used it otherwise. */
  isNew: boolean;
}

/** Keeps the keys of intentions that have no final answer yet. */
export interface KeyStore {
  /** The key of an intention: the kept one, or else a new one, now kept. */
  keyOf(intention: string): Promise<KeptKey>;
  /** Forgets a key: the intention's, and wherever else it is kept. */
  forget(key: string, intention: string): Promise<unknown>;
}

// One item for each intention, so that two tabs do not overwrite each other's,
// and a list of them, because not every storage can be listed.
const PREFIX = "idempotency:";
const LIST = "idempotency";

/** More than a person has under way; the oldest go first. */
const MAX_KEPT = 100;

// Longer than a write takes to be seen in another tab's process.
const SEEN_MS = 25;
// A tab that holds the lock for so long is asleep.
const LOCK_MS = 1000;

/** `[intention, key, expires]`, the last in milliseconds since 1970. */
type Kept = [string, string, number];

/**
 * Keeps keys in a storage that other tabs and later page loads share.
 *
 * Two tabs that need a key for the same intention at the same time settle on
 * one under a Web Lock. Where there are no locks they write, wait until the
 * other's write would show, and take what stands there (Fischer's protocol).
 */
export function keyStore({ storage, keepMs, now }: KeyStoreOptions): KeyStore {
  const items = storage ?? memoryStorage();
  // What the storage did not do: a full or forbidden one costs the reload and
  // not the request.
  const spare = new Map<string, string>();
  let turn: Promise<unknown> = Promise.resolve();

  const read = async (name: string): Promise<unknown[]> => {
    try {
      const text = spare.get(name) ?? await items.getItem(name);
      const value = JSON.parse(text!);
      return Array.isArray(value) ? value : [];
    } catch {
      return [];
    }
  };

  const write = async (name: string, value: unknown[]): Promise<void> => {
    const text = JSON.stringify(value);
    spare.delete(name);
    try {
      if (value.length > 0) await items.setItem(name, text);
      else await items.removeItem(name);
    } catch {
      spare.set(name, text);
    }
  };

  const find = async (intention: string): Promise<KeptKey | undefined> => {
    const [, key, expires] = await read(PREFIX + intention) as Kept;
    return expires > now() ? { key, isNew: false } : undefined;
  };

  // Adds an entry to the list, leaves out others, and removes what has gone
  // from it. One at a time: each reads the list, and writes it anew.
  const list = (added: Kept, isKept: (entry: Kept) => boolean) =>
    turn = turn.then(async () => {
      const before = (await read(LIST)).filter(Array.isArray) as Kept[];
      const after = [...before, added].slice(-MAX_KEPT)
        .filter((entry) => entry[2] > now() && isKept(entry));
      for (const entry of [...before, added]) {
        const name = PREFIX + entry[0];
        if (after.includes(entry)) continue;
        if ((await read(name))[1] === entry[1]) await write(name, []);
      }
      await write(LIST, after);
    });

  const make = async (intention: string): Promise<KeptKey> => {
    const entry: Kept = [intention, newKey(), now() + keepMs];
    await write(PREFIX + intention, entry);
    await list(entry, () => true);
    return { key: entry[1], isNew: true };
  };

  const makeAndLook = async (intention: string): Promise<KeptKey> => {
    const made = await make(intention);
    if (!storage) return made;
    await seen();
    const found = await find(intention);
    return found && found.key !== made.key ? found : made;
  };

  return {
    async keyOf(intention) {
      const found = await find(intention);
      if (found) return found;
      const { locks } = browser();
      if (!locks) return await makeAndLook(intention);
      return await new Promise((resolve) => {
        const asleep = globalThis.AbortSignal?.timeout?.(LOCK_MS);
        const options = asleep ? { signal: asleep } : {};
        locks.request(PREFIX + intention, options, async () => {
          const found = await find(intention);
          resolve(found ?? await make(intention));
          if (!found) await seen();
        }).catch(async () => resolve(await makeAndLook(intention)));
      });
    },

    // Not found in the list alone: two tabs may have written it at once.
    forget: (key, intention) =>
      list([intention, key, 0], ([, other]) => other !== key),
  };
}

function seen(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SEEN_MS));
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
