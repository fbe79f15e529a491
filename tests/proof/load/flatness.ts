import { Tally } from "../trial.ts";
import type { Memory } from "./instance.ts";

/** What was measured in a few seconds of the load. */
export interface Sample {
  /** How long answers took, in ms; `bare` is the way to the database alone. */
  readonly times: Record<"first run" | "replay" | "bare", number[]>;
  /** Of the table with its indexes. */
  readonly bytes: number;
  /** Of each instance. */
  readonly memory: readonly Memory[];
}

// What a process fills for the first time, pools and caches, and what a table
// of short-lived keys settles at, takes minutes.
const SHORTEST_SECONDS = 300;
const MIB = 1024 * 1024;

/**
 * Whether the last third of the load looks like the first. Of a run of less
 * than five minutes nothing is said.
 */
export function flatness(
  samples: readonly Sample[],
  seconds: number,
): Tally[] {
  if (seconds < SHORTEST_SECONDS) return [];
  const third = Math.floor(samples.length / 3);
  const first = samples.slice(0, third);
  const last = samples.slice(-third);

  const memory = new Tally("an instance holds no more memory than before");
  const latency = new Tally("answers take no longer than before");
  const table = new Tally("the table takes no more room than before");
  const compare = (
    tally: Tally,
    what: string,
    early: number,
    late: number,
    { times, plus }: { times: number; plus: number },
  ) => {
    const report = `${what}: ${early.toFixed(2)}, then ${late.toFixed(2)}`;
    console.error(report);
    tally.count(late <= early * times + plus, () => report);
  };

  samples[0]!.memory.forEach((_, n) => {
    for (const kind of ["heapUsed", "rss"] as const) {
      const of = (part: readonly Sample[]) =>
        median(part.map(({ memory }) => memory[n]![kind] / MIB));
      compare(
        memory,
        `${kind} of instance ${n + 1}, MiB`,
        of(first),
        of(last),
        kind === "rss" ? { times: 1.25, plus: 32 } : { times: 1.05, plus: 1 },
      );
    }
  });
  for (const kind of ["first run", "replay"] as const) {
    // Against the same way without the ledger: the machine may be busy with
    // something else for some of the time.
    const of = (part: readonly Sample[]) =>
      median(part.flatMap(({ times }) => times[kind])) /
      median(part.flatMap(({ times }) => times.bare));
    compare(latency, `a ${kind}, times the bare way`, of(first), of(last), {
      times: 3,
      plus: 0,
    });
  }
  const largest = (part: readonly Sample[]) =>
    Math.max(...part.map(({ bytes }) => bytes / MIB));
  compare(table, "the table, MiB", largest(first), largest(last), {
    times: 1.5,
    plus: 2,
  });
  return [memory, latency, table];
}

function median(of: readonly number[]): number {
  return of.toSorted((a, b) => a - b)[Math.floor(of.length / 2)] ?? NaN;
}
