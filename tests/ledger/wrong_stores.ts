import type {
  Answer,
  BatchTerms,
  ClaimResult,
  Identity,
  KeyStatus,
  Ledger,
  SettleResult,
  StepResult,
} from "../../shared/idempotency/ledger.ts";

/** A ledger that keeps every promise but one. */
interface WrongStore {
  /** The promise of the contract that shows it, though others may too. */
  readonly shownBy: string;
  /** @param now Its clock, in ms. */
  wrong(ledger: Ledger, now: () => number): Ledger;
}

/** Ways to get a store wrong, by what is wrong. */
export const WRONG_STORES: Record<string, WrongStore> = {
  "anybody may fail a key": {
    shownBy: "whoever never claimed changes nothing and is told nothing",
    wrong: (ledger) => trustAnybody(ledger, "fail"),
  },
  "anybody may complete a key": {
    shownBy: "a stale owner changes nothing while its successor runs",
    wrong: (ledger) => trustAnybody(ledger, "complete"),
  },
  "a stale owner renews its successor's lease": {
    shownBy: "a stale owner changes nothing while its successor runs",
    wrong: (ledger) => trustAnybody(ledger, "renew"),
  },
  "a stale owner adds steps to its successor's": {
    shownBy: "a stale owner changes nothing while its successor runs",
    wrong: (ledger) => trustAnybody(ledger, "checkpoint"),
  },
  "a completed answer is overwritten": {
    shownBy: "a completed answer never changes, not even for its owner",
    wrong(ledger) {
      const answers = new Map<string, Answer>();
      return {
        ...ledger,
        async complete(identity, ownerToken, answer, ttlSeconds) {
          const result = await ledger.complete(
            identity,
            ownerToken,
            answer,
            ttlSeconds,
          );
          if (result.outcome === "recorded") {
            answers.set(nameOf(identity), answer);
          }
          return result;
        },
        async read(identity) {
          const answer = await ledger.read(identity);
          return answer && (answers.get(nameOf(identity)) ?? answer);
        },
      };
    },
  },
  "completing says recorded and records nothing": {
    shownBy: "claim() replays a completed key, whoever asks",
    wrong: (ledger) => ({
      ...ledger,
      complete: () => Promise.resolve({ outcome: "recorded" }),
    }),
  },
  "the payload is forgotten when a key runs again": {
    shownBy: "claim() refuses another payload for a lapsed key",
    wrong(ledger) {
      const first = new Map<string, string>();
      return {
        ...ledger,
        async claim(identity, terms) {
          const result = await ledger.claim(identity, terms);
          const name = nameOf(identity);
          if (isGranted(result)) first.set(name, terms.fingerprint);
          if (result.outcome !== "mismatch") return result;
          const fingerprint = first.get(name) ?? terms.fingerprint;
          const again = await ledger.claim(identity, { ...terms, fingerprint });
          return isGranted(again) ? again : result;
        },
      };
    },
  },
  "the payload is compared only once the key is completed": {
    shownBy: "claim() refuses another payload for a processing key",
    wrong: (ledger) => ({
      ...ledger,
      async claim(identity, terms) {
        const result = await ledger.claim(identity, terms);
        return result.outcome === "mismatch" && !await ledger.read(identity)
          ? { outcome: "in_progress", retryAfterSeconds: 60 }
          : result;
      },
    }),
  },
  "seconds are taken for milliseconds": {
    shownBy: "claim() tells others to wait, and for how long",
    wrong: (ledger) => ({
      ...ledger,
      claim: (identity, terms) =>
        ledger.claim(identity, {
          ...terms,
          leaseSeconds: terms.leaseSeconds / 1000,
          ttlSeconds: terms.ttlSeconds / 1000,
        }),
    }),
  },
  "a lease never lapses": {
    shownBy: "claim() hands a lapsed lease to the next caller as taken over",
    wrong: (ledger) => ({
      ...ledger,
      claim: (identity, terms) =>
        ledger.claim(identity, { ...terms, leaseSeconds: 1e9 }),
    }),
  },
  "a late renewal cuts the lease short": {
    shownBy: "renew() makes a lease longer, and never shorter",
    wrong(ledger, now) {
      const ends = new Map<string, number>();
      return {
        ...ledger,
        renew(identity, ownerToken, leaseSeconds) {
          ends.set(nameOf(identity), now() + leaseSeconds * 1000);
          return ledger.renew(identity, ownerToken, leaseSeconds);
        },
        async claim(identity, terms) {
          const result = await ledger.claim(identity, terms);
          const end = ends.get(nameOf(identity)) ?? Infinity;
          return result.outcome === "in_progress" && end < now()
            ? { outcome: "taken_over", attempt: 2, fence: 1e9, steps: {} }
            : result;
        },
      };
    },
  },
  "a takeover is taken for a first claim": {
    shownBy: "claim() hands a lapsed lease to the next caller as taken over",
    wrong: (ledger) =>
      onGrant(ledger, (result) => ({ ...result, outcome: "claimed" })),
  },
  "steps are lost at a takeover": {
    shownBy: "checkpoint() keeps what JSON can hold, for the next attempt",
    wrong: (ledger) =>
      onGrant(
        ledger,
        (result) =>
          result.outcome === "taken_over" ? { ...result, steps: {} } : result,
      ),
  },
  "steps outlive their key": {
    shownBy: "steps are gone with the time of their key",
    wrong(ledger) {
      const seen = new Map<string, Record<string, unknown>>();
      return onGrant({
        ...ledger,
        checkpoint(identity, ownerToken, step, result, leaseSeconds) {
          const name = nameOf(identity);
          seen.set(name, { ...seen.get(name), [step]: result });
          return ledger.checkpoint(
            identity,
            ownerToken,
            step,
            result,
            leaseSeconds,
          );
        },
      }, (result, identity) => ({
        ...result,
        steps: { ...seen.get(nameOf(identity)), ...result.steps },
      }));
    },
  },
  "a step's later result replaces the first": {
    shownBy: "checkpoint() keeps the first result of a step",
    wrong(ledger) {
      const last = new Map<string, unknown>();
      return onGrant({
        ...ledger,
        checkpoint(identity, ownerToken, step, result, leaseSeconds) {
          last.set(step, result);
          return ledger.checkpoint(
            identity,
            ownerToken,
            step,
            result,
            leaseSeconds,
          );
        },
      }, (result) => ({
        ...result,
        steps: Object.fromEntries(
          Object.keys(result.steps).map((name) => [name, last.get(name)]),
        ),
      }));
    },
  },
  "a step that left null is taken for none": {
    shownBy: "checkpoint() keeps what JSON can hold, for the next attempt",
    wrong: (ledger) =>
      onGrant(ledger, (result) => ({
        ...result,
        steps: Object.fromEntries(
          Object.entries(result.steps).filter(([, left]) =>
            (left as StepResult)["value"] !== null
          ),
        ),
      })),
  },
  "an empty body is taken for one that was not kept": {
    shownBy: "an empty body is an answer, one that was not kept is none",
    wrong: (ledger) =>
      onAnswer(ledger, (body) => body?.byteLength ? body : null),
  },
  "a body is kept as text": {
    shownBy: "a body is kept byte for byte: every byte",
    wrong: (ledger) =>
      onAnswer(
        ledger,
        (body) =>
          body && new TextEncoder().encode(new TextDecoder().decode(body)),
      ),
  },
  "all users share one space of keys": {
    shownBy: "two users and the project never meet under one key",
    wrong: (ledger) =>
      onIdentity(ledger, (identity) => ({ ...identity, userId: null })),
  },
  "all scopes share one space of keys": {
    shownBy: "two scopes never meet under one key",
    wrong: (ledger) =>
      onIdentity(ledger, (identity) => ({ ...identity, scope: "orders" })),
  },
  "scope and key are joined with a separator": {
    shownBy: "two scopes never meet under one key",
    wrong: (ledger) =>
      onIdentity(ledger, ({ userId, scope, key }) => ({
        userId,
        scope: "",
        key: `${scope}-${key}`,
      })),
  },
  "scope and key are joined with an underscore": {
    shownBy: "two scopes never meet under one key",
    wrong: (ledger) =>
      onIdentity(ledger, ({ userId, scope, key }) => ({
        userId,
        scope: "",
        key: `${scope}_${key}`,
      })),
  },
  "user and scope are joined with a colon": {
    shownBy: "names that differ in little never meet",
    wrong: (ledger) =>
      onIdentity(ledger, ({ userId, scope, key }) => ({
        userId: `${userId}:${scope}`,
        scope: "",
        key,
      })),
  },
  ...Object.fromEntries(
    (["key", "scope", "userId"] as const).map((part) => [
      `the case of the ${part} makes no difference`,
      {
        shownBy: "names that differ in little never meet",
        wrong: (ledger: Ledger) =>
          onIdentity(ledger, (identity) => ({
            ...identity,
            [part]: identity[part]?.toLowerCase() ?? null,
          })),
      },
    ]),
  ),
  "a long key is cut": {
    shownBy: "names that differ in little never meet",
    wrong: (ledger) =>
      onIdentity(ledger, (identity) => ({
        ...identity,
        key: identity.key.slice(0, 255),
      })),
  },
  "spaces at the end of a scope make no difference": {
    shownBy: "names that differ in little never meet",
    wrong: (ledger) =>
      onIdentity(ledger, (identity) => ({
        ...identity,
        scope: identity.scope.trimEnd(),
      })),
  },
  "the project is a user by the name of null": {
    shownBy: "names that differ in little never meet",
    wrong: (ledger) =>
      onIdentity(ledger, (identity) => ({
        ...identity,
        userId: `${identity.userId}`,
      })),
  },
  "only UUIDs are users": {
    shownBy: "a user id may be any text: user_2abc",
    wrong: (ledger) =>
      onIdentity(ledger, (identity) => {
        const { userId } = identity;
        if (userId?.includes("_")) throw new TypeError("no UUID");
        return identity;
      }),
  },
  "two that ask in the same moment are both granted": {
    shownBy: "claim() grants a free key to one of many at once",
    wrong(ledger) {
      const fresh = new Map<string, ClaimResult>();
      return {
        ...ledger,
        async claim(identity, terms) {
          const result = await ledger.claim(identity, terms);
          const name = nameOf(identity);
          if (isGranted(result)) {
            fresh.set(name, result);
            setTimeout(() => fresh.delete(name));
          }
          return result.outcome === "in_progress"
            ? fresh.get(name) ?? result
            : result;
        },
      };
    },
  },
  "a claim sent again is taken for a stranger's": {
    shownBy: "claim() tells the same owner the same again",
    wrong(ledger) {
      const asked = new Set<string>();
      return {
        ...ledger,
        claim(identity, terms) {
          const again = asked.has(terms.ownerToken);
          asked.add(terms.ownerToken);
          const ownerToken = again ? crypto.randomUUID() : terms.ownerToken;
          return ledger.claim(identity, { ...terms, ownerToken });
        },
      };
    },
  },
  "an owner from a past generation is told the answer": {
    shownBy: "an owner from before the key expired is told nothing",
    wrong: (ledger) => ({
      ...ledger,
      async complete(identity, ...rest) {
        const result = await ledger.complete(identity, ...rest);
        const answer = await ledger.read(identity);
        return result.outcome === "gone" && answer !== null
          ? { outcome: "replay", answer }
          : result;
      },
    }),
  },
  "a stale owner is not told who won": {
    shownBy: "a stale owner is told the answer of the one who won",
    wrong: (ledger) => ({
      ...ledger,
      async complete(...args): Promise<SettleResult> {
        const result = await ledger.complete(...args);
        return result.outcome === "replay" ? { outcome: "lost" } : result;
      },
    }),
  },
  "of stale owners only the last one is told who won": {
    shownBy: "a stale owner is told the answer of the one who won",
    wrong(ledger) {
      const owners = new Map<string, string[]>();
      return {
        ...ledger,
        async claim(identity, terms) {
          const result = await ledger.claim(identity, terms);
          const name = nameOf(identity);
          const last = owners.get(name)?.[0] ?? "";
          if (isGranted(result)) owners.set(name, [terms.ownerToken, last]);
          return result;
        },
        async complete(identity, ownerToken, ...rest) {
          return owners.get(nameOf(identity))?.includes(ownerToken)
            ? await ledger.complete(identity, ownerToken, ...rest)
            : { outcome: "gone" };
        },
      };
    },
  },
  "a step renews the lease, and lets the key expire under it": {
    shownBy:
      "renew() and checkpoint() keep a key that would expire under its attempt",
    wrong(ledger, now) {
      const ends = new Map<string, number>();
      return {
        ...ledger,
        async claim(identity, terms) {
          const result = await ledger.claim(identity, terms);
          const { leaseSeconds, ttlSeconds } = terms;
          const most = Math.max(leaseSeconds, ttlSeconds);
          const name = nameOf(identity);
          if (isGranted(result)) ends.set(name, now() + most * 1000);
          return result.outcome === "in_progress" && ends.get(name)! < now()
            ? { outcome: "claimed", attempt: 1, fence: 1e9, steps: {} }
            : result;
        },
        renew(identity, ownerToken, leaseSeconds) {
          ends.set(nameOf(identity), Infinity);
          return ledger.renew(identity, ownerToken, leaseSeconds);
        },
      };
    },
  },
  "the policy to refuse is ignored": {
    shownBy: "claim() leaves a lapsed lease alone where told to refuse",
    wrong: (ledger) => ({
      ...ledger,
      claim: (identity, terms) =>
        ledger.claim(identity, { ...terms, onAbandoned: "retry" }),
    }),
  },
  "maxAttempts is ignored": {
    shownBy: "claim() parks a key after maxAttempts crashes in a row",
    wrong: (ledger) => ({
      ...ledger,
      claim: (identity, terms) =>
        ledger.claim(identity, { ...terms, maxAttempts: 1e9 }),
    }),
  },
  "maxAttempts counts attempts that failed, too": {
    shownBy: "claim() counts crashes anew after a failure",
    wrong: (ledger) => ({
      ...ledger,
      async claim(identity, terms) {
        const result = await ledger.claim(identity, terms);
        return isGranted(result) && result.attempt > terms.maxAttempts
          ? { outcome: "abandoned" }
          : result;
      },
    }),
  },
  "a key is never free again": {
    shownBy: "a key is free when its time is over, for any payload",
    wrong: (ledger) => ({
      ...ledger,
      claim: (identity, terms) =>
        ledger.claim(identity, { ...terms, ttlSeconds: 1e9 }),
      complete: (identity, ownerToken, answer) =>
        ledger.complete(identity, ownerToken, answer, 1e9),
      fail: (identity, ownerToken, failure) =>
        ledger.fail(identity, ownerToken, failure, 1e9),
    }),
  },
  "a key's time counts from its completion": {
    shownBy: "a key's time counts from its claim",
    wrong: (ledger) => ({
      ...ledger,
      complete: (identity, ownerToken, answer, ttlSeconds) =>
        ledger.complete(identity, ownerToken, answer, 2 * ttlSeconds),
    }),
  },
  "a failure is kept as long as an answer": {
    shownBy: "a failure is kept as long as its own TTL says",
    wrong: (ledger) => ({
      ...ledger,
      fail: (identity, ownerToken, failure) =>
        ledger.fail(identity, ownerToken, failure, 3600),
    }),
  },
  "each key has fences of its own": {
    shownBy: "a fence is greater than every earlier one, whosever key it is",
    wrong: (ledger) =>
      onGrant(ledger, (result) => ({ ...result, fence: result.attempt })),
  },
  "an expired key still has a status": {
    shownBy: "status() tells how a key stands",
    wrong(ledger) {
      const last = new Map<string, KeyStatus>();
      return {
        ...ledger,
        async status(identity) {
          const status = await ledger.status!(identity);
          if (status !== null) last.set(nameOf(identity), status);
          return last.get(nameOf(identity)) ?? null;
        },
      };
    },
  },
  "a lapsed attempt is not told from a running one": {
    shownBy: "status() tells how a key stands",
    wrong: (ledger) => ({
      ...ledger,
      async status(identity) {
        const status = await ledger.status!(identity);
        return status && { ...status, isStuck: false };
      },
    }),
  },
  "cleanup takes running attempts along": {
    shownBy:
      "deleteExpired() deletes what has expired, never a running attempt",
    wrong(ledger) {
      const running = new Set<string>();
      const deleted = new Map<string, number>();
      // Whatever was deleted is from then on another key.
      const renamed = onIdentity(ledger, (identity) => ({
        ...identity,
        key: `${identity.key}${deleted.get(nameOf(identity)) ?? ""}`,
      }));
      const ended = (identity: Identity) => running.delete(nameOf(identity));
      return {
        ...onGrant(renamed, (result, identity) => {
          running.add(nameOf(identity));
          return result;
        }),
        complete(identity, ...rest) {
          ended(identity);
          return renamed.complete(identity, ...rest);
        },
        fail(identity, ...rest) {
          ended(identity);
          return renamed.fail(identity, ...rest);
        },
        deleteExpired() {
          for (const name of running) {
            deleted.set(name, (deleted.get(name) ?? 0) + 1);
          }
          running.clear();
          return ledger.deleteExpired!();
        },
      };
    },
  },
  ...Object.fromEntries(
    (["renew", "checkpoint", "complete", "fail"] as const).map((call) => [
      `${call}() looks first whose the key is, and then writes`,
      {
        shownBy: "an owner and a takeover meet, and one of them has the key",
        wrong: (ledger: Ledger) => looksFirst(ledger, call),
      },
    ]),
  ),
  "a batch is answered in another order": {
    shownBy: "claimMany() decides as claim() does, in the order given",
    wrong: (ledger) => ({
      ...ledger,
      claimMany: async (...args) =>
        (await ledger.claimMany!(...args)).toReversed(),
    }),
  },
  "a batch is claimed under the terms of the first one": {
    shownBy: "claimMany() claims under the terms of its own batch",
    wrong(ledger) {
      let first: BatchTerms | undefined;
      return {
        ...ledger,
        claimMany: (userId, scope, requests, terms) =>
          ledger.claimMany!(userId, scope, requests, first ??= terms),
      };
    },
  },
  "a batch records everything as completed": {
    shownBy: "settleMany() settles each key for its owner, again and again",
    wrong: (ledger) => ({
      ...ledger,
      settleMany: (_userId, _scope, settlements) =>
        Promise.resolve(settlements.map(() => ({ outcome: "recorded" }))),
    }),
  },
  "a batch of claims knows no users": {
    shownBy: "a batch never meets the keys of another user or scope",
    wrong: (ledger) => ({
      ...ledger,
      claimMany: (_userId, ...rest) => ledger.claimMany!("ada", ...rest),
    }),
  },
  "a batch of settlements knows no scopes": {
    shownBy: "a batch never meets the keys of another user or scope",
    wrong: (ledger) => ({
      ...ledger,
      settleMany: (userId, _scope, ...rest) =>
        ledger.settleMany!(userId, "orders", ...rest),
    }),
  },
  "a batch keeps bodies as text": {
    shownBy: "settleMany() keeps each body byte for byte",
    wrong: (ledger) => ({
      ...ledger,
      settleMany: (userId, scope, settlements, ttlSeconds) =>
        ledger.settleMany!(
          userId,
          scope,
          settlements.map((one) =>
            "answer" in one
              ? {
                ...one,
                answer: {
                  ...one.answer,
                  body: new TextEncoder().encode(
                    new TextDecoder().decode(one.answer.body ?? undefined),
                  ),
                },
              }
              : one
          ),
          ttlSeconds,
        ),
    }),
  },
  "a batch keeps answers as long as failures": {
    shownBy: "settleMany() keeps answers and failures as long as each is to be",
    wrong: (ledger) => ({
      ...ledger,
      settleMany: (userId, scope, settlements, { failed }) =>
        ledger.settleMany!(userId, scope, settlements, {
          completed: failed,
          failed,
        }),
    }),
  },
  "a batch of claims is all there is of batches, and grants everything": {
    shownBy: "claimMany() decides as claim() does, in the order given",
    wrong: ({ settleMany: _, ...ledger }) => ({
      ...ledger,
      claimMany: (_userId, _scope, requests) =>
        Promise.resolve(
          requests.map(() => ({
            outcome: "claimed",
            attempt: 1,
            fence: 1,
            steps: {},
          })),
        ),
    }),
  },
};

