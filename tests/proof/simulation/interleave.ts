import { equal } from "@std/assert";
import type { Identity } from "../../../shared/idempotency/ledger.ts";
import type { Call, Result } from "./call.ts";
import { createModel } from "./model.ts";
import { userIds } from "./schedule.ts";
import type { SqlSubject } from "./sql_subject.ts";

// One schedule cannot show what happens inside a call. Two sessions can: the
// first makes its call and leaves the transaction open, the second makes its
// own meanwhile, and waits or does not.

/** Three connections to one database. */
export interface Sessions {
  readonly first: SqlSubject;
  readonly second: SqlSubject;
  readonly observer: SqlSubject;
}

/** How the first session's transaction ends. */
type Ending = "commit" | "rollback";

type Step = Call | { readonly seconds: number } | "purge";

const IDENTITY: Identity = {
  userId: userIds[0]!,
  scope: "orders",
  key: "key-0",
};
const token = (n: number) => `00000000-0000-4000-8000-00000000000${n}`;
const [PAST, OWNER, NEXT, OTHER, LAST] = [1, 2, 3, 4, 5].map(token) as [
  string,
  string,
  string,
  string,
  string,
];

const claim = (
  ownerToken: string,
  payload = "a",
  onAbandoned: "retry" | "refuse" = "retry",
): Call => ({
  method: "claim",
  identity: IDENTITY,
  terms: {
    fingerprint: payload.repeat(64),
    ownerToken,
    leaseSeconds: 35,
    ttlSeconds: 605,
    onAbandoned,
    maxAttempts: 4,
    metadata: null,
  },
});

const complete = (ownerToken: string): Call => ({
  method: "complete",
  identity: IDENTITY,
  ownerToken,
  answer: {
    status: 200,
    headers: {},
    body: new TextEncoder().encode(`by ${ownerToken}`),
  },
  ttlSeconds: 605,
});

const fail = (ownerToken: string): Call => ({
  method: "fail",
  identity: IDENTITY,
  ownerToken,
  ttlSeconds: 605,
});

const renew = (ownerToken: string): Call => ({
  method: "renew",
  identity: IDENTITY,
  ownerToken,
  leaseSeconds: 35,
});

const checkpoint = (ownerToken: string, step: string): Call => ({
  method: "checkpoint",
  identity: IDENTITY,
  ownerToken,
  step,
  result: { by: ownerToken },
  leaseSeconds: 35,
});

// Each after a takeover, so that there is a past owner.
const taken: Step[] = [claim(PAST), { seconds: 40 }, claim(OWNER)];

const STATES: Record<string, Step[]> = {
  free: [],
  live: taken,
  lapsed: [...taken, { seconds: 40 }],
  expired: [...taken, { seconds: 1000 }],
  completed: [...taken, complete(OWNER)],
  "completed and expired": [...taken, complete(OWNER), { seconds: 1000 }],
  failed: [...taken, fail(OWNER)],
};

const CALLS: Record<string, Call | "purge"> = {
  "a claim": claim(NEXT),
  "another claim": claim(OTHER),
  "a claim that refuses": claim(OTHER, "a", "refuse"),
  "a claim with another payload": claim(OTHER, "b"),
  "the owner's claim again": claim(OWNER),
  "the owner's complete": complete(OWNER),
  "the past owner's complete": complete(PAST),
  "the owner's fail": fail(OWNER),
  "the owner's renewal": renew(OWNER),
  "the owner's step": checkpoint(OWNER, "charge"),
  "the owner's other step": checkpoint(OWNER, "ship"),
  cleanup: "purge",
};

// The others write nothing, or what one of these writes.
const FIRST_CALLS = [
  "a claim",
  "the owner's claim again",
  "the owner's complete",
  "the owner's fail",
  "the owner's renewal",
  "the owner's step",
  "cleanup",
];

// Between them they tell the whole row: who holds it, for how long, what is done.
const PROBES: Call[] = [
  complete(PAST),
  { method: "read", identity: IDENTITY },
  claim(LAST, "a", "refuse"),
  claim(LAST),
];

