import { browser } from "./browser.ts";
import { newKey } from "./new_key.ts";
import type { KeyStorage } from "./storage.ts";

/** What {@link keyStore} needs. */
export interface KeyStoreOptions {
  storage: KeyStorage;
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
  /** Forgets a key wherever it is kept. */
  forget(key: string): Promise<void>;
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
  const forgotten = new Set<string>();
  // What the storage does not take: a full or forbidden one costs the reload
  // and not the request.
  const spare = new Map<string, string>();
  let turn: Promise<unknown> = Promise.resolve();

  const read = async (name: string): Promise<unknown[]> => {
    try {
      const text = spare.get(name) ?? await storage.getItem(name);
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
      if (value.length > 0) await storage.setItem(name, text);
      else await storage.removeItem(name);
    } catch {
      if (value.length > 0) spare.set(name, text);
    }
  };

  const find = async (intention: string): Promise<KeptKey | undefined> => {
    const [, key, expires] = await read(PREFIX + intention) as Kept;
    // A forgotten one is found where the storage would not remove it.
    return expires > now() && !forgotten.has(key)
      ? { key, isNew: false }
      : undefined;
  };

  // One change at a time: each reads the list, and writes it anew.
  const change = (edit: (list: Kept[]) => Kept[]): Promise<unknown> =>
    turn = turn.then(async () => {
      const list = (await read(LIST)).filter(Array.isArray) as Kept[];
      const left = edit(list).slice(-MAX_KEPT)
        .filter(([, , expires]) => expires > now());
      for (const entry of list) {
        const [intention, key] = entry;
        if (left.includes(entry)) continue;
        const [, current] = await read(PREFIX + intention);
        if (current === key) await write(PREFIX + intention, []);
      }
      await write(LIST, left);
    });

  const make = async (intention: string): Promise<KeptKey> => {
    const entry: Kept = [intention, newKey(), now() + keepMs];
    await write(PREFIX + intention, entry);
    await change((list) => [...list, entry]);
    return { key: entry[1], isNew: true };
  };

  const makeAndLook = async (intention: string): Promise<KeptKey> => {
    const made = await make(intention);
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

    async forget(key) {
      forgotten.add(key);
      // The oldest is no longer in anybody's hands.
      if (forgotten.size > MAX_KEPT) {
        forgotten.delete(forgotten.values().next().value!);
      }
      await change((list) => list.filter(([, other]) => other !== key));
    },
  };
}

function seen(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SEEN_MS));
}