type Transition = "renew" | "checkpoint" | "complete" | "fail";

/** Takes whoever calls for the owner. */
function trustAnybody(ledger: Ledger, transition: Transition): Ledger {
  const owners = new Map<string, string>();
  const claim: Ledger["claim"] = async (identity, terms) => {
    const result = await ledger.claim(identity, terms);
    if (isGranted(result)) owners.set(nameOf(identity), terms.ownerToken);
    return result;
  };
  const call = ledger[transition] as (
    identity: Identity,
    ownerToken: string,
    ...rest: unknown[]
  ) => Promise<SettleResult>;
  return {
    ...ledger,
    claim,
    [transition]: (identity: Identity, token: string, ...rest: unknown[]) =>
      call(identity, owners.get(nameOf(identity)) ?? token, ...rest),
  };
}

/**
 * Reads who has the key, and writes a moment later whoever has it by then: what
 * a store without a condition in its update does.
 */
function looksFirst(ledger: Ledger, transition: Transition): Ledger {
  const wrong = trustAnybody(ledger, transition);
  const call = wrong[transition] as (...args: unknown[]) => Promise<
    SettleResult
  >;
  return {
    ...wrong,
    async [transition](identity: Identity, token: string, ...rest: unknown[]) {
      // A renewal that adds nothing tells whose it is.
      const seen = await ledger.renew(identity, token, 0);
      await new Promise((resolve) => setTimeout(resolve));
      return seen.outcome === "recorded"
        ? await call(identity, token, ...rest)
        : seen;
    },
  };
}

