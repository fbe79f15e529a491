/**
 * The contract that every {@link Ledger} keeps, as cases that any test runner
 * can run.
 *
 * @module
 */
import { toBase64 } from "./body.ts";
import {
  type Answer,
  type BatchClaim,
  type BatchTerms,
  type Claimed,
  type ClaimResult,
  type ClaimTerms,
  type Failure,
  type Identity,
  isRefused,
  type Ledger,
  MAX_BATCH,
  type Settlement,
  type SettleResult,
  type StepResult,
} from "./ledger.ts";

/** A store to be proven, and the means to do so. */
export interface ContractSubject {
  readonly ledger: Ledger;
  /** Two users that the store knows, such as two accounts of the project. */
  readonly users: readonly [string, string];
  /** Makes everything in the store this much older, leases and TTLs included. */
  age(seconds: number): Promise<void> | void;
  /** Called after the case, whether it held or not. */
  close?(): Promise<void> | void;
}

/** One promise of the contract. */
export interface ContractCase {
  /** The promise, as a sentence. */
  readonly name: string;
  /**
   * Opens a subject and puts it to the test.
   *
   * @throws {ContractError} When the store breaks the promise; the message says
   * what it answered, and what it should have.
   */
  run(): Promise<void>;
}

/** A store broke a promise of the contract. */
export class ContractError extends Error {
  override readonly name = "ContractError";
  constructor(what: string, actual: unknown, expected: unknown) {
    super(
      `${what}: the store answered ${show(actual)}, not ${show(expected)}`,
    );
  }
}

/**
 * Every promise of {@link Ledger} as a case: atomic claims, leases, takeovers,
 * steps, byte-exact answers, isolation of users, TTLs. What a store may lack
 * (batches, status, deletion) is tried only where it is there.
 *
 * It needs no test runner: `Deno.test`, `node:test`, `bun:test`, or a loop in a
 * Worker run the cases. A case uses keys that no other one uses, so a store
 * need not be emptied in between; cases that age it must not run at once.
 *
 * @param open Opens the store, once for each case.
 *
 * @example With any runner
 * ```ts
 * import { memoryLedger } from "./memory_ledger.ts";
 * import { ledgerContract } from "./testing.ts";
 *
 * const cases = ledgerContract(() => {
 *   let now = Date.now();
 *   return {
 *     ledger: memoryLedger({ now: () => now }),
 *     users: ["ada", "bob"],
 *     age: (seconds) => void (now += seconds * 1000),
 *   };
 * });
 * // Deno.test(name, run), or test(name, run) of node:test and bun:test
 * for (const { run } of cases) await run();
 * ```
 */
export function ledgerContract(
  open: () => Promise<ContractSubject> | ContractSubject,
): ContractCase[] {
  return Object.entries(PROMISES).map(([name, body]) => ({
    name,
    async run() {
      const subject = await open();
      try {
        await body(new Bench(subject));
      } finally {
        await subject.close?.();
      }
    },
  }));
}

const FINGERPRINT = "a".repeat(64);
const OTHER_FINGERPRINT = "b".repeat(64);
const LEASE = 60;
const TTL = 3600;
const MAX_ATTEMPTS = 3;
const TERMS = {
  leaseSeconds: LEASE,
  ttlSeconds: TTL,
  onAbandoned: "retry" as const,
  maxAttempts: MAX_ATTEMPTS,
};

const text = (value: string) => new TextEncoder().encode(value);

const CREATED: Answer = {
  status: 201,
  headers: { "content-type": "application/json", "location": "/orders/1" },
  body: text('{ "b": 1, "a": "ü €\\n" }'),
};

const OTHER: Answer = { ...CREATED, status: 202 };

const DECLINED: Failure = { message: "the card was declined", status: 502 };

const REPLAYED: ClaimResult = { outcome: "replay", answer: CREATED };

const BODIES: Record<string, Uint8Array> = {
  "every byte": Uint8Array.from({ length: 256 }, (_, byte) => byte),
  "a byte-order mark": text('\uFEFF{"a":1}'),
  "NUL characters": text("a\0b\0"),
  "text of many scripts": text("ü € 日本 😀 \u2028 \\u0000"),
  "no UTF-8": Uint8Array.of(0xff, 0xfe, 0x41, 0x00, 0xd8),
  "a hundred thousand bytes": text("0123456789".repeat(10_000)),
};

// What JSON can hold, and what is easily taken for nothing.
const RESULTS: Record<string, StepResult> = {
  "nothing": {},
  "null": { value: null },
  "false": { value: false },
  "zero": { value: 0 },
  "empty text": { value: "" },
  "empty list": { value: [] },
  "constructor": { id: "ch_1", "ü": [1, { deep: null }] },
  "a name: with/signs.and 'quotes' \"€\"": { value: 1.5 },
};

const DONE: StepResult = { value: true };

