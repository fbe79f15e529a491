/**
 * Makes a key that no other attempt of its user has: `idem_` and a random UUID,
 * or as many digits of `Math.random` where `crypto` does not make any (React
 * Native, pages over plain HTTP).
 */
export function newKey(): string {
  // Looked up at each call: polyfills are often installed late.
  const random = globalThis.crypto?.randomUUID?.() ??
    [Math.random(), Math.random()].join("").replaceAll(".", "");
  return `idem_${random}`;
}