type Granted = Extract<ClaimResult, { attempt: number }>;

function onGrant(
  ledger: Ledger,
  map: (result: Granted, identity: Identity) => ClaimResult,
): Ledger {
  return {
    ...ledger,
    async claim(identity, terms) {
      const result = await ledger.claim(identity, terms);
      return isGranted(result) ? map(result, identity) : result;
    },
  };
}

function onAnswer(
  ledger: Ledger,
  map: (body: Uint8Array | null) => Uint8Array | null,
): Ledger {
  return {
    ...ledger,
    complete: (identity, ownerToken, answer, ttlSeconds) =>
      ledger.complete(
        identity,
        ownerToken,
        { ...answer, body: map(answer.body) },
        ttlSeconds,
      ),
  };
}

function onIdentity(
  ledger: Ledger,
  map: (identity: Identity) => Identity,
): Ledger {
  return {
    ...ledger,
    claim: (id, ...rest) => ledger.claim(map(id), ...rest),
    renew: (id, ...rest) => ledger.renew(map(id), ...rest),
    checkpoint: (id, ...rest) => ledger.checkpoint(map(id), ...rest),
    complete: (id, ...rest) => ledger.complete(map(id), ...rest),
    fail: (id, ...rest) => ledger.fail(map(id), ...rest),
    read: (id) => ledger.read(map(id)),
  };
}

function isGranted(result: ClaimResult): result is Granted {
  return result.outcome === "claimed" || result.outcome === "taken_over";
}

function nameOf({ userId, scope, key }: Identity): string {
  return JSON.stringify([userId, scope, key]);
}
