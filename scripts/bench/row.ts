/** One line of the benchmark: a measurement beside the floor of the same run. */
export interface BenchRow {
  name: string;
  value: number;
  /** Of `value` and `baseline`. */
  unit: string;
  baseline: number;
  /** `value / baseline`. */
  ratio: number;
}

/** The value below which `p` per cent of the numbers lie. */
export function percentile(numbers: readonly number[], p: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const index = Math.ceil(sorted.length * p / 100) - 1;
  return sorted[Math.max(0, index)] ?? NaN;
}

/** The middle one of the numbers, or the mean of the two in the middle. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

/** How many operations {@link rate} lets run at once. */
export const AT_ONCE = 16;

/** Operations in a second, 16 at once. */
export async function rate(
  operation: (lane: number) => Promise<unknown>,
  count: number,
): Promise<number> {
  const startedAt = performance.now();
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async (_, lane) => {
    while (next++ < count) await operation(lane);
  }));
  return count * 1000 / (performance.now() - startedAt);
}

const WARM_UP = 30;

/** Times calls of each kind, in ms; they take turns, so that noise meets all alike. */
export async function takeTurns<Kind extends string>(
  kinds: Record<Kind, () => Promise<unknown>>,
  requests: number,
): Promise<Record<Kind, number[]>> {
  const entries = Object.entries(kinds) as [Kind, () => Promise<unknown>][];
  const times = Object.fromEntries(
    entries.map(([kind]) => [kind, [] as number[]]),
  ) as Record<Kind, number[]>;
  for (let n = -WARM_UP; n < requests; n++) {
    for (const [kind, call] of entries) {
      const startedAt = performance.now();
      await call();
      if (n >= 0) times[kind].push(performance.now() - startedAt);
    }
  }
  return times;
}
