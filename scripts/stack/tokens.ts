import { base64url, jwtVerify, SignJWT } from "jose";
import type { Keys } from "./keys.ts";

/** The keys that projects had before the publishable and the secret one. */
export interface LegacyKeys {
  /** What `publishableKey` was before: a token of the role `anon`. */
  anonKey: string;
  /** What `secretKey` was before: a token of the role `service_role`. */
  serviceRoleKey: string;
}

/** The keys of a project in both styles. */
export type ProjectKeys = Keys & LegacyKeys;

/** Outcome of reading the `Authorization` header of a request. */
export type TokenCheck =
  | { state: "missing" }
  | { state: "invalid" }
  | { state: "valid"; token: string };

// As in the keys that the Supabase CLI makes: November 2032.
const LEGACY_EXPIRY = 1_983_812_996;

/** Adds the legacy keys, which are the same each time. */
export async function withLegacyKeys(keys: Keys): Promise<ProjectKeys> {
  const sign = (role: string) =>
    new SignJWT({ iss: "supabase-demo", role, exp: LEGACY_EXPIRY })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .sign(secretOf(keys));
  return {
    ...keys,
    anonKey: await sign("anon"),
    serviceRoleKey: await sign("service_role"),
  };
}

/** The key set that functions verify tokens with, as JSON for `SUPABASE_JWKS`. */
export function keySet({ jwtSecret, keyId }: Keys): string {
  const k = base64url.encode(new TextEncoder().encode(jwtSecret));
  return JSON.stringify({
    keys: [{ kty: "oct", kid: keyId, alg: "HS256", k }],
  });
}

/**
 * Checks the bearer token of a request and signs its claims again with a `kid`:
 * lite signs without one, and Supabase's server library finds its key by it. A
 * legacy key stays as it is, because functions compare it with their own.
 */
export async function checkToken(
  headers: Headers,
  keys: Keys & Partial<LegacyKeys>,
): Promise<TokenCheck> {
  const header = headers.get("authorization");
  if (!header) return { state: "missing" };
  const token = /^Bearer\s+(\S+)$/i.exec(header)?.[1];
  if (!token) return { state: "invalid" };
  if (token === keys.anonKey || token === keys.serviceRoleKey) {
    return { state: "valid", token };
  }
  try {
    const { payload } = await jwtVerify(token, secretOf(keys), {
      algorithms: ["HS256"],
    });
    const signed = await new SignJWT(payload)
      .setProtectedHeader({ alg: "HS256", typ: "JWT", kid: keys.keyId })
      .sign(secretOf(keys));
    return { state: "valid", token: signed };
  } catch {
    return { state: "invalid" };
  }
}

function secretOf({ jwtSecret }: Keys): Uint8Array {
  return new TextEncoder().encode(jwtSecret);
}
