import { base64url } from "jose";
import type { Database } from "./database.ts";

/** The secrets of one local project. */
export interface Keys {
  publishableKey: string;
  secretKey: string;
  /** Signs and verifies access tokens, HS256. */
  jwtSecret: string;
  /** Names `jwtSecret` in the header of a token and in the key set. */
  keyId: string;
}

/**
 * The keys of the project in `database`, made at its first start. They live in
 * the database, out of reach of the API, so that sessions survive a restart and
 * several stacks on one Postgres accept each other's tokens.
 */
export async function loadKeys(database: Database): Promise<Keys> {
  // A copy holds the keys of whom it was copied from.
  if (database.origin === "template") {
    await database.query("delete from local_stack.keys");
  }
  await database.transaction((transaction) =>
    transaction.script(`
create schema if not exists local_stack;
create table if not exists local_stack.keys (
  only_row boolean primary key default true check (only_row),
  keys jsonb not null
);
`)
  );
  await database.query(
    "insert into local_stack.keys (keys) values ($1::text::jsonb) on conflict do nothing",
    [JSON.stringify(generateKeys())],
  );
  const [row] = await database.query<{ keys: Keys }>(
    "select keys from local_stack.keys",
  );
  return row!.keys;
}

function generateKeys(): Keys {
  return {
    publishableKey: `sb_publishable_${random(24)}`,
    secretKey: `sb_secret_${random(24)}`,
    jwtSecret: random(48),
    keyId: crypto.randomUUID(),
  };
}

function random(bytes: number): string {
  return base64url.encode(crypto.getRandomValues(new Uint8Array(bytes)));
}
