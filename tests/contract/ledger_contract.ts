import { assert, assertEquals } from "@std/assert";
import type {
  Answer,
  ClaimRequest,
  ClaimResult,
  Identity,
  Ledger,
  Settlement,
} from "../../shared/idempotency/ledger.ts";

/** One kind of ledger, with a clock that can be moved. */
export interface ContractSubject {
  /** As the first user, as the second, and as the project itself. */
  readonly ledgers: Record<Actor, Ledger>;
  readonly userIds: Record<Actor, string | null>;
  /** Makes all that is in the ledger this much older. */
  age(seconds: number): Promise<void> | void;
}

type Actor = "ada" | "bob" | "project";

const FINGERPRINT = "a".repeat(64);
const OTHER_FINGERPRINT = "b".repeat(64);

const CREATED: Answer = {
  status: 201,
  headers: { "content-type": "application/json", "location": "/orders/1" },
  body: new TextEncoder().encode('{ "b": 1, "a": "ü €\\n" }'),
};

const OTHER: Answer = { ...CREATED, status: 202 };

/** Registers the tests that every ledger must pass. */
export function ledgerContract(
  name: string,
  subject: () => ContractSubject,
): void {
  const test = (title: string, body: (t: Bench) => Promise<void>) =>
    Deno.test(`${name}: ${title}`, () => body(bench(subject())));

  test("claim() grants a free key with attempt 1", async (t) => {
    assertEquals(await attemptOf(t.claim()), 1);
  });

  test("claim() grants the same owner again when the first answer was lost", async (t) => {
    const first = await t.claim({ ownerToken: t.owner });
    const again = await t.claim({ ownerToken: t.owner });
    assertEquals(again, first);
  });

  test("claim() tells everybody else that the key is in progress, and for how long", async (t) => {
    await t.claim({ leaseSeconds: 60 });
    const { retryAfterSeconds } = expect("in_progress", await t.claim());
    assert(retryAfterSeconds >= 55 && retryAfterSeconds <= 60);
  });

  test("claim() replays a completed key byte for byte", async (t) => {
    await t.claim({ ownerToken: t.owner });
    await t.complete(t.owner, CREATED);
    assertEquals(await t.claim(), { outcome: "replay", answer: CREATED });
    assertEquals(await t.read(), CREATED);
  });

  test("claim() runs a failed key again as the next attempt with a greater fence", async (t) => {
    const first = expect("claimed", await t.claim({ ownerToken: t.owner }));
    await t.fail(t.owner);
    const second = expect("claimed", await t.claim());
    assertEquals([second.attempt, second.takenOver], [2, false]);
    assert(second.fence > first.fence);
  });

  for (
    const state of ["processing", "lapsed", "completed", "failed"] as const
  ) {
    test(`claim() refuses another payload for a ${state} key`, async (t) => {
      await t.bring(state);
      const result = await t.claim({ fingerprint: OTHER_FINGERPRINT });
      assertEquals(result, { outcome: "mismatch" });
    });
  }

  test("claim() hands a lapsed lease to the next caller with attempt 2", async (t) => {
    await t.bring("lapsed");
    const { attempt, takenOver } = expect("claimed", await t.claim());
    assertEquals([attempt, takenOver], [2, true]);
    assertEquals((await t.claim()).outcome, "in_progress");
  });

  test("claim() leaves a lapsed lease alone where the policy is to refuse", async (t) => {
    await t.bring("lapsed");
    const refused = await t.claim({ onAbandoned: "refuse" });
    assertEquals(refused, { outcome: "abandoned" });
    assertEquals((await t.complete(t.owner, CREATED)).outcome, "recorded");
  });

  test("claim() frees a key when its time is over, for any payload", async (t) => {
    await t.bring("completed");
    await t.age(3601);
    assertEquals(await t.read(), null);
    assertEquals(
      await attemptOf(t.claim({ fingerprint: OTHER_FINGERPRINT })),
      1,
    );
  });

  test("a live lease outlasts a shorter retention", async (t) => {
    await t.claim({ leaseSeconds: 600, ttlSeconds: 10 });
    await t.age(60);
    assertEquals((await t.claim()).outcome, "in_progress");
  });

  test("claim() grants one of many at once", async (t) => {
    const results = await Promise.all(
      Array.from({ length: 20 }, () => t.claim()),
    );
    const granted = results.filter(({ outcome }) => outcome === "claimed");
    assertEquals(granted.length, 1);
  });

  test("claim() grants a lapsed lease to one of many at once", async (t) => {
    await t.bring("lapsed");
    const results = await Promise.all(
      Array.from({ length: 20 }, () => t.claim()),
    );
    const granted = results.filter(({ outcome }) => outcome === "claimed");
    assertEquals(granted.length, 1);
  });

  test("complete() and fail() can be sent again when their answer was lost", async (t) => {
    await t.claim({ ownerToken: t.owner });
    assertEquals((await t.fail(t.owner)).outcome, "recorded");
    assertEquals((await t.fail(t.owner)).outcome, "recorded");
    await t.claim({ ownerToken: t.other });
    assertEquals((await t.complete(t.other, CREATED)).outcome, "recorded");
    assertEquals((await t.complete(t.other, CREATED)).outcome, "recorded");
    assertEquals(await t.read(), CREATED);
  });

  test("a completed answer never changes, not even for its owner", async (t) => {
    await t.bring("completed");
    await t.complete(t.owner, OTHER);
    await t.fail(t.owner);
    assertEquals(await t.read(), CREATED);
  });

  test("a stale owner changes nothing while its successor runs", async (t) => {
    await t.bring("lapsed");
    await t.claim({ ownerToken: t.other });
    assertEquals((await t.complete(t.owner, OTHER)).outcome, "lost");
    assertEquals((await t.fail(t.owner)).outcome, "lost");
    assertEquals((await t.complete(t.other, CREATED)).outcome, "recorded");
    assertEquals(await t.read(), CREATED);
  });

  test("a stale owner is told the answer of the one who won", async (t) => {
    await t.bring("lapsed");
    await t.claim({ ownerToken: t.other });
    await t.complete(t.other, CREATED);
    const told = { outcome: "replay", answer: CREATED } as const;
    assertEquals(await t.complete(t.owner, OTHER), told);
    assertEquals(await t.fail(t.owner), told);
  });

  test("whoever never claimed settles nothing and is told nothing", async (t) => {
    await t.claim({ ownerToken: t.owner });
    assertEquals(await t.complete(t.other, OTHER), { outcome: "gone" });
    assertEquals(await t.fail(t.other), { outcome: "gone" });
    assertEquals((await t.complete(t.owner, CREATED)).outcome, "recorded");
    assertEquals(await t.complete(t.other, OTHER), { outcome: "gone" });
  });

  test("an owner from before the key expired is not told its successor's answer", async (t) => {
    await t.bring("processing");
    await t.age(3601);
    await t.claim({ ownerToken: t.other, fingerprint: OTHER_FINGERPRINT });
    await t.complete(t.other, OTHER);
    assertEquals(await t.complete(t.owner, CREATED), { outcome: "gone" });
  });

  test("settling a key that is gone says so", async (t) => {
    assertEquals((await t.complete(t.owner, CREATED)).outcome, "gone");
    assertEquals((await t.fail(t.owner)).outcome, "gone");
  });

  test("two users may use the same key, and the project too", async (t) => {
    for (const actor of ["ada", "bob", "project"] as const) {
      assertEquals(await attemptOf(t.as(actor).claim()), 1);
    }
  });

  test("two scopes may use the same key", async (t) => {
    await t.claim();
    assertEquals(await attemptOf(t.in("refunds").claim()), 1);
  });

  test("an empty body is an answer, and a body that was not kept is none", async (t) => {
    const empty = { status: 200, headers: {}, body: new Uint8Array() };
    await t.claim({ ownerToken: t.owner });
    await t.complete(t.owner, empty);
    assertEquals(await t.read(), empty);

    const notKept = { status: 200, headers: {}, body: null };
    const next = t.in("exports");
    await next.claim({ ownerToken: t.owner });
    await next.complete(t.owner, notKept);
    assertEquals(await next.read(), notKept);
  });

  test("a failed key is kept as long as its own time says", async (t) => {
    await t.claim({ ownerToken: t.owner });
    await t.fail(t.owner, 60);
    await t.age(61);
    assertEquals(await attemptOf(t.claim()), 1);
  });

  test("claimMany() decides for each key as claim() does, in the order given", async (t) => {
    const [done, busy, free, other, failed] = Array.from(
      { length: 5 },
      () => t.anew(),
    ) as [Bench, Bench, Bench, Bench, Bench];
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
    assertEquals(results.map(({ outcome }) => outcome), [
      "replay",
      "in_progress",
      "claimed",
      "mismatch",
      "claimed",
    ]);
    assertEquals(results[0], { outcome: "replay", answer: CREATED });
    assertEquals(await attemptOf(Promise.resolve(results[2]!)), 1);
    assertEquals(await attemptOf(Promise.resolve(results[4]!)), 2);
    assertEquals((await free.claim()).outcome, "in_progress");
  });

  test("claimMany() grants a key that is named twice once", async (t) => {
    const results = await t.claimMany([{ key: t.key }, { key: t.key }]);
    assertEquals(results.map(({ outcome }) => outcome), [
      "claimed",
      "in_progress",
    ]);
  });

  test("claimMany() of overlapping batches at once grants each key once", async (t) => {
    const keys = Array.from({ length: 20 }, () => t.anew().key);
    const batches = await Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        t.claimMany(
          (n % 2 ? keys : keys.toReversed()).map((key) => ({ key })),
        )),
    );
    const granted = batches.flat().filter(({ outcome }) =>
      outcome === "claimed"
    );
    assertEquals(granted.length, keys.length);
  });

  test("settleMany() completes and fails each key for its owner only, and can be sent again", async (t) => {
    const [done, failed, strange, late] = Array.from(
      { length: 4 },
      () => t.anew(),
    ) as [Bench, Bench, Bench, Bench];
    for (const key of [done, failed, strange]) await key.bring("processing");
    await late.bring("lapsed");
    await late.claim({ ownerToken: late.other });
    await late.complete(late.other, OTHER);
    // Ageing is for all keys of the ledger: the others' leases have lapsed, but nobody took over.
    const settle = () =>
      t.settleMany([
        { key: done.key, ownerToken: done.owner, answer: CREATED },
        { key: failed.key, ownerToken: failed.owner, errorMessage: "no" },
        { key: strange.key, ownerToken: strange.other, answer: CREATED },
        { key: late.key, ownerToken: late.owner, answer: CREATED },
      ]);
    for (let time = 0; time < 2; time++) {
      assertEquals(await settle(), [
        { outcome: "recorded" },
        { outcome: "recorded" },
        { outcome: "gone" },
        { outcome: "replay", answer: OTHER },
      ]);
    }
    assertEquals(await done.read(), CREATED);
    assertEquals(await attemptOf(failed.claim()), 2);
  });

  test("a batch of nothing is answered with nothing", async (t) => {
    assertEquals(await t.claimMany([]), []);
    assertEquals(await t.settleMany([]), []);
  });
}

