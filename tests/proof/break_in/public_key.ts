import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import {
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWTPayload,
  SignJWT,
} from "jose";
import { withIdempotency } from "../../../shared/idempotency.ts";
import { memoryLedger } from "../../../shared/idempotency/memory_ledger.ts";
import { Tally } from "../trial.ts";
import { badTokens } from "./tokens.ts";

const HEADER = { alg: "ES256", typ: "JWT", kid: "current" };
const SECRET = "for the victim only";

/**
 * Tries the same tokens on a function of a project that signs with a private key,
 * as hosted ones do: everybody has the public one.
 */
export async function byPublicKey(): Promise<Tally> {
  const tally = new Tally("a function that has a public key believes no other");
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const jwk = { ...await exportJWK(publicKey), ...HEADER, use: "sig" };
  const sign = (claims: JWTPayload) =>
    new SignJWT(claims).setProtectedHeader(HEADER).sign(privateKey);
  const userOf = (sub: string) =>
    sign({
      sub,
      role: "authenticated",
      aud: "authenticated",
      exp: Math.floor(Date.now() / 1000) + 3600,
    });
  const victim = await userOf(crypto.randomUUID());
  let runs = 0;
  const serve = pipeline(
    [
      withSupabase({
        auth: "user",
        env: {
          url: "http://127.0.0.1:9",
          publishableKeys: { default: "sb_publishable_x" },
          secretKeys: { default: "sb_secret_x" },
          jwks: { keys: [jwk] },
        },
      }),
      withIdempotency({ scope: "orders", store: memoryLedger() }),
    ],
    () => {
      runs++;
      return Promise.resolve(new Response(SECRET));
    },
  );
  const ask = async (authorization: string) => {
    const response = await serve(
      new Request("http://localhost/orders", {
        method: "POST",
        headers: {
          "Authorization": authorization,
          "Idempotency-Key": "order-17",
        },
      }),
    );
    return [response.status, await response.text()] as const;
  };
  const [status, text] = await ask(`Bearer ${victim}`);
  if (status !== 200 || text !== SECRET) {
    throw new Error(`The victim was answered ${status} ${text}`);
  }
  const tokens = await badTokens({
    victim,
    attacker: await userOf(crypto.randomUUID()),
    sign,
    header: HEADER,
    known: {
      "the public key as PEM": await exportSPKI(publicKey),
      "the public key as JWK": JSON.stringify(jwk),
      "the key set": JSON.stringify({ keys: [jwk] }),
      "half of the public key": jwk.x!,
      "the name of the key": HEADER.kid,
    },
  });
  for (const { name, authorization } of tokens) {
    const [status, text] = await ask(authorization);
    tally.count(
      status === 401 && !text.includes(SECRET) && runs === 1,
      () => `${name}: ${status} ${text}, ${runs} runs`,
    );
  }
  return tally;
}
