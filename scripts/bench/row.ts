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