interface Bench {
  readonly key: string;
  readonly owner: string;
  readonly other: string;
  claim(request?: Partial<ClaimRequest>): Promise<ClaimResult>;
  complete(owner: string, answer: Answer): ReturnType<Ledger["complete"]>;
  fail(owner: string, ttlSeconds?: number): ReturnType<Ledger["fail"]>;
  read(): Promise<Answer | null>;
  age(seconds: number): Promise<void>;
  bring(state: "processing" | "lapsed" | "completed" | "failed"): Promise<void>;
  claimMany(
    requests: readonly { key: string; fingerprint?: string }[],
  ): Promise<ClaimResult[]>;
  settleMany(
    settlements: readonly Settlement[],
  ): ReturnType<Ledger["settleMany"]>;
  /** The same caller with a new key. */
  anew(): Bench;
  as(actor: Actor): Bench;
  in(scope: string): Bench;
}

function bench(
  subject: ContractSubject,
  actor: Actor = "ada",
  key = `key-${crypto.randomUUID()}`,
  scope = "orders",
): Bench {
  const ledger = subject.ledgers[actor];
  const identity: Identity = { userId: subject.userIds[actor], scope, key };
  const self: Bench = {
    key,
    owner: crypto.randomUUID(),
    other: crypto.randomUUID(),
    claim: (request) =>
      ledger.claim(identity, {
        fingerprint: FINGERPRINT,
        ownerToken: crypto.randomUUID(),
        leaseSeconds: 60,
        ttlSeconds: 3600,
        onAbandoned: "retry",
        metadata: null,
        ...request,
      }),
    complete: (owner, answer) => ledger.complete(identity, owner, answer, 3600),
    fail: (owner, ttlSeconds = 3600) =>
      ledger.fail(identity, owner, "the card was declined", ttlSeconds),
    read: () => ledger.read(identity),
    age: async (seconds) => await subject.age(seconds),
    bring: async (state) => {
      await self.claim({ ownerToken: self.owner });
      if (state === "completed") await self.complete(self.owner, CREATED);
      if (state === "failed") await self.fail(self.owner);
      if (state === "lapsed") await self.age(61);
    },
    claimMany: async (requests) => {
      const results = await ledger.claimMany(
        identity.userId,
        scope,
        requests.map((request) => ({
          fingerprint: FINGERPRINT,
          ownerToken: crypto.randomUUID(),
          metadata: null,
          ...request,
        })),
        { leaseSeconds: 60, ttlSeconds: 3600, onAbandoned: "retry" },
      );
      return results.map((result) => {
        if (result.outcome === "refused") throw result.error;
        return result;
      });
    },
    settleMany: (settlements) =>
      ledger.settleMany(identity.userId, scope, settlements, {
        completed: 3600,
        failed: 3600,
      }),
    anew: () => bench(subject, actor, undefined, scope),
    as: (next) => bench(subject, next, key, scope),
    in: (next) => bench(subject, actor, key, next),
  };
  return self;
}

async function attemptOf(result: Promise<ClaimResult>): Promise<number> {
  return expect("claimed", await result).attempt;
}

function expect<O extends ClaimResult["outcome"]>(
  outcome: O,
  result: ClaimResult,
): Extract<ClaimResult, { outcome: O }> {
  assertEquals(result.outcome, outcome);
  return result as Extract<ClaimResult, { outcome: O }>;
}
