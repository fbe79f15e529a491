/**
 * SHA-256 of a text or of bytes, in hexadecimal.
 *
 * Where there is no `crypto.subtle` (React Native, pages over plain HTTP) it is
 * a checksum of 64 bits. That tells payloads apart and stands against no
 * attacker; the server compares payloads by SHA-256 of its own, and answers a
 * collision with 422.
 */
export async function digest(
  data: string | Uint8Array<ArrayBuffer>,
): Promise<string> {
  const bytes = typeof data === "string"
    ? new TextEncoder().encode(data)
    : data;
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
