import type { Answer, Identity } from "../../../shared/idempotency/ledger.ts";
import { type Call, isGranted, type Result } from "./call.ts";
import type { Random } from "./random.ts";

/** What a client does next. */
export type Action =
  /** Sends a call and waits; resumed with the result, or `null` for none. */
  | { readonly kind: "send"; readonly call: Call }
  /** Does what the key is there to have done once. `step`: a part of it. */
  | {
    readonly kind: "effect";
    readonly identity: Identity;
    readonly ownerToken: string;
    readonly step: string | null;
  }
  /** Does nothing for so many moments. */
  | { readonly kind: "wait"; readonly moments: number };

/** A client at work on one request; a crash is to never resume it. */
export type Client = Generator<Action, void, Result | null>;

/** What clients choose from. */
export interface Choices {
  readonly identities: readonly Identity[];
  readonly fingerprints: readonly string[];
  newToken(): string;
  /** Seconds since the schedule began. */
  now(): number;
}

// Halves and wholes of these never meet a multiple of 10: on SQL, where the
// clock moves in such steps, the time that the schedule itself takes decides
// nothing.
const LEASES = [15, 35];
const TTLS = [25, 65, 605, 605];
// Few, so that keys are parked often.
const MAX_ATTEMPTS = [1, 2, 3, 5];
// In seconds: a lease or two, and many.
const MAX_RUNS = [40, 160];
const STEPS = ["reserve", "charge", "ship"];
const MAX_SENDS = 3;

/** One request, from the claim to whatever becomes of it. */
export function* client(random: Random, choices: Choices): Client {
  const identity = likely(random, choices.identities);
  const ownerToken = choices.newToken();
  const leaseSeconds = random.pick(LEASES);
  const claimed = yield* ask(random, {
    method: "claim",
    identity,
    terms: {
      fingerprint: choices.fingerprints[random.chance(0.9) ? 0 : 1]!,
      ownerToken,
      leaseSeconds,
      ttlSeconds: random.pick(TTLS),
      onAbandoned: random.chance(0.8) ? "retry" : "refuse",
      maxAttempts: random.pick(MAX_ATTEMPTS),
      metadata: null,
    },
  });
  if (claimed === null || !isGranted(claimed)) return;

  if (random.chance(0.1)) {
    yield* hang(random, { identity, ownerToken, leaseSeconds }, choices.now);
    return;
  }
  if (random.chance(0.15)) {
    yield* ask(random, {
      method: "fail",
      identity,
      ownerToken,
      ttlSeconds: random.pick(TTLS),
    });
    return;
  }
  for (const step of STEPS.slice(0, random.below(STEPS.length + 1))) {
    if (Object.hasOwn(claimed.steps, step)) continue;
    yield { kind: "effect", identity, ownerToken, step };
    const checkpoint = (by: string): Call => ({
      method: "checkpoint",
      identity,
      ownerToken,
      step,
      // null is a result like any other.
      result: { value: random.chance(0.1) ? null : { by, step } },
      leaseSeconds: random.pick(LEASES),
    });
    const kept = yield* ask(random, checkpoint(ownerToken));
    if (kept !== null && kept.outcome !== "recorded") return;
    // The same step under way twice, in one attempt: the first result stays.
    if (random.chance(0.1)) yield* ask(random, checkpoint("a second thought"));
  }
  if (random.chance(0.3)) {
    const renewed = yield* ask(random, {
      method: "renew",
      identity,
      ownerToken,
      leaseSeconds: random.pick(LEASES),
    });
    if (renewed !== null && renewed.outcome !== "recorded") return;
  }
  yield { kind: "effect", identity, ownerToken, step: null };
  const completion = (body: string): Call => ({
    method: "complete",
    identity,
    ownerToken,
    answer: answerOf(random, body),
    ttlSeconds: random.pick(TTLS),
  });
  const done = yield* ask(random, completion(`done by ${ownerToken}`));
  // What no honest client does. The answer must not change for it.
  if (random.chance(0.1)) {
    yield* ask(random, completion(`changed by ${ownerToken}`));
  }
  // Where nothing was heard it might be believed: that client lied, no more.
  if (done !== null && random.chance(0.05)) {
    const ttlSeconds = random.pick(TTLS);
    yield* ask(random, { method: "fail", identity, ownerToken, ttlSeconds });
  }
}

/** An attempt that never ends: renewed for as long as it may run, and no more. */
function* hang(
  random: Random,
  lease: Pick<
    Extract<Call, { method: "renew" }>,
    "identity" | "ownerToken" | "leaseSeconds"
  >,
  now: () => number,
): Generator<Action, void, Result | null> {
  for (const end = now() + random.pick(MAX_RUNS); now() < end;) {
    const renewed = yield* ask(random, { method: "renew", ...lease });
    if (renewed !== null && renewed.outcome !== "recorded") return;
    yield { kind: "wait", moments: random.below(6) };
  }
}

/** Sends a call again, as it was, while no answer comes. */
function* ask(
  random: Random,
  call: Call,
): Generator<Action, Result | null, Result | null> {
  for (let send = 1;; send++) {
    const result = yield { kind: "send", call };
    if (result !== null) return result;
    if (send === MAX_SENDS || random.chance(0.2)) return null;
  }
}

/** The first more often than all others: races are what is looked for. */
function likely<T>(random: Random, from: readonly T[]): T {
  return random.chance(0.6) ? from[0]! : random.pick(from);
}

function answerOf(random: Random, text: string): Answer {
  const status = random.pick([200, 201, 404]);
  const bytes = new TextEncoder().encode(text);
  const body = random.weighted({ text: 7, binary: 1, empty: 1, none: 1 });
  const bodies = {
    text: bytes,
    binary: Uint8Array.of(0, 255, ...bytes),
    empty: new Uint8Array(),
    none: null,
  };
  return { status, headers: { "x-answer": text }, body: bodies[body] };
}
