import type { Answer } from "../../../shared/idempotency/ledger.ts";
import { type Call, nameOf, type Result } from "./call.ts";

// Written from the port's promises (docs/architecture.md), not from either
// ledger: what both get wrong alike would otherwise go unseen.

interface Row {
  status: "processing" | "completed" | "failed";
  fingerprint: string;
  owner: string;
  /** Attempts in a row, right before this one, that crashed. */
  crashes: number;
  pastOwners: Set<string>;
  attempt: number;
  fence: number;
  leaseEnd: number;
  claimedAt: number;
  expiresAt: number;
  steps: Record<string, unknown>;
  answer: Answer | null;
}

/** What the ledger ought to answer, under a clock that only tests move. */
export interface Model {
  /** Seconds since the schedule began. */
  readonly now: number;
  /** Moves the ledger's clock by this many seconds, also backwards. */
  moveClock(seconds: number): void;
  /** Deletes what has expired. */
  purge(): void;
  /**
   * Makes a call. Fences are numbered from 1: a ledger's own may be larger and
   * have gaps, but come in the same order.
   */
  apply(call: Call): Result;
}

/** A {@link Model} of an empty ledger. */
export function createModel(): Model {
  const rows = new Map<string, Row>();
  let now = 0;
  let fences = 0;

  /** A late call never cuts a lease short. */
  const extend = (row: Row, seconds: number) => {
    row.leaseEnd = Math.max(row.leaseEnd, now + seconds);
    row.expiresAt = Math.max(row.expiresAt, row.leaseEnd);
  };

  const claim = (call: Extract<Call, { method: "claim" }>): Result => {
    const name = nameOf(call.identity);
    const { fingerprint, ownerToken, leaseSeconds, ttlSeconds } = call.terms;
    const found = rows.get(name);
    const row = found && found.expiresAt > now ? found : undefined;
    const leaseEnd = now + leaseSeconds;
    const grant = (attempt: number, crashes = 0): Result => {
      const steps = row?.steps ?? {};
      const pastOwners = new Set(row?.pastOwners);
      if (row) pastOwners.add(row.owner);
      rows.set(name, {
        status: "processing",
        fingerprint,
        owner: ownerToken,
        pastOwners,
        crashes,
        attempt,
        fence: ++fences,
        leaseEnd,
        claimedAt: now,
        expiresAt: now + Math.max(ttlSeconds, leaseSeconds),
        steps,
        answer: null,
      });
      return {
        outcome: crashes > 0 ? "taken_over" : "claimed",
        attempt,
        fence: fences,
        steps: { ...steps },
      };
    };
    if (row === undefined) return grant(1);
    if (row.fingerprint !== fingerprint) return { outcome: "mismatch" };
    if (row.status === "completed") {
      return { outcome: "replay", answer: row.answer! };
    }
    if (row.status === "failed") return grant(row.attempt + 1);
    if (row.owner === ownerToken) {
      extend(row, leaseSeconds);
      const { attempt, fence, steps } = row;
      return {
        outcome: row.crashes > 0 ? "taken_over" : "claimed",
        attempt,
        fence,
        steps: { ...steps },
      };
    }
    if (row.leaseEnd > now) {
      const retryAfterSeconds = Math.ceil(row.leaseEnd - now);
      return { outcome: "in_progress", retryAfterSeconds };
    }
    const crashes = row.crashes + 1;
    const { onAbandoned, maxAttempts } = call.terms;
    return onAbandoned === "refuse" || crashes >= maxAttempts
      ? { outcome: "abandoned" }
      : grant(row.attempt + 1, crashes);
  };

  const settle = (
    call: Exclude<Call, { method: "claim" | "read" }>,
  ): Result => {
    const row = rows.get(nameOf(call.identity));
    const isOwner = row?.owner === call.ownerToken;
    if (!row || !(isOwner || row.pastOwners.has(call.ownerToken))) {
      return { outcome: "gone" };
    }
    const keep = (ttl: number) => {
      row.expiresAt = Math.max(row.claimedAt + ttl, now + ttl / 2);
    };
    if (isOwner && row.status === "processing") {
      switch (call.method) {
        case "renew":
          extend(row, call.leaseSeconds);
          break;
        case "checkpoint":
          if (!(call.step in row.steps)) row.steps[call.step] = call.result;
          extend(row, call.leaseSeconds);
          break;
        case "complete":
          row.status = "completed";
          row.answer = call.answer;
          keep(call.ttlSeconds);
          break;
        case "fail":
          row.status = "failed";
          keep(call.ttlSeconds);
          break;
      }
      return { outcome: "recorded" };
    }
    const sentAgain = isOwner &&
      ((call.method === "complete" && row.status === "completed") ||
        (call.method === "fail" && row.status === "failed"));
    if (sentAgain) return { outcome: "recorded" };
    return row.answer === null
      ? { outcome: "lost" }
      : { outcome: "replay", answer: row.answer };
  };

  return {
    get now() {
      return now;
    },
    moveClock: (seconds) => void (now += seconds),
    purge() {
      for (const [name, row] of rows) {
        const leased = row.status === "processing" && row.leaseEnd > now;
        if (row.expiresAt <= now && !leased) rows.delete(name);
      }
    },
    apply(call) {
      if (call.method === "claim") return claim(call);
      if (call.method !== "read") return settle(call);
      const row = rows.get(nameOf(call.identity));
      const read = row && row.expiresAt > now ? row.answer : null;
      return { outcome: "read", read };
    },
  };
}
