import type { KeptKey } from "./key_store.ts";

/** One intention of the user, which takes effect once however often it is sent. */
export interface Attempt {
  /**
   * The key that the request is sent under. A follow-up of the same intention,
   * such as a confirmation, is sent under it too.
   */
  readonly key: string;
  /** Sends the request, or shares the answer of a sending under way. */
  send(): Promise<Response>;
  /**
   * Gives the intention up: what is sent from now on is another one, and may
   * take effect beside the first.
   */
  reset(): Promise<void>;
}

/** What {@link createAttempt} needs. */
export interface AttemptParts {
  claim: () => Promise<KeptKey>;
  forget: (key: string) => Promise<void>;
  send: (claimed: KeptKey) => Promise<Response>;
}

/** Makes the attempt that holds this key. */
export function createAttempt(
  first: KeptKey,
  { claim, forget, send }: AttemptParts,
): Attempt {
  let claimed = first;
  return {
    get key() {
      return claimed.key;
    },
    send() {
      const sent = claimed;
      // Whatever is sent from now on may come second.
      claimed = { ...claimed, isNew: false };
      return send(sent);
    },
    async reset() {
      await forget(claimed.key);
      claimed = await claim();
    },
  };
}
