import {
  type Answer,
  type BatchTerms,
  type ClaimTerms,
  type Identity,
  identityName,
  type Ledger,
  type Settlement,
  type StepResult,
} from "../../../shared/idempotency/ledger.ts";
import type { Random } from "../simulation/random.ts";

/** A call of the port, sent to each ledger alike. */
export interface Move {
  /** The keys that it is about; no other move of the same moment is about them. */
  readonly about: readonly Identity[];
  /** For people who read a report. */
  text(): string;
  /** `undefined` where the ledger lacks the call. */
  send(ledger: Ledger): Promise<unknown> | undefined;
}

/** Calls that are sent at once, after the clock has moved. */
export interface Moment {
  readonly seconds: number;
  readonly moves: readonly Move[];
}

/**
 * Seconds that clocks move by, or multiples of it. What begins and ends on a
 * clock, halves of TTLs too, lies at least a quarter of it away from such a
 * moment, so ledgers on a real clock agree about what is over.
 */
export const GRAIN = 400;

const MOMENTS = 30;
const AT_ONCE = 3;
const CLOCK = [0, 0, 0, 0, 0, 1, 1, 2, 3, 6, 180].map((n) => n * GRAIN);
const LEASES = [0.5, 1.5, 2.5, 5.5].map((n) => n * GRAIN);
const TTLS = [1.5, 2.5, 4.5, 180.5, 5000.5].map((n) => n * GRAIN);
const FINGERPRINTS = ["a".repeat(64), "a".repeat(64), "b".repeat(64)];
const CHARACTERS = [
  ..."aZ09_- '\"\\`$%{}[]():;,./?&=<>|~^\t\n\x01\x7f",
  ..."üß€日😀\u0301\u202e\u2028\ufeff\u{10ffff}",
];
const STEPS = ["charge", "ship", "__proto__", "constructor"];
const STATUSES = [200, 201, 204, 303, 402, 409, 500, 599];
const TYPES = [
  "application/json",
  "application/problem+json; charset=utf-8",
  "text/plain",
  "text/html; charset=iso-8859-1",
  "image/png",
];
const VALUES: readonly unknown[] = [
  null,
  true,
  0,
  -1.5,
  1e21,
  5e-324,
  1.7976931348623157e308,
  2 ** 53,
  "",
  "\u2028 \\u0041 ü😀",
  [],
  [[null, {}]],
  JSON.parse('{ "__proto__": { "a": 1 }, "": 2, "toString": "3" }'),
];

/**
 * What a seed sends: calls of a few callers about a few keys, right, late and
 * wrong, alone and in batches, and at last a look at every key.
 *
 * @param accounts Two users that every ledger knows.
 */
