import type { Identity } from "./ledger.ts";
import { sha256Hex } from "./sha256.ts";

/** What became of a request that carried a key. */
export type Outcome =
  /** It ran, and its answer was recorded. */
  | "executed"
  /** It got the recorded answer of an earlier one. */
  | "replayed"
  /** It waited for a running one and got that one's answer. */
  | "replayed_after_wait"
  /** Somebody else runs the key. */
  | "in_progress"
  /** The key belongs to another payload. */
  | "mismatch"
  /** An interrupted attempt holds the key, and the route refuses to guess. */
  | "abandoned"
  /** It ran and threw, or its answer was not final. */
  | "failed"
  /** It ran too long: another attempt had taken the key over. */
  | "lost_lease"
  /** It ran, but the ledger could not record how it ended. */
  | "unrecorded"
  /** The ledger was out of reach; it ran without protection. */
  | "unprotected"
  /** The ledger was out of reach; it was refused. */
  | "unavailable";

/** One line for logs and statistics; it holds nothing personal. */
export interface IdempotencyEvent {
  /** What became of the request. */
  readonly outcome: Outcome;
  /** The route or operation. */
  readonly scope: string;
  /** The first 16 hexadecimal digits of SHA-256 over user, scope and key. */
  readonly keyHash: string;
  /** From the arrival of the request to its outcome, in ms. */
  readonly durationMs: number;
  /** Which run of the key this was, from 1; 0 when it did not run. */
  readonly attempt: number;
  /** What went wrong, where something did. */
  readonly error?: unknown;
}

/** Hides who and which key, and still tells two keys apart. */
export async function hashIdentity(identity: Identity): Promise<string> {
  const { userId, scope, key } = identity;
  return (await sha256Hex(JSON.stringify([userId, scope, key]))).slice(0, 16);
}
