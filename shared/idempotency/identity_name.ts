import type { Identity } from "./ledger.ts";

/** One string for a user, scope and key that no other three share. */
export function identityName({ userId, scope, key }: Identity): string {
  return JSON.stringify([userId, scope, key]);
}
