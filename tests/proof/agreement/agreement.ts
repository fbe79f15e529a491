import { equal } from "@std/assert";
import type {
  ClaimResult,
  KeyStatus,
  Ledger,
} from "../../../shared/idempotency/ledger.ts";
import type { Random } from "../simulation/random.ts";
import {
  GRAIN,
  type Moment,
  momentsOf,
  type Move,
  overlap,
  shown,
} from "./moves.ts";

/** A ledger beside others. */
export interface Side {
  readonly name: string;
  readonly ledger: Ledger;
  /** Moves its clock, or all that it holds the other way. */
  age(seconds: number): Promise<unknown> | void;
  /** What its clock shows, in ms since 1970. */
  now(): number;
}

/**
 * Sends each ledger the same, and compares what they answer.
 *
 * @param how.accounts Two users that every ledger knows.
 * @param how.purges Whether what has expired is deleted at once: until it is,
 * its last owner may complete it.
 * @returns Where they disagreed; `late` where the machine was too slow to say
 * so; `null` where they agreed.
 */
export async function disagreement(
  random: Random,
  sides: readonly Side[],
  { accounts, purges }: {
    readonly accounts: readonly [string, string];
    readonly purges: boolean;
  },
): Promise<string | "late" | null> {
  const moments = momentsOf(random, accounts);
  const readers = sides.map(createReader);
  const startedAt = performance.now();
  for (const [at, { seconds, moves }] of moments.entries()) {
    if (seconds > 0) {
      await Promise.all(sides.map(async ({ age, ledger }) => {
        await age(seconds);
        if (purges) await ledger.deleteExpired?.();
      }));
    }
    const answers = await Promise.all(
      sides.map(({ ledger }, n) => readers[n]!(ledger, moves)),
    );
    // Clocks of their own have gone on in the meantime.
    if (performance.now() - startedAt > GRAIN / 8 * 1000) return "late";
    for (const [n, move] of moves.entries()) {
      const told = answers.map((answer) => answer[n]);
      const known = told.filter((answer) => answer !== undefined);
      if (known.every((answer) => equal(answer, known[0]))) continue;
      return report(moments.slice(0, at + 1), move, sides, told);
    }
  }
  return null;
}

type Reader = (ledger: Ledger, moves: readonly Move[]) => Promise<unknown[]>;

/** Makes answers comparable: fences and times are each ledger's own. */
function createReader({ now }: Side): Reader {
  let greatest = 0;
  const fences = new Set<number>();
  return async (ledger, moves) => {
    const answers = await Promise.all(
      moves.map(async (move) => {
        try {
          return await move.send(ledger);
        } catch (error) {
          return { threw: error };
        }
      }),
    );
    const before = greatest;
    const read = (answer: unknown): unknown => {
      if (Array.isArray(answer)) return answer.map(read);
      if (isClaim(answer) && "fence" in answer) {
        const { fence, ...rest } = answer;
        const is = fences.has(fence)
          ? "known"
          : fence > before
          ? "greater"
          : "smaller";
        fences.add(fence);
        greatest = Math.max(greatest, fence);
        return { ...rest, fence: is };
      }
      if (isClaim(answer) && "retryAfterSeconds" in answer) {
        return {
          ...answer,
          retryAfterSeconds: roughly(answer.retryAfterSeconds),
        };
      }
      if (isStatus(answer)) {
        const at = (time: Date | null) =>
          time && roughly((time.getTime() - now()) / 1000);
        return {
          ...answer,
          createdAt: at(answer.createdAt),
          claimedAt: at(answer.claimedAt),
          completedAt: at(answer.completedAt),
          expiresAt: at(answer.expiresAt),
        };
      }
      return answer;
    };
    return answers.map(read);
  };
}

function isClaim(answer: unknown): answer is ClaimResult {
  return typeof answer === "object" && answer !== null && "outcome" in answer;
}

function isStatus(answer: unknown): answer is KeyStatus {
  return typeof answer === "object" && answer !== null &&
    "finishedSteps" in answer;
}

/** The multiple of a quarter of the grain that a time is near. */
function roughly(seconds: number): number {
  return Math.round(seconds / (GRAIN / 4)) * (GRAIN / 4);
}

function report(
  moments: readonly Moment[],
  last: Move,
  sides: readonly Side[],
  told: readonly unknown[],
): string {
  const lines = moments.flatMap(({ seconds, moves }) => [
    ...(seconds > 0 ? [`${seconds} s later`] : []),
    ...moves.filter(({ about }) => overlap(about, last.about))
      .map((move) => move.text()),
  ]);
  const answers = sides.map(({ name }, n) => `${name}: ${shown(told[n])}`);
  return [...lines, ...answers].join("\n");
}