const PROMISES: Record<string, (t: Bench) => Promise<void>> = {
  async "claim() grants a free key with attempt 1 and no steps"(t) {
    const { attempt, steps } = granted("claimed", await t.claim());
    equal("the first claim", { attempt, steps }, { attempt: 1, steps: {} });
  },

  async "claim() tells the same owner the same again"(t) {
    const first = await t.claim({ ownerToken: t.owner });
    equal("the claim again", await t.claim({ ownerToken: t.owner }), first);
    await t.age(LEASE + 1);
    equal("once lapsed", await t.claim({ ownerToken: t.owner }), first);
    await outcome("in_progress", t.claim());
  },

  async "claim() tells the same owner the same again after a takeover"(t) {
    await t.bring("lapsed");
    const first = await t.claim({ ownerToken: t.other });
    granted("taken_over", first);
    equal("the claim again", await t.claim({ ownerToken: t.other }), first);
  },

  async "claim() tells others to wait, and for how long"(t) {
    await t.claim({ leaseSeconds: 60 });
    const { retryAfterSeconds } = await outcome("in_progress", t.claim());
    if (retryAfterSeconds < 50 || retryAfterSeconds > 60) {
      throw new ContractError("the wait", retryAfterSeconds, "50 to 60");
    }
  },

  async "claim() replays a completed key, whoever asks"(t) {
    await t.bring("completed");
    equal("a stranger's claim", await t.claim(), REPLAYED);
    equal("its owner's", await t.claim({ ownerToken: t.owner }), REPLAYED);
    equal("a reading", await t.read(), CREATED);
  },

  async "claim() runs a failed key again as the next attempt"(t) {
    await t.bring("failed");
    equal("a reading", await t.read(), null);
    equal("attempt", granted("claimed", await t.claim()).attempt, 2);
    await outcome("in_progress", t.claim());
  },

  ...each(
    ["processing", "lapsed", "failed", "completed", "parked"] as const,
    (state) => `claim() refuses another payload for a ${state} key`,
    async (t, state) => {
      await t.bring(state);
      await outcome("mismatch", t.claim({ fingerprint: OTHER_FINGERPRINT }));
      await outcome(
        "mismatch",
        t.claim({ fingerprint: OTHER_FINGERPRINT, onAbandoned: "refuse" }),
      );
      const owner = { fingerprint: OTHER_FINGERPRINT, ownerToken: t.owner };
      await outcome("mismatch", t.claim(owner));
    },
  ),

  async "claim() remembers the payload over attempts"(t) {
    await t.bring("lapsed");
    granted("taken_over", await t.claim({ ownerToken: t.other }));
    await outcome("mismatch", t.claim({ fingerprint: OTHER_FINGERPRINT }));
    await t.fail(t.other);
    await outcome("mismatch", t.claim({ fingerprint: OTHER_FINGERPRINT }));
    granted("claimed", await t.claim());
  },

  async "claim() hands a lapsed lease to the next caller as taken over"(t) {
    await t.claim();
    await t.age(LEASE - 10);
    await outcome("in_progress", t.claim());
    await t.age(11);
    equal("attempt", granted("taken_over", await t.claim()).attempt, 2);
    await outcome("in_progress", t.claim());
  },

  async "claim() leaves a lapsed lease alone where told to refuse"(t) {
    await t.bring("lapsed");
    await outcome("abandoned", t.claim({ onAbandoned: "refuse" }));
    await outcome("recorded", t.complete(t.owner, CREATED));
    equal("a reading", await t.read(), CREATED);
  },

  ...each(
    ["free", "lapsed", "failed"] as const,
    (state) => `claim() grants a ${state} key to one of many at once`,
    async (t, state) => {
      if (state !== "free") await t.bring(state);
      const results = await Promise.all(
        Array.from({ length: 20 }, () => t.claim()),
      );
      equal("grants", results.filter(isGranted).length, 1);
      equal("the rest", count(results, "in_progress"), 19);
    },
  ),

  async "claim() sent twice at once by one owner is one attempt"(t) {
    const [first, second] = await Promise.all([
      t.claim({ ownerToken: t.owner }),
      t.claim({ ownerToken: t.owner }),
    ]);
    equal("the second", second, first);
    equal("attempt", granted("claimed", first).attempt, 1);
  },

  async "claim() parks a key after maxAttempts crashes in a row"(t) {
    await t.bring("parked");
    for (const onAbandoned of ["retry", "refuse"] as const) {
      await outcome("abandoned", t.claim({ onAbandoned }));
    }
    await outcome("abandoned", t.claim({ maxAttempts: MAX_ATTEMPTS }));
    equal("a reading", await t.read(), null);
  },

  async "claim() parks a key after its first crash where maxAttempts is 1"(t) {
    await t.bring("lapsed");
    await outcome("abandoned", t.claim({ maxAttempts: 1 }));
  },

  async "claim() counts crashes anew after a failure"(t) {
    await t.claim();
    await t.age(LEASE + 1);
    granted("taken_over", await t.claim({ ownerToken: t.owner }));
    await t.fail(t.owner);
    granted("claimed", await t.claim());
    for (const attempt of [4, 5]) {
      await t.age(LEASE + 1);
      equal("attempt", granted("taken_over", await t.claim()).attempt, attempt);
    }
    await t.age(LEASE + 1);
    await outcome("abandoned", t.claim());
  },

  async "a parked key's last owner may still complete it"(t) {
    await t.bring("parked");
    await outcome("recorded", t.complete(t.owner, CREATED));
    equal("a claim", await t.claim(), REPLAYED);
  },

  async "a fence is greater than every earlier one, whosever key it is"(t) {
    const fences: number[] = [];
    const take = async (next: Bench, terms?: Partial<ClaimTerms>) => {
      const result = await next.claim(terms);
      if (!isGranted(result)) throw new ContractError("a claim", result, "it");
      fences.push(result.fence);
    };
    const [, bob] = t.users;
    const later = t.anew();
    await take(t, { ownerToken: t.owner });
    await take(t.as(bob));
    await take(t.as(null));
    await t.fail(t.owner);
    await take(t);
    await take(later);
    await t.age(LEASE + 1);
    await take(t);
    await take(later);
    await t.age(TTL + 1);
    await take(t);
    await take(t.in("refunds"));
    const sorted = [...new Set(fences)].sort((a, b) => a - b);
    equal("the fences in order", fences, sorted);
  },

  async "a live lease outlasts a shorter TTL"(t) {
    await t.claim({ leaseSeconds: 600, ttlSeconds: 10 });
    await t.age(60);
    await outcome("in_progress", t.claim());
  },

  async "a key is free when its time is over, for any payload"(t) {
    await t.bring("completed");
    await t.age(TTL + 1);
    equal("a reading", await t.read(), null);
    const result = await t.claim({ fingerprint: OTHER_FINGERPRINT });
    equal("attempt", granted("claimed", result).attempt, 1);
    equal("a reading", await t.read(), null);
  },

  async "a key whose attempts crashed is free when its time is over"(t) {
    await t.bring("parked");
    await t.age(TTL + 1);
    equal("attempt", granted("claimed", await t.claim()).attempt, 1);
  },

  async "a key's time counts from its claim"(t) {
    await t.claim({ ownerToken: t.owner });
    await t.age(LEASE - 10);
    await t.complete(t.owner, CREATED);
    await t.age(TTL - LEASE);
    equal("just before", await t.read(), CREATED);
    await t.age(20);
    equal("just after", await t.read(), null);
    granted("claimed", await t.claim());
  },

  async "an answer is kept for half its TTL, however late it came"(t) {
    await t.claim({ ownerToken: t.owner, leaseSeconds: TTL });
    await t.age(TTL - 100);
    await outcome("recorded", t.complete(t.owner, CREATED));
    await t.age(TTL / 2 - 50);
    equal("just before", await t.read(), CREATED);
    await t.age(100);
    equal("just after", await t.read(), null);
  },

  async "a failure is kept as long as its own TTL says"(t) {
    await t.claim({ ownerToken: t.owner });
    await t.fail(t.owner, DECLINED, 60);
    await t.age(61);
    equal("attempt", granted("claimed", await t.claim()).attempt, 1);
  },

  async "renew() makes a lease longer, and never shorter"(t) {
    await t.claim({ ownerToken: t.owner });
    await outcome("recorded", t.renew(t.owner, 300));
    await outcome("recorded", t.renew(t.owner, 1));
    await t.age(290);
    await outcome("in_progress", t.claim());
    await outcome("recorded", t.renew(t.owner, 60));
    await t.age(50);
    await outcome("in_progress", t.claim());
    await t.age(11);
    granted("taken_over", await t.claim());
  },

  async "renew() revives a lapsed lease that nobody took over"(t) {
    await t.bring("lapsed");
    await outcome("recorded", t.renew(t.owner, LEASE));
    await outcome("in_progress", t.claim());
  },

  async "renew() and checkpoint() keep a key that would expire under its attempt"(
    t,
  ) {
    await t.claim({ ownerToken: t.owner, ttlSeconds: 100 });
    await outcome("recorded", t.renew(t.owner, 300));
    const next = t.anew();
    await next.claim({ ownerToken: t.owner, ttlSeconds: 100 });
    await outcome("recorded", next.checkpoint(t.owner, "charge", DONE, 300));
    await t.age(200);
    await outcome("in_progress", t.claim());
    await outcome("in_progress", next.claim());
  },

  async "checkpoint() keeps what JSON can hold, for the next attempt"(t) {
    await t.claim({ ownerToken: t.owner });
    for (const [step, result] of Object.entries(RESULTS)) {
      await outcome("recorded", t.checkpoint(t.owner, step, result));
    }
    await t.age(LEASE + 1);
    const over = granted("taken_over", await t.claim({ ownerToken: t.other }));
    equal("the steps after a takeover", over.steps, RESULTS);
    await t.fail(t.other);
    const again = granted("claimed", await t.claim());
    equal("the steps after a failure", again.steps, RESULTS);
  },

  async "checkpoint() keeps steps that are recorded at once"(t) {
    await t.claim({ ownerToken: t.owner });
    const names = Array.from({ length: 10 }, (_, n) => `step ${n}`);
    await Promise.all(
      names.map((name) => t.checkpoint(t.owner, name, { name })),
    );
    await t.fail(t.owner);
    const { steps } = granted("claimed", await t.claim());
    equal("the steps", Object.keys(steps).sort(), names);
  },

  async "checkpoint() keeps the first result of a step"(t) {
    await t.claim({ ownerToken: t.owner });
    await outcome("recorded", t.checkpoint(t.owner, "charge", { value: null }));
    await outcome(
      "recorded",
      t.checkpoint(t.owner, "charge", { value: "second" }),
    );
    await t.fail(t.owner);
    await t.claim({ ownerToken: t.other });
    await outcome(
      "recorded",
      t.checkpoint(t.other, "charge", { value: "third" }),
    );
    const told = await t.claim({ ownerToken: t.other });
    equal("the steps", granted("claimed", told).steps, {
      charge: { value: null },
    });
  },

  async "checkpoint() renews the lease, and never makes it shorter"(t) {
    await t.claim({ ownerToken: t.owner });
    await t.age(50);
    await t.checkpoint(t.owner, "charge", DONE, 60);
    await t.checkpoint(t.owner, "ship", DONE, 1);
    await t.age(50);
    await outcome("in_progress", t.claim());
  },

  async "steps are gone with the time of their key"(t) {
    await t.claim({ ownerToken: t.owner });
    await t.checkpoint(t.owner, "charge", { id: "ch_1" });
    await t.fail(t.owner);
    await t.age(TTL + 1);
    const result = await t.claim({ fingerprint: OTHER_FINGERPRINT });
    equal("the steps", granted("claimed", result).steps, {});
  },

  async "complete() and fail() can be sent again"(t) {
    await t.claim({ ownerToken: t.owner });
    await outcome("recorded", t.fail(t.owner));
    await outcome("recorded", t.fail(t.owner));
    await t.claim({ ownerToken: t.other });
    await outcome("recorded", t.complete(t.other, CREATED));
    await outcome("recorded", t.complete(t.other, CREATED));
    equal("a reading", await t.read(), CREATED);
  },

  async "a completed answer never changes, not even for its owner"(t) {
    await t.bring("completed");
    await t.complete(t.owner, OTHER);
    equal("fail()", await t.fail(t.owner), REPLAYED);
    equal("renew()", await t.renew(t.owner), REPLAYED);
    equal("checkpoint()", await t.checkpoint(t.owner, "late", DONE), REPLAYED);
    equal("a reading", await t.read(), CREATED);
  },

  async "an attempt that failed cannot complete"(t) {
    await t.bring("failed");
    await outcome("lost", t.complete(t.owner, CREATED));
    equal("a reading", await t.read(), null);
    equal("attempt", granted("claimed", await t.claim()).attempt, 2);
  },

  async "fail() takes any message, and a failure without a status"(t) {
    await t.claim({ ownerToken: t.owner });
    const failure = { message: "ü\0\n".repeat(5000), status: null };
    await outcome("recorded", t.fail(t.owner, failure));
    granted("claimed", await t.claim({ ownerToken: t.other }));
    await outcome("recorded", t.fail(t.other, { message: "", status: 503 }));
  },

  async "a stale owner changes nothing while its successor runs"(t) {
    await t.bring("lapsed");
    await t.claim({ ownerToken: t.other });
    for (const call of t.everyCall(t.owner)) await outcome("lost", call());
    await t.age(LEASE + 1);
    const { steps } = granted("taken_over", await t.claim());
    equal("the steps", steps, {});
  },

  async "a stale owner changes nothing after its successor failed"(t) {
    await t.bring("lapsed");
    await t.claim({ ownerToken: t.other });
    await t.fail(t.other);
    for (const call of t.everyCall(t.owner)) await outcome("lost", call());
    const { attempt, steps } = granted("claimed", await t.claim());
    equal("the next", { attempt, steps }, { attempt: 3, steps: {} });
  },

  async "a stale owner is told the answer of the one who won"(t) {
    await t.bring("lapsed");
    await t.claim({ ownerToken: t.other });
    await t.age(LEASE + 1);
    const last = crypto.randomUUID();
    await t.claim({ ownerToken: last });
    await t.complete(last, CREATED);
    for (const stale of [t.owner, t.other]) {
      for (const call of t.everyCall(stale)) {
        equal("a stale call", await call(), REPLAYED);
      }
    }
    equal("a reading", await t.read(), CREATED);
  },

  async "whoever never claimed changes nothing and is told nothing"(t) {
    await t.claim({ ownerToken: t.owner });
    for (const call of t.everyCall(t.other)) await outcome("gone", call());
    await outcome("recorded", t.complete(t.owner, CREATED));
    for (const call of t.everyCall(t.other)) await outcome("gone", call());
    equal("a reading", await t.read(), CREATED);
  },

  async "an owner from before the key expired is told nothing"(t) {
    await t.bring("processing");
    await t.age(TTL + 1);
    await t.claim({ ownerToken: t.other, fingerprint: OTHER_FINGERPRINT });
    for (const call of t.everyCall(t.owner)) await outcome("gone", call());
    await outcome("recorded", t.complete(t.other, OTHER));
    for (const call of t.everyCall(t.owner)) await outcome("gone", call());
    equal("a reading", await t.read(), OTHER);
  },

  async "settling a key that is not there says so"(t) {
    for (const call of t.everyCall(t.owner)) await outcome("gone", call());
    equal("a reading", await t.read(), null);
    granted("claimed", await t.claim());
  },

  // Two trips, one to look and one to write, have room for somebody between them.
  async "an owner and a takeover meet, and one of them has the key"(t) {
    for (const call of t.everyCall("").keys()) {
      for (const order of ["the owner first", "the takeover first"]) {
        const next = t.anew();
        await next.bring("lapsed");
        const both = [
          next.everyCall(next.owner)[call]!,
          () => next.claim({ ownerToken: next.other }),
        ];
        if (order === "the takeover first") both.reverse();
        const results = await Promise.all(both.map((one) => one()));
        const who = results.map(({ outcome }) => outcome)
          .filter((it) => it === "recorded" || it === "taken_over");
        equal(`how many have the key, ${order}`, who.length, 1);
      }
    }
  },

  async "two users and the project never meet under one key"(t) {
    const [ada, bob] = t.users;
    const all = [ada, bob, null].map((userId) => t.as(userId));
    for (const one of all) {
      const result = await one.claim({ ownerToken: t.owner });
      equal("attempt", granted("claimed", result).attempt, 1);
    }
    const [first, second, project] = all as [Bench, Bench, Bench];
    await first.checkpoint(t.owner, "charge", { value: "ada's" });
    await outcome("recorded", first.complete(t.owner, CREATED));
    equal("another user reads", await second.read(), null);
    equal("the project reads", await project.read(), null);
    await outcome("recorded", second.fail(t.owner));
    const again = granted("claimed", await second.claim());
    equal("another user's steps", again.steps, {});
    await outcome("in_progress", project.claim());
    equal("its user reads", await first.read(), CREATED);
  },

  async "two scopes never meet under one key"(t) {
    await t.bring("completed");
    const refunds = t.in("refunds");
    const result = await refunds.claim({ fingerprint: OTHER_FINGERPRINT });
    equal("attempt", granted("claimed", result).attempt, 1);
    equal("a reading", await refunds.read(), null);
    // Joined with a separator, these two would be one.
    for (const sign of "-_") {
      const scope = `a${sign}b`;
      granted("claimed", await t.in(scope, `c${sign}${t.key}`).claim());
      granted("claimed", await t.in("a", `b${sign}c${sign}${t.key}`).claim());
    }
  },

  // A database may compare texts as people do, cut them, or know no null.
  async "names that differ in little never meet"(t) {
    const key = `${t.key}-`.padEnd(256, "x");
    const user = t.as("user_Zoe").in("ordeRs", key);
    const signs = [..."-_:/|.,# "];
    for (
      const one of [
        user,
        user.as("user_zoe"),
        user.as("user_Zoé"),
        user.as("user_Zoe "),
        user.as("null"),
        user.as(null),
        user.in("orders", key),
        user.in("ordéRs", key),
        user.in("ordeRs ", key),
        user.in("ordeRs", key.toUpperCase()),
        user.in("ordeRs", key.replaceAll("-", "_")),
        user.in("ordeRs", `${key.slice(0, -1)}y`),
        user.in("ordeRs", key.slice(0, -1)),
        ...signs.map((sign) => t.as(`u${sign}a`).in("b", key)),
        ...signs.map((sign) => t.as("u").in(`a${sign}b`, key)),
      ]
    ) granted("claimed", await one.claim({ thirdParty: true }));
  },

  ...each(
    ["user_2abc", "auth0|5f7c8e", `u${"ü".repeat(4)}${"x".repeat(250)}`],
    (userId) => `a user id may be any text: ${userId.slice(0, 12)}`,
    async (t, userId) => {
      const user = t.as(userId);
      const third = { thirdParty: true, ownerToken: t.owner };
      granted("claimed", await user.claim(third));
      await outcome("recorded", user.renew(t.owner));
      await outcome("recorded", user.checkpoint(t.owner, "charge", DONE));
      await outcome("recorded", user.complete(t.owner, CREATED));
      equal("a claim", await user.claim({ thirdParty: true }), REPLAYED);
      equal("a reading", await user.read(), CREATED);
      equal("as somebody else", await t.as(`${userId.slice(1)}`).read(), null);
    },
  ),

  async "a third party's user whose id is a UUID needs no account"(t) {
    const user = t.as(crypto.randomUUID());
    const third = { thirdParty: true, ownerToken: t.owner };
    granted("claimed", await user.claim(third));
    await outcome("recorded", user.complete(t.owner, CREATED));
    equal("a reading", await user.read(), CREATED);
  },

  ...each(
    Object.keys(BODIES),
    (name) => `a body is kept byte for byte: ${name}`,
    async (t, name) => {
      for (const type of ["application/json", "text/plain", "image/png"]) {
        const answer = {
          status: 200,
          headers: { "content-type": type },
          body: BODIES[name]!,
        };
        const next = t.anew();
        await next.claim({ ownerToken: t.owner });
        await next.complete(t.owner, answer);
        equal(type, await next.read(), answer);
        equal(type, await next.claim(), { outcome: "replay", answer });
      }
    },
  ),

  async "an empty body is an answer, one that was not kept is none"(t) {
    for (const body of [new Uint8Array(), null]) {
      const answer = { status: 204, headers: {}, body };
      const next = t.anew();
      await next.claim({ ownerToken: t.owner });
      await next.complete(t.owner, answer);
      equal("a reading", await next.read(), answer);
      equal("a claim", await next.claim(), { outcome: "replay", answer });
    }
  },

  async "status and headers are kept as they were"(t) {
    for (const status of [200, 303, 402, 599]) {
      const headers = { "etag": 'W/"1"', "x-empty": "", "x-latin": "ü, ;=" };
      const answer = { status, headers, body: text("{}") };
      const next = t.anew();
      await next.claim({ ownerToken: t.owner });
      await next.complete(t.owner, answer);
      equal("a reading", await next.read(), answer);
    }
  },

  async "an answer that was given out is nobody's to change"(t) {
    await t.claim({ ownerToken: t.owner });
    const body = text("first");
    await t.complete(t.owner, { status: 200, headers: {}, body });
    body.fill(0);
    (await t.read())?.body?.fill(0);
    equal("a reading", (await t.read())?.body, text("first"));
  },

  async "status() tells how a key stands"(t) {
    if (!t.hasStatus) return;
    equal("before the first claim", await t.status(), null);
    await t.claim({ ownerToken: t.owner });
    await t.checkpoint(t.owner, "ship", DONE);
    await t.checkpoint(t.owner, "charge", DONE);
    const first = await t.standing();
    equal("running", first, {
      status: "processing",
      attempt: 1,
      statusCode: null,
      isStuck: false,
      hasEnded: false,
      finishedSteps: ["charge", "ship"],
    });
    await t.age(LEASE + 1);
    equal("lapsed", await t.standing(), { ...first, isStuck: true });
    await t.claim({ ownerToken: t.other });
    await t.fail(t.other);
    const failed = await t.standing();
    equal("failed", failed, {
      ...first,
      status: "failed",
      attempt: 2,
      statusCode: DECLINED.status,
      hasEnded: true,
    });
    await t.claim({ ownerToken: t.owner });
    equal("again", await t.standing(), { ...first, attempt: 3 });
    await t.complete(t.owner, CREATED);
    const { status, statusCode, hasEnded } = await t.standing();
    equal("completed", { status, statusCode, hasEnded }, {
      status: "completed",
      statusCode: CREATED.status,
      hasEnded: true,
    });
    await t.age(TTL + 1);
    equal("expired", await t.status(), null);
  },

  async "status() tells when a key was claimed and will expire"(t) {
    if (!t.hasStatus) return;
    await t.claim({ ownerToken: t.owner });
    await t.age(100);
    await t.claim();
    const status = await t.status();
    const { createdAt, claimedAt, expiresAt } = status ?? {};
    const seconds = (from?: Date, to?: Date) =>
      Math.round((Number(to) - Number(from)) / 10_000) * 10;
    equal("from the first claim", seconds(createdAt, claimedAt), 100);
    equal("from the latest one", seconds(claimedAt, expiresAt), TTL);
  },

  async "deleteExpired() deletes what has expired, never a running attempt"(t) {
    if (!t.hasDeletion) return;
    const [done, running, old] = t.five();
    await old.claim({ ownerToken: old.owner });
    await t.age(TTL + 1);
    await done.bring("completed");
    await running.claim({ ownerToken: running.owner, leaseSeconds: 2 * TTL });
    // Whatever other cases left in the store has expired, too.
    equal("some are deleted", await t.deleteExpired() >= 1, true);
    await outcome("gone", old.renew(old.owner));
    equal("the completed one", await done.read(), CREATED);
    await outcome("recorded", running.renew(running.owner));
    equal("how many are left", await t.deleteExpired(), 0);
  },

  async "claimMany() decides as claim() does, in the order given"(t) {
    if (!t.hasClaims) return;
    const [done, busy, free, other, failed] = t.five();
    await done.bring("completed");
    await busy.bring("processing");
    await other.bring("completed");
    await failed.bring("failed");
    const results = await t.claimMany([
      { key: done.key },
      { key: busy.key },
      { key: free.key },
      { key: other.key, fingerprint: OTHER_FINGERPRINT },
      { key: failed.key },
    ]);
    equal("outcomes", results.map(({ outcome }) => outcome), [
      "replay",
      "in_progress",
      "claimed",
      "mismatch",
      "claimed",
    ]);
    equal("the replay", results[0], REPLAYED);
    equal("attempt", granted("claimed", results[2]!).attempt, 1);
    equal("attempt", granted("claimed", results[4]!).attempt, 2);
    await outcome("in_progress", free.claim());
  },

  async "claimMany() takes over and parks as claim() does"(t) {
    if (!t.hasClaims) return;
    const [lapsed, parked] = t.five();
    await parked.bring("parked");
    await lapsed.bring("processing");
    await lapsed.checkpoint(lapsed.owner, "charge", DONE);
    await t.age(LEASE + 1);
    const [over, refused] = await t.claimMany([
      { key: lapsed.key },
      { key: parked.key },
    ]);
    equal("the steps", granted("taken_over", over!).steps, { charge: DONE });
    equal("the parked one", refused, { outcome: "abandoned" });
  },

  async "claimMany() claims under the terms of its own batch"(t) {
    if (!t.hasClaims) return;
    for (const leaseSeconds of [60, 600, 10]) {
      const { key } = t.anew();
      const claim = async (terms: Partial<BatchTerms>) =>
        (await t.claimMany([{ key }], { leaseSeconds, ...terms }))[0]!;
      granted("claimed", await claim({}));
      await t.age(leaseSeconds - 5);
      equal("before", (await claim({})).outcome, "in_progress");
      await t.age(6);
      for (
        const terms of [{ onAbandoned: "refuse" }, { maxAttempts: 1 }] as const
      ) {
        equal(
          "where told to refuse",
          (await claim(terms)).outcome,
          "abandoned",
        );
      }
      granted("taken_over", await claim({}));
    }
  },

  async "claimMany() grants a key that is named twice once"(t) {
    if (!t.hasClaims) return;
    const results = await t.claimMany([{ key: t.key }, { key: t.key }]);
    equal("outcomes", results.map(({ outcome }) => outcome), [
      "claimed",
      "in_progress",
    ]);
  },

  async "claimMany() of overlapping batches grants each key once"(t) {
    if (!t.hasClaims) return;
    const keys = Array.from({ length: MAX_BATCH / 5 }, () => t.anew().key);
    const batches = await Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        t.claimMany(
          (n % 2 ? keys : [...keys].reverse()).map((key) => ({ key })),
        )),
    );
    equal("grants", batches.flat().filter(isGranted).length, keys.length);
  },

  async "settleMany() settles each key for its owner, again and again"(t) {
    if (!t.hasSettlements) return;
    const [done, failed, strange, late] = t.five();
    for (const one of [done, failed, strange]) await one.bring("processing");
    await late.bring("lapsed");
    await late.claim({ ownerToken: late.other });
    await late.complete(late.other, OTHER);
    // All have lapsed, but of the first three nobody took over any.
    for (let time = 0; time < 2; time++) {
      const results = await t.settleMany([
        { key: done.key, ownerToken: done.owner, answer: CREATED },
        { key: failed.key, ownerToken: failed.owner, failure: DECLINED },
        { key: strange.key, ownerToken: strange.other, answer: CREATED },
        { key: late.key, ownerToken: late.owner, answer: CREATED },
      ]);
      equal("the settlements", results, [
        { outcome: "recorded" },
        { outcome: "recorded" },
        { outcome: "gone" },
        { outcome: "replay", answer: OTHER },
      ]);
    }
    equal("a reading", await done.read(), CREATED);
    equal("attempt", granted("claimed", await failed.claim()).attempt, 2);
  },

  async "settleMany() keeps each body byte for byte"(t) {
    if (!t.hasSettlements) return;
    const bodies = [...Object.values(BODIES), new Uint8Array(), null];
    const all = bodies.map((body) => ({
      one: t.anew(),
      answer: { status: 200, headers: { "content-type": "image/png" }, body },
    }));
    for (const { one } of all) await one.bring("processing");
    const results = await t.settleMany(
      all.map(({ one: { key, owner: ownerToken }, answer }) => ({
        key,
        ownerToken,
        answer,
      })),
    );
    equal("recorded", count(results, "recorded"), all.length);
    for (const { one, answer } of all) {
      equal("a reading", await one.read(), answer);
    }
  },

  async "settleMany() keeps answers and failures as long as each is to be"(t) {
    if (!t.hasSettlements) return;
    for (const [completed, failed] of [[TTL, 60], [60, TTL]] as const) {
      const [done, not] = t.five();
      for (const one of [done, not]) await one.bring("processing");
      await t.settleMany([
        { key: done.key, ownerToken: done.owner, answer: CREATED },
        { key: not.key, ownerToken: not.owner, failure: DECLINED },
      ], { completed, failed });
      await t.age(61);
      equal("a reading", await done.read(), completed === 60 ? null : CREATED);
      const { attempt } = granted("claimed", await not.claim());
      equal("attempt", attempt, failed === 60 ? 1 : 2);
    }
  },

  async "a batch never meets the keys of another user or scope"(t) {
    const [, bob] = t.users;
    const running = t.anew();
    await running.bring("processing");
    await t.bring("completed");
    for (const other of [t.as(bob), t.as(null), t.in("refunds")]) {
      if (t.hasSettlements) {
        const results = await other.settleMany([
          { key: running.key, ownerToken: running.owner, answer: OTHER },
        ]);
        equal("a stranger's settlement", results, [{ outcome: "gone" }]);
      }
      if (!t.hasClaims) continue;
      const [result] = await other.claimMany([{ key: t.key }]);
      granted("claimed", result!);
    }
    await outcome("recorded", running.complete(running.owner, CREATED));
  },

  async "a batch of nothing is answered with nothing"(t) {
    if (t.hasClaims) equal("claims", await t.claimMany([]), []);
    if (t.hasSettlements) equal("settlements", await t.settleMany([]), []);
  },
};

