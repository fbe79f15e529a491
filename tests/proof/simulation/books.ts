import { equal } from "@std/assert";
import type { Answer, Claimed } from "../../../shared/idempotency/ledger.ts";
import { type Call, isGranted, nameOf, type Result, tokenOf } from "./call.ts";
import type { Event } from "./schedule.ts";

/** What one key was seen to do, from its first claim to its expiry. */
interface Generation {
  readonly fingerprint: string;
  holder: string;
  attempt: number;
  fence: number;
  leaseEnd: number;
  state: "running" | "failed" | "completed";
  answer: Answer | null;
  /** No claim may find the key free before. */
  keptUntil: number;
  readonly claimedAt: Map<string, number>;
  readonly steps: Map<string, unknown>;
  readonly effects: Set<string>;
  takeovers: number;
  /** Attempts in a row that were interrupted. */
  crashes: number;
}

/**
 * The books of a run: they see what reached the ledger and what it answered,
 * and hold that against what the product promises. They predict nothing.
 */
export interface Books {
  /** Enters an event, a call with what the ledger did answer. */
  enter(event: Event, answered?: Result): void;
}

/** Empty {@link Books}. Entering what must not happen throws. */
export function openBooks(): Books {
  const generations = new Map<string, Generation>();
  // In ms: sums of seconds are not exact, and leases end on the dot.
  let now = 0;
  let lastFence = 0;

  const claimed = (
    call: Extract<Call, { method: "claim" }>,
    { outcome, attempt, fence, steps }: Claimed,
  ) => {
    const name = nameOf(call.identity);
    const { ownerToken, fingerprint, leaseSeconds, ttlSeconds } = call.terms;
    const before = generations.get(name);
    const leaseEnd = now + ms(leaseSeconds);
    const again = before?.state === "running" && before.holder === ownerToken &&
      fence === before.fence;
    if (again) {
      must(attempt === before.attempt, "an attempt keeps its number");
      before.leaseEnd = Math.max(before.leaseEnd, leaseEnd);
      before.keptUntil = Math.max(before.keptUntil, before.leaseEnd);
      return;
    }
    must(fence > lastFence, `fence ${fence} follows ${lastFence}`);
    lastFence = fence;
    const free = before === undefined || before.keptUntil <= now;
    const crashed = attempt > 1 && before?.state === "running";
    const crashes = crashed ? before.crashes + 1 : 0;
    must(
      (outcome === "taken_over") === crashed,
      "whoever takes over is told that an attempt crashed, and nobody else",
    );
    if (attempt === 1) {
      must(free, "a key is kept until it expires, and starts anew only then");
    } else {
      must(before !== undefined, "attempt 2 has an attempt 1");
      must(attempt === before.attempt + 1, "attempts are numbered in turn");
      must(before.fingerprint === fingerprint, "a payload is never exchanged");
      must(before.state !== "completed", "a completed key never runs again");
      if (before.state === "running") {
        must(before.leaseEnd <= now, "at most one live owner");
        must(
          call.terms.onAbandoned === "retry",
          "a takeover only where its policy allows it",
        );
        must(
          crashes < call.terms.maxAttempts,
          `no attempt more after ${call.terms.maxAttempts} that crashed`,
        );
      }
    }
    const carried = attempt === 1 ? undefined : before;
    must(
      equal(steps, Object.fromEntries(carried?.steps ?? [])),
      "an attempt is told all steps that are done, and no others",
    );
    generations.set(name, {
      fingerprint,
      holder: ownerToken,
      attempt,
      fence,
      leaseEnd,
      state: "running",
      answer: null,
      keptUntil: now + ms(Math.max(ttlSeconds, leaseSeconds)),
      claimedAt: new Map(carried?.claimedAt).set(ownerToken, now),
      steps: new Map(carried?.steps),
      effects: carried?.effects ?? new Set(),
      takeovers: (carried?.takeovers ?? 0) + (crashed ? 1 : 0),
      crashes,
    });
  };

  const abandoned = (
    { identity, terms }: Extract<Call, { method: "claim" }>,
  ) => {
    const own = generations.get(nameOf(identity));
    must(
      own?.state === "running" && own.leaseEnd <= now,
      "only an interrupted key is abandoned",
    );
    must(
      terms.onAbandoned === "refuse" || own.crashes + 1 >= terms.maxAttempts,
      `no key is parked before ${terms.maxAttempts} attempts crashed`,
    );
  };

  const recorded = (call: Exclude<Call, { method: "claim" | "read" }>) => {
    const own = generations.get(nameOf(call.identity));
    must(own?.holder === call.ownerToken, "a stale owner changes nothing");
    const final = call.method === "complete"
      ? "completed"
      : call.method === "fail"
      ? "failed"
      : "running";
    if (own.state !== "running") {
      must(own.state === final, "what has ended does not change");
      return;
    }
    own.state = final;
    if (call.method === "renew" || call.method === "checkpoint") {
      own.leaseEnd = Math.max(own.leaseEnd, now + ms(call.leaseSeconds));
      own.keptUntil = Math.max(own.keptUntil, own.leaseEnd);
      if (call.method === "checkpoint" && !own.steps.has(call.step)) {
        own.steps.set(call.step, call.result);
      }
    } else {
      const start = own.claimedAt.get(call.ownerToken) ?? now;
      const ttl = ms(call.ttlSeconds);
      own.keptUntil = Math.max(start + ttl, now + ttl / 2);
      if (call.method === "complete") own.answer = call.answer;
    }
  };

  const replayed = (call: Call, answer: Answer | null) => {
    const own = generations.get(nameOf(call.identity));
    must(own?.answer, "only what was recorded is replayed");
    must(equal(answer, own.answer), "a recorded answer never changes");
    if (call.method === "claim") {
      must(
        own.fingerprint === call.terms.fingerprint,
        "no answer to another payload",
      );
    } else if (call.method !== "read") {
      must(
        own.claimedAt.has(call.ownerToken),
        "no answer to who never held the key",
      );
    }
  };

  const effect = ({ identity, ownerToken, step }: Extract<Event, {
    kind: "effect";
  }>) => {
    const own = generations.get(nameOf(identity));
    // A zombie of an expired generation: its key says nothing about it.
    if (!own?.claimedAt.has(ownerToken)) return;
    const name = step === null ? ownerToken : `${ownerToken} ${step}`;
    own.effects.add(name);
    const times =
      [...own.effects].filter((other) =>
        step === null ? !other.includes(" ") : other.endsWith(` ${step}`)
      ).length;
    must(
      times <= 1 + own.takeovers,
      `no effect twice without a takeover: ${times} times, ${own.takeovers} takeovers`,
    );
  };

  return {
    enter(event, answered) {
      if (event.kind === "clock") now += ms(event.seconds);
      if (event.kind === "effect") effect(event);
      if (event.kind === "purge") {
        // Gone for good, even if the clock is set back afterwards.
        for (const [name, { keptUntil }] of generations) {
          if (keptUntil <= now) generations.delete(name);
        }
      }
      if (event.kind !== "call" || answered === undefined) return;
      const { call } = event;
      if (isGranted(answered) && call.method === "claim") {
        claimed(call, answered);
      } else if (answered.outcome === "abandoned" && call.method === "claim") {
        abandoned(call);
      } else if (answered.outcome === "recorded") {
        recorded(call as Exclude<Call, { method: "claim" | "read" }>);
      } else if (answered.outcome === "replay") {
        replayed(call, answered.answer);
      } else if (answered.outcome === "read" && answered.read !== null) {
        replayed(call, answered.read);
      } else if (event.client === -1 && call.method === "claim") {
        must(
          answered.outcome === "mismatch",
          `no key is stuck when faults are over, but ${
            tokenOf(call)
          } is told ${answered.outcome}`,
        );
      }
    },
  };
}

function ms(seconds: number): number {
  return Math.round(seconds * 1000);
}

function must(holds: unknown, promise: string): asserts holds {
  if (!holds) throw new Error(`broken: ${promise}`);
}
