// An optional peer of lite, found only when the graph holds it already.
import "postgres";
import { createPostgresConnection } from "@supabase/lite/postgres";
import { MIGRATION_LOCK, RESET_SESSION } from "../migrate/history.ts";
import type { Database, RunQuery } from "./database.ts";
import { jsonTimestamp, TIMESTAMP_OIDS } from "./timestamps.ts";

// Enough for every request of a burst to wait for a connection rather than fail,
// and far below the default limit of 100 of a Postgres server.
const POOL_SIZE = 20;
const CONNECT_TIMEOUT_SECONDS = 5;

// What a stack leaves first in a database that it found empty.
const MARK =
  "Made by the local stack, which found this database empty and may change it";

const FOREIGN = `
select obj_description(to_regnamespace('local_stack'), 'pg_namespace') is distinct from '${MARK}'
  and exists (
    select from pg_catalog.pg_namespace as n
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and (
        n.nspname <> 'public'
        or exists (select from pg_catalog.pg_class where relnamespace = n.oid)
        or exists (select from pg_catalog.pg_proc where pronamespace = n.oid)
        or exists (select from pg_catalog.pg_type where typnamespace = n.oid)
      )
  ) as foreign`;

/** Marks an empty database as one that stacks may change from now on. */
export async function markAsMade(database: Database): Promise<void> {
  await database.transaction(({ script }) =>
    script(`
create schema if not exists local_stack;
comment on schema local_stack is '${MARK}';
`)
  );
}

/**
 * Connects to a Postgres server by URL. Its database is foreign unless it is
 * empty, or was when a stack came to it first.
 */
export async function openPostgres(url: string): Promise<Database> {
  const connection = createPostgresConnection({
    url: checkedUrl(url),
    postgresOptions: {
      max: POOL_SIZE,
      connect_timeout: CONNECT_TIMEOUT_SECONDS,
      onnotice: () => {},
      types: {
        timestamptz: {
          to: 1184,
          from: [...TIMESTAMP_OIDS],
          serialize: (value: unknown) => value,
          parse: jsonTimestamp,
        },
        jsonb: {
          to: 3802,
          from: [3802],
          serialize: jsonText,
          parse: (text: string) => JSON.parse(text),
        },
      },
    },
  });
  const { driver } = connection;
  const query: RunQuery = async <T>(text: string, params: unknown[] = []) =>
    [
      ...await driver.unsafe(text, params as never[]),
    ] as T[];
  let foreign: boolean;
  try {
    [{ foreign }] = await query(FOREIGN) as [{ foreign: boolean }];
  } catch (error) {
    await driver.end({ timeout: 0 });
    const { host } = new URL(url);
    throw new Error(
      `Cannot reach the database at ${host}: ${(error as Error).message}`,
      { cause: error },
    );
  }
  return {
    kind: "postgres",
    origin: "kept",
    foreign,
    connection,
    query,
    transaction: async (work) =>
      await driver.begin((inner) =>
        work({
          query: async <T>(text: string, params: unknown[] = []) =>
            [
              ...await inner.unsafe(text, params as never[]),
            ] as T[],
          script: async (text) => {
            await inner.unsafe(text).simple();
            await inner.unsafe(RESET_SESSION).simple();
          },
        })
      ) as Awaited<ReturnType<typeof work>>,
    exclusively: async (work) => {
      const session = await driver.reserve();
      try {
        await session`select pg_advisory_lock(${MIGRATION_LOCK}::bigint)`;
        return await work();
      } finally {
        await session`select pg_advisory_unlock(${MIGRATION_LOCK}::bigint)`;
        session.release();
      }
    },
    close: async () => await driver.end({ timeout: 5 }),
  };
}

/**
 * For procedure arguments lite has written the JSON already; written a second
 * time, an object would arrive as a string.
 */
function jsonText(value: unknown): string {
  if (typeof value !== "string") return JSON.stringify(value);
  try {
    JSON.parse(value);
    return value;
  } catch {
    return JSON.stringify(value);
  }
}

function checkedUrl(url: string): string {
  const { protocol, host } = URL.parse(url) ?? {};
  if (protocol !== "postgres:" && protocol !== "postgresql:") {
    // Never the whole URL: it may hold a password.
    const given = protocol === undefined ? "no URL" : `${protocol}//…${host}`;
    throw new Error(
      `Cannot use the database URL: expected postgresql://user@host:port/database, found ${given}.`,
    );
  }
  return url;
}