/** One meeting of two calls at a key. */
export interface Meeting {
  readonly state: string;
  readonly first: string;
  readonly second: string;
  readonly ending: Ending;
}

/** All meetings there are. */
export function meetings(): Meeting[] {
  return Object.keys(STATES).flatMap((state) =>
    FIRST_CALLS.flatMap((first) =>
      Object.keys(CALLS).flatMap((second) =>
        (["commit", "rollback"] as const).map((ending) => ({
          state,
          first,
          second,
          ending,
        }))
      )
    )
  );
}

/**
 * Lets two calls meet. Both have to be answered, and the key left, as if one
 * had come after the other.
 *
 * @returns What was wrong, or `null`.
 */
export async function meet(
  { first, second, observer }: Sessions,
  { state, first: firstName, second: secondName, ending }: Meeting,
): Promise<string | null> {
  const one = CALLS[firstName]!;
  const two = CALLS[secondName]!;
  const before = [observer.clear(0)];
  for (const step of STATES[state]!) before.push(take(observer, step) as never);
  await Promise.all(before);

  await first.run("begin");
  const answeredOne = await take(first, one);
  let done = false;
  const running = take(second, two).finally(() => done = true);
  const waits = await untilDoneOrWaiting(() => done, observer);
  await first.run(ending);
  const answeredTwo = await running;
  const probed = await Promise.all(
    PROBES.map((probe) => take(observer, probe)),
  );

  const seen = ending === "commit"
    ? [answeredOne, answeredTwo, ...probed]
    : [answeredTwo, ...probed];
  const orders = ending === "rollback"
    ? [{ steps: [two], map: (answers: unknown[]) => answers }]
    : [{ steps: [one, two], map: (answers: unknown[]) => answers }];
  if (ending === "commit" && !waits) {
    // Whoever did not wait may have come before.
    orders.push({
      steps: [two, one],
      map: ([b, a, ...rest]) => [a, b, ...rest],
    });
  }
  if (two === "purge") {
    // Cleanup leaves a row that somebody has locked for the next cleanup.
    const steps = ending === "commit" ? [one] : [];
    orders.push({
      steps,
      map: (answers) => answers.toSpliced(steps.length, 0, {}),
    });
  }
  const expected = orders.map(({ steps, map }) => map(predict(state, steps)));
  if (expected.some((answers) => equal(answers, seen.map(withoutFence)))) {
    return null;
  }
  const show = (answers: unknown[]) =>
    answers.map((answer) => JSON.stringify(answer ?? "done")).join(", ");
  return `${state} key, ${firstName}, then ${secondName} before the ${ending}: answered ${
    show(seen)
  }; expected ${expected.map(show).join(" or ")}`;
}

function predict(state: string, steps: readonly Step[]): unknown[] {
  const model = createModel();
  const apply = (step: Step) => {
    if (step === "purge") model.purge();
    else if ("seconds" in step) model.moveClock(step.seconds);
    else return withoutFence(model.apply(step));
    return {};
  };
  STATES[state]!.forEach(apply);
  return [...steps, ...PROBES].map(apply);
}

async function take(
  subject: SqlSubject,
  step: Step,
): Promise<Result | undefined> {
  if (step === "purge") await subject.purge();
  else if ("seconds" in step) await subject.moveClock(step.seconds);
  else {
    try {
      return await subject.call(step, "old");
    } catch (error) {
      return { outcome: `error: ${(error as Error).message}` } as never;
    }
  }
  return undefined;
}

/** Fences of a lost insert are skipped, and seconds go by. */
function withoutFence(answer: unknown): unknown {
  const { fence: _, retryAfterSeconds: __, ...rest } = (answer ?? {}) as Record<
    string,
    unknown
  >;
  return rest;
}

async function untilDoneOrWaiting(
  isDone: () => boolean,
  observer: SqlSubject,
): Promise<boolean> {
  while (!isDone()) {
    const [row] = await observer.run<{ waiting: boolean }>(
      `select exists (
         select from pg_catalog.pg_locks where not granted
       ) as waiting`,
    );
    if (row?.waiting && !isDone()) return true;
  }
  return false;
}