/** A key, and what may be done with it. */
class Bench {
  readonly owner = crypto.randomUUID();
  readonly other = crypto.randomUUID();
  readonly key: string;
  readonly users: ContractSubject["users"];
  readonly hasClaims: boolean;
  readonly hasSettlements: boolean;
  readonly hasStatus: boolean;
  readonly hasDeletion: boolean;
  readonly #subject: ContractSubject;
  readonly #ledger: Ledger;
  readonly #identity: Identity;

  constructor(subject: ContractSubject, identity?: Partial<Identity>) {
    const { ledger, users } = subject;
    this.#subject = subject;
    this.#ledger = ledger;
    this.#identity = {
      userId: users[0],
      scope: "orders",
      key: `key-${crypto.randomUUID()}`,
      ...identity,
    };
    this.key = this.#identity.key;
    this.users = users;
    this.hasClaims = ledger.claimMany !== undefined;
    this.hasSettlements = ledger.settleMany !== undefined;
    this.hasStatus = ledger.status !== undefined;
    this.hasDeletion = ledger.deleteExpired !== undefined;
  }

  claim(terms?: Partial<ClaimTerms>) {
    return this.#ledger.claim(this.#identity, {
      ...requestOf({ key: this.key }),
      ...TERMS,
      ...terms,
    });
  }
  renew(owner: string, leaseSeconds = LEASE) {
    return this.#ledger.renew(this.#identity, owner, leaseSeconds);
  }
  checkpoint(owner: string, step: string, result: StepResult, lease = LEASE) {
    return this.#ledger.checkpoint(this.#identity, owner, step, result, lease);
  }
  complete(owner: string, answer: Answer) {
    return this.#ledger.complete(this.#identity, owner, answer, TTL);
  }
  fail(owner: string, failure = DECLINED, ttlSeconds = TTL) {
    return this.#ledger.fail(this.#identity, owner, failure, ttlSeconds);
  }
  read() {
    return this.#ledger.read(this.#identity);
  }
  status() {
    return this.#ledger.status!(this.#identity);
  }
  /** The status without its times, which are the store's own. */
  async standing() {
    const status = await this.status();
    if (status === null) throw new ContractError("status()", null, "a status");
    const { attempt, statusCode, isStuck, finishedSteps, completedAt } = status;
    const hasEnded = completedAt !== null;
    return {
      status: status.status,
      attempt,
      statusCode,
      isStuck,
      hasEnded,
      finishedSteps,
    };
  }
  deleteExpired() {
    return this.#ledger.deleteExpired!();
  }
  /** Each call that names an owner. */
  everyCall(owner: string) {
    return [
      () => this.renew(owner),
      () => this.checkpoint(owner, "stale", DONE),
      () => this.complete(owner, OTHER),
      () => this.fail(owner),
    ];
  }
  async claimMany(
    requests: readonly { key: string; fingerprint?: string }[],
    terms?: Partial<BatchTerms>,
  ) {
    const { userId, scope } = this.#identity;
    const results = await this.#ledger.claimMany!(
      userId,
      scope,
      requests.map(requestOf),
      { ...TERMS, ...terms },
    );
    return results.map((result) => {
      if (isRefused(result)) throw result.error;
      return result;
    });
  }
  settleMany(
    settlements: readonly Settlement[],
    ttl = { completed: TTL, failed: TTL },
  ) {
    const { userId, scope } = this.#identity;
    return this.#ledger.settleMany!(userId, scope, settlements, ttl);
  }
  async age(seconds: number) {
    await this.#subject.age(seconds);
  }
  /** `parked`: after three crashes in a row, the last one the owner's. */
  async bring(
    state: "processing" | "lapsed" | "completed" | "failed" | "parked",
  ) {
    for (let crash = 1; state === "parked" && crash < MAX_ATTEMPTS; crash++) {
      await this.claim();
      await this.age(LEASE + 1);
    }
    await this.claim({ ownerToken: this.owner });
    if (state === "completed") await this.complete(this.owner, CREATED);
    if (state === "failed") await this.fail(this.owner);
    if (state === "lapsed" || state === "parked") await this.age(LEASE + 1);
  }
  as(userId: string | null) {
    return new Bench(this.#subject, { ...this.#identity, userId });
  }
  in(scope: string, key = this.key) {
    return new Bench(this.#subject, { ...this.#identity, scope, key });
  }
  /** The same caller with a new key. */
  anew() {
    const { userId, scope } = this.#identity;
    return new Bench(this.#subject, { userId, scope });
  }
  five(): [Bench, Bench, Bench, Bench, Bench] {
    return [
      this.anew(),
      this.anew(),
      this.anew(),
      this.anew(),
      this.anew(),
    ];
  }
}

function requestOf(request: { key: string; fingerprint?: string }): BatchClaim {
  return {
    fingerprint: FINGERPRINT,
    ownerToken: crypto.randomUUID(),
    metadata: null,
    ...request,
  };
}

function each<T>(
  values: readonly T[],
  name: (value: T) => string,
  body: (t: Bench, value: T) => Promise<void>,
): Record<string, (t: Bench) => Promise<void>> {
  return Object.fromEntries(
    values.map((value) => [name(value), (t: Bench) => body(t, value)]),
  );
}

function isGranted(result: ClaimResult): result is Claimed {
  return result.outcome === "claimed" || result.outcome === "taken_over";
}

function granted(outcome: Claimed["outcome"], result: ClaimResult): Claimed {
  if (isGranted(result) && result.outcome === outcome) return result;
  throw new ContractError("a claim", result, outcome);
}

async function outcome<
  R extends ClaimResult | SettleResult,
  O extends R["outcome"],
>(expected: O, call: Promise<R>): Promise<Extract<R, { outcome: O }>> {
  const result = await call;
  if (result.outcome !== expected) {
    throw new ContractError("a call", result, expected);
  }
  return result as Extract<R, { outcome: O }>;
}

function count(
  results: readonly { readonly outcome: string }[],
  outcome: string,
): number {
  return results.filter((result) => result.outcome === outcome).length;
}

function equal(what: string, actual: unknown, expected: unknown): void {
  if (show(actual) !== show(expected)) {
    throw new ContractError(what, actual, expected);
  }
}

/** A text that is the same for equal values, and only for those. */
function show(value: unknown): string {
  return JSON.stringify(value, (_name, part: unknown) => {
    if (part instanceof Uint8Array) return { bytes: toBase64(part) };
    if (typeof part !== "object" || part === null || Array.isArray(part)) {
      return part;
    }
    return Object.fromEntries(
      Object.entries(part).sort(([a], [b]) => a < b ? -1 : 1),
    );
  }) ?? "undefined";
}
