/** Starts a clock; what it returns tells the time since, for a person. */
export function timed(): () => string {
  const start = performance.now();
  return () => `${((performance.now() - start) / 1000).toFixed(2)} s`;
}
