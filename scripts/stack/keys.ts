import { base64url } from "jose";
import type { Database, Transaction } from "./database.ts";

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
 * The keys of the project in `database`, once they are stored. They live in the
 * database, out of reach of the API, so that sessions survive a restart and
 * several stacks on one Postgres accept each other's tokens.
 */
export async function readKeys(database: Database): Promise<Keys | undefined> {
  const [table] = await database.query<{ found: boolean }>(
    "select to_regclass('local_stack.keys') is not null as found",
  );
  if (!table?.found) return undefined;
  const [row] = await database.query<{ keys: Keys }>(
    "select keys from local_stack.keys",
  );
  return row?.keys;
}

/** Stores what {@link generateKeys} made, for good. */
export async function storeKeys(
  { query, script }: Transaction,
  { publishableKey, secretKey, jwtSecret, keyId }: Keys,
): Promise<void> {
  await script(`
create schema if not exists local_stack;
create table if not exists local_stack.keys (
  only_row boolean primary key default true check (only_row),
  keys jsonb not null
);
`);
  await query(
    "insert into local_stack.keys (keys) values ($1::text::jsonb)",
    [JSON.stringify({ publishableKey, secretKey, jwtSecret, keyId })],
  );
}

/** Makes the keys of a new project. */
export function generateKeys(): Keys {
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