export function momentsOf(
  random: Random,
  accounts: readonly [string, string],
): Moment[] {
  const odd = (most: number) =>
    Array.from(
      { length: 1 + random.below(most) },
      () => random.pick(CHARACTERS),
    ).join("");
  const uuid = () =>
    `00000000-0000-4000-8000-${
      random.below(2 ** 32).toString(16).padStart(12, "0")
    }`;
  const tokens = [uuid(), uuid(), uuid()];
  const keys = Array.from({ length: 3 }, () => `key-${uuid()}`);
  // Whose keys they are, and whether another issuer names them.
  const callers: [userId: string | null, scope: string, foreign: boolean][] = [
    [accounts[0], "orders", false],
    [null, "orders", false],
    [accounts[1], odd(200), false],
    [null, odd(200), false],
    [odd(120), "orders", true],
  ];
  // Few, so that much befalls each; all of them are looked at in the end.
  const identities = Array.from({ length: 4 }, () => {
    const [userId, scope, thirdParty] = random.pick(callers);
    return { userId, scope, key: random.pick(keys), thirdParty };
  });
  // Who asked last, and so most likely has the key.
  const last = new Map<string, string>();
  const ownerOf = (identity: Identity) =>
    random.chance(0.7) && last.get(identityName(identity)) ||
    random.pick(tokens);

  const terms = (thirdParty: boolean): BatchTerms => ({
    leaseSeconds: random.pick(LEASES),
    ttlSeconds: random.pick(TTLS),
    onAbandoned: random.pick(["retry", "retry", "refuse"] as const),
    maxAttempts: random.pick([1, 2, 3, 100]),
    ...(thirdParty && { thirdParty }),
  });
  const own = (): Omit<ClaimTerms, keyof BatchTerms> => ({
    fingerprint: random.pick(FINGERPRINTS),
    ownerToken: random.pick(tokens),
    metadata: random.chance(0.5) ? null : result(),
  });
  const result = (): StepResult =>
    Object.fromEntries(
      Array.from({ length: random.below(3) }, () => [
        random.chance(0.5) ? "value" : odd(20),
        random.pick(VALUES),
      ]),
    );
  const text = () =>
    new TextEncoder().encode(random.chance(0.2) ? "" : odd(3000));
  const body = () =>
    random.chance(0.1) ? null : random.chance(0.7) ? text() : Uint8Array.from(
      { length: random.below(3000) },
      () => random.below(256),
    );
  const answer = (): Answer => ({
    status: random.pick(STATUSES),
    headers: {
      "content-type": random.pick(TYPES),
      ...(random.chance(0.5) &&
        { "x-odd": odd(50).replace(/[^\x20-\xff]/g, "") }),
      ...(random.chance(0.3) && { "location": "/orders/1?a=b#c" }),
    },
    body: body(),
  });
  const failure = () => ({
    message: odd(3000),
    status: random.chance(0.5) ? null : random.pick(STATUSES),
  });

  const single = (
    { thirdParty, ...identity }: typeof identities[number],
  ): Move => {
    const owner = ownerOf(identity);
    const lease = random.pick(LEASES);
    const ttl = random.pick(TTLS);
    const name = random.weighted({
      claim: 8,
      renew: 2,
      checkpoint: 3,
      complete: 3,
      fail: 2,
      read: 1,
      status: 1,
    });
    const claim = { ...own(), ...terms(thirdParty) };
    if (name === "claim") last.set(identityName(identity), claim.ownerToken);
    const args = {
      claim: () => [claim],
      renew: () => [owner, lease],
      checkpoint: () => [
        owner,
        random.chance(0.8) ? random.pick(STEPS) : odd(100),
        result(),
        lease,
      ],
      complete: () => [owner, answer(), ttl],
      fail: () => [owner, failure(), ttl],
      read: () => [],
      status: () => [],
    }[name]();
    return move(name, [identity], [identity, ...args]);
  };
  const batch = (): Move => {
    const [userId, scope, thirdParty] = random.pick(callers);
    // A key may be named twice.
    const named = Array.from(
      { length: random.below(5) },
      () => random.pick(keys),
    );
    const about = keys.map((key) => ({ userId, scope, key }));
    if (random.chance(0.5)) {
      // A token is one attempt's, and so no two keys' of a batch.
      const claims = named.map((key) => ({
        key,
        ...own(),
        ownerToken: uuid(),
      }));
      const common = terms(thirdParty);
      return batchOf(
        move("claimMany", about, [userId, scope, claims, common]),
        claims,
        (ledger, { key, ...own }) =>
          ledger.claim({ userId, scope, key }, { ...own, ...common }),
      );
    }
    const settlements = named.map((key): Settlement => ({
      key,
      ownerToken: ownerOf({ userId, scope, key }),
      ...(random.chance(0.6) ? { answer: answer() } : { failure: failure() }),
    }));
    const ttls = { completed: random.pick(TTLS), failed: random.pick(TTLS) };
    return batchOf(
      move("settleMany", about, [userId, scope, settlements, ttls]),
      settlements,
      (ledger, { key, ownerToken, ...one }) => {
        const identity = { userId, scope, key };
        return "answer" in one
          ? ledger.complete(identity, ownerToken, one.answer, ttls.completed)
          : ledger.fail(identity, ownerToken, one.failure, ttls.failed);
      },
    );
  };

  const moments = Array.from({ length: MOMENTS }, (): Moment => {
    const moves: Move[] = [];
    const seconds = random.pick(CLOCK);
    const many = random.chance(0.3) ? 1 + random.below(AT_ONCE) : 1;
    for (let n = 0; n < many; n++) {
      const next = random.chance(0.2)
        ? batch()
        : single(random.pick(identities));
      if (moves.every(({ about }) => !overlap(about, next.about))) {
        moves.push(next);
      }
    }
    return { seconds, moves };
  });
  const looks = callers.flatMap(([userId, scope]) =>
    keys.map((key) => ({ userId, scope, key }))
  ).flatMap((identity) =>
    (["read", "status"] as const).map((name) =>
      move(name, [identity], [identity])
    )
  );
  return [...moments, { seconds: 0, moves: looks }];
}

type Method = Exclude<
  keyof Ledger,
  "place" | "notify" | "countReplays" | "deleteExpired"
>;

function move(
  method: Method,
  about: readonly Identity[],
  args: readonly unknown[],
): Move {
  return {
    about,
    text: () => `${method}(${args.map(shown).join(", ")})`,
    send: (ledger) =>
      (ledger[method] as
        | ((...args: unknown[]) => Promise<unknown>)
        | undefined)?.(...args),
  };
}

/** A value, for people. */
export function shown(value: unknown): string {
  return Deno.inspect(value, { depth: 9, strAbbreviateSize: 60 });
}

/** A batch; a ledger that has none is sent its items in their order. */
function batchOf<T>(
  whole: Move,
  items: readonly T[],
  sendOne: (ledger: Ledger, item: T) => Promise<unknown>,
): Move {
  const inTurn = async (ledger: Ledger) => {
    const answers: unknown[] = [];
    for (const item of items) answers.push(await sendOne(ledger, item));
    return answers;
  };
  return { ...whole, send: (ledger) => whole.send(ledger) ?? inTurn(ledger) };
}

/** Whether two calls are about one key. */
export function overlap(
  some: readonly Identity[],
  others: readonly Identity[],
): boolean {
  const names = new Set(some.map(identityName));
  return others.some((other) => names.has(identityName(other)));
}
