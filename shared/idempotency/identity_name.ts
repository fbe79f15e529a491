import type { Identity } from "./ledger.ts";
import { sha256Hex } from "./sha256.ts";

/** One string for a user, scope and key that no other three share. */
export function identityName({ userId, scope, key }: Identity): string {
  return JSON.stringify([userId, scope, key]);
}

/**
 * Stands for a key in a log: hides who and which one, and still tells two apart.
 *
 * @returns 16 hexadecimal digits.
 */
export async function hashIdentity(identity: Identity): Promise<string> {
  return (await sha256Hex(identityName(identity))).slice(0, 16);
}
