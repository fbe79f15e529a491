import { createHmac, randomBytes } from "node:crypto";
import {
  base64url,
  decodeJwt,
  exportJWK,
  generateKeyPair,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
} from "jose";

/** What tokens are made of: a project's, and those that are nobody's. */
export interface Mint {
  /** A good token of the victim's. */
  readonly victim: string;
  /** A good token of the attacker's. */
  readonly attacker: string;
  /** Signs as the project does. */
  sign(claims: JWTPayload): Promise<string>;
  readonly header: JWTHeaderParameters;
  /** What everybody may know of the project: its key set, its publishable key. */
  readonly known: Readonly<Record<string, string>>;
}

/** A value of the `Authorization` header that no request should get in with. */
export interface BadToken {
  readonly name: string;
  readonly authorization: string;
}

const encode = (value: unknown) => base64url.encode(JSON.stringify(value));
const HOUR = 3600;

/** Tokens of every kind that is not to be believed. */
export async function badTokens(mint: Mint): Promise<BadToken[]> {
  const claims = decodeJwt(mint.victim);
  const [header, , signature] = mint.attacker.split(".") as [
    string,
    string,
    string,
  ];
  const [, body] = mint.victim.split(".") as [string, string];
  const now = Math.floor(Date.now() / 1000);
  const kid = { kid: mint.header.kid ?? "key" };
  const foreign = new Uint8Array(randomBytes(48));
  const hmac = (
    secret: string | Uint8Array,
    payload: unknown = claims,
    head: object = { alg: "HS256", typ: "JWT", ...kid },
  ) => {
    const text = `${encode(head)}.${encode(payload)}`;
    const mac = createHmac("sha256", secret).update(text).digest();
    return `${text}.${base64url.encode(mac)}`;
  };
  const pair = await generateKeyPair("ES256");
  const embedded = await exportJWK(pair.publicKey);
  const es256 = (head: object) =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: "ES256", ...kid, ...head })
      .sign(pair.privateKey);
  const unsigned = (alg: string) => `${encode({ alg, typ: "JWT" })}.${body}.`;

  const bearer: Record<string, string> = {
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg nOnE": unsigned("nOnE"),
    "an empty alg": unsigned(""),
    "alg none with a good signature": `${
      encode({ alg: "none", typ: "JWT" })
    }.${body}.${signature}`,
    "no signature": `${header}.${body}.`,
    "no third part": `${header}.${body}`,
    "a signature of zeros": `${header}.${body}.${"A".repeat(43)}`,
    "the victim's claims under the attacker's signature":
      `${header}.${body}.${signature}`,
    "the attacker's claims with the victim's sub": tampered({
      sub: claims.sub!,
    }),
    "the attacker's claims with role service_role": tampered({
      role: "service_role",
    }),
    "the attacker's claims with role postgres": tampered({ role: "postgres" }),
    "the attacker's claims with exp 0": tampered({ exp: 0 }),
    "a foreign secret": hmac(foreign),
    "a foreign secret and role service_role": hmac(foreign, {
      role: "service_role",
      exp: now + HOUR,
    }),
    "a foreign secret and another kid": hmac(foreign, claims, {
      alg: "HS256",
      kid: crypto.randomUUID(),
    }),
    "a foreign secret, issuer and audience": hmac(foreign, {
      ...claims,
      iss: "https://evil.example/auth/v1",
      aud: "evil",
    }),
    "an empty secret": hmac(""),
    "an empty secret and a kid that is a path": hmac("", claims, {
      alg: "HS256",
      kid: "../../../../dev/null",
    }),
    "a kid that is SQL": hmac(foreign, claims, {
      alg: "HS256",
      kid: "' or 'a' = 'a",
    }),
    "a foreign ES256 key": await es256({}),
    "a foreign ES256 key that comes along": await es256({ jwk: embedded }),
    "a foreign ES256 key that is to be fetched": await es256({
      jku: "http://127.0.0.1:9/keys",
    }),
    "critical extensions": hmac(foreign, claims, {
      alg: "HS256",
      ...kid,
      crit: ["b64"],
      b64: false,
    }),
    "an expired one": await mint.sign({
      ...claims,
      iat: now - 2 * HOUR,
      exp: now - HOUR,
    }),
    "one that is not yet valid": await mint.sign({
      ...claims,
      nbf: now + HOUR,
    }),
    "an encrypted one": `${
      encode({ alg: "dir", enc: "A256GCM", ...kid })
    }..AAAA.AAAA.AAAA`,
    "five parts": `${mint.victim}.${signature}.${signature}`,
    "claims that are no object": `${header}.${encode([claims])}.${signature}`,
    "the victim's id": claims.sub!,
    "null": "null",
    "undefined": "undefined",
    "nothing": "",
  };
  for (const [what, secret] of Object.entries(mint.known)) {
    bearer[`HS256 with ${what} as the secret`] = hmac(secret);
  }

  return [
    ...Object.entries(bearer).map(([name, token]) => ({
      name,
      authorization: `Bearer ${token}`,
    })),
    {
      name: "the victim's id by basic authentication",
      authorization: `Basic ${btoa(`${claims.sub}:`)}`,
    },
  ];

  function tampered(change: JWTPayload): string {
    const own = decodeJwt(mint.attacker);
    return `${header}.${encode({ ...own, ...change })}.${signature}`;
  }
}
