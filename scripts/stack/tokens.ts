import { base64url, jwtVerify, SignJWT } from "jose";
import type { Keys } from "./keys.ts";

/** Outcome of reading the `Authorization` header of a request. */
export type TokenCheck =
  | { state: "missing" }
  | { state: "invalid" }
  | { state: "valid"; token: string };

/** The key set that functions verify tokens with, as JSON for `SUPABASE_JWKS`. */
export function keySet({ jwtSecret, keyId }: Keys): string {
  const k = base64url.encode(new TextEncoder().encode(jwtSecret));
  return JSON.stringify({
    keys: [{ kty: "oct", kid: keyId, alg: "HS256", k }],
  });
}

/**
 * Checks the bearer token of a request and signs its claims again with a `kid`:
 * lite signs without one, and Supabase's server library finds its key by it.
 */
export async function checkToken(
  headers: Headers,
  { jwtSecret, keyId }: Keys,
): Promise<TokenCheck> {
  const header = headers.get("authorization");
  if (!header) return { state: "missing" };
  const token = /^Bearer\s+(\S+)$/i.exec(header)?.[1];
  if (!token) return { state: "invalid" };
  const secret = new TextEncoder().encode(jwtSecret);
  try {
    const { payload } = await jwtVerify(token, secret, {
      algorithms: ["HS256"],
    });
    const signed = await new SignJWT(payload)
      .setProtectedHeader({ alg: "HS256", typ: "JWT", kid: keyId })
      .sign(secret);
    return { state: "valid", token: signed };
  } catch {
    return { state: "invalid" };
  }
}
