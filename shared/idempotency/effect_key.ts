import type { Identity } from "./ledger.ts";
import { sha256Hex } from "./sha256.ts";

/**
 * A key for one effect of an operation, 69 characters: the same in every
 * attempt, and nobody else's. Whoever does the effect deduplicates by it: a
 * provider by its own idempotency key, a table of your own by a unique
 * constraint on the user and this. It costs no trip.
 *
 * It closes the gap that no ledger can: an attempt that dies after its effect
 * and before its answer is recorded runs again.
 *
 * @param name Tells the effects of one operation apart.
 */
export type EffectKey = (name: string) => Promise<string>;

/**
 * Makes the `effectKey` of an operation. The fingerprint is in it for the key's
 * next life: once expired, it may come back with another payload.
 */
export function effectKeyOf(
  { userId, scope, key }: Identity,
  fingerprint: string,
): EffectKey {
  return async (name) => {
    const parts = [userId, scope, key, fingerprint, name];
    return `idem_${await sha256Hex(JSON.stringify(parts))}`;
  };
}

/** `effectKey` for a request without a key: each effect is a new one. */
export const unprotectedEffectKey: EffectKey = () =>
  Promise.resolve(`idem_${crypto.randomUUID()}`);
