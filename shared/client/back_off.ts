/** Between which bounds {@link backOffMs} grows. */
export interface BackOff {
  /** Bound of the first wait, in milliseconds. */
  baseMs: number;
  /** Bound of every wait, in milliseconds. */
  maxMs: number;
}

/**
 * How long to wait before the next try, in milliseconds: anything up to a bound
 * that doubles with each failure ("full jitter"), so that clients which failed
 * together do not come back together.
 *
 * @param failures How many tries have failed; half of the first bound for none.
 * @param random From 0 up to, and without, 1.
 */
export function backOffMs(
  failures: number,
  { baseMs, maxMs }: BackOff,
  random: number,
): number {
  return random * Math.min(maxMs, baseMs * 2 ** (failures - 1));
}
