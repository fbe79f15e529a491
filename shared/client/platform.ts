/** What some browsers' `navigator` has, and other platforms' has not. */
interface BrowserNavigator extends Partial<Pick<Navigator, "userAgent">> {
  readonly onLine?: boolean;
  readonly locks?: {
    request(
      name: string,
      options: { signal?: AbortSignal },
      held: () => Promise<void>,
    ): Promise<unknown>;
  };
}

/** The platform's `navigator`, empty where there is none. */
export function browser(): BrowserNavigator {
  return globalThis.navigator ?? {};
}

/** Whether the browser knows that it has no network. */
export function isOffline(): boolean {
  return browser().onLine === false;
}

/** Why a signal was aborted; some platforms do not say. */
export function reasonOf(signal: AbortSignal): unknown {
  return signal.reason ?? new Error("The request was aborted");
}

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

/**
 * SHA-256 of a text or of bytes, in hexadecimal.
 *
 * Where there is no `crypto.subtle` (React Native, pages over plain HTTP) it is
 * a checksum of 64 bits. That tells payloads apart and stands against no
 * attacker; the server compares payloads by SHA-256 of its own, and answers a
 * collision with 422.
 */
export async function digest(
  data: string | ArrayBuffer,
): Promise<string> {
  const bytes = typeof data === "string"
    ? new TextEncoder().encode(data)
    : new Uint8Array(data);
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) return checksum(bytes);
  const hash = new Uint8Array(await subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

function checksum(bytes: Uint8Array): string {
  let one = bytes.length;
  let two = ~one;
  for (const byte of bytes) {
    one = Math.imul(one ^ byte, 0x85ebca6b);
    one ^= one >>> 15;
    two = Math.imul(two ^ byte, 0xc2b2ae35);
    two ^= two >>> 13;
  }
  return `${one}.${two}`;
}
