// Optional peers of lite are found only when the graph holds them already.
import "postgres";
import { createPgliteConnection } from "@supabase/lite/pglite";
import { createPostgresConnection } from "@supabase/lite/postgres";

/** Runs one parameterised statement and gives its rows. */
export type RunQuery = <T>(text: string, params?: unknown[]) => Promise<T[]>;

/** What a piece of work may do inside one transaction. */
export interface Transaction {
  query: RunQuery;
  /** Runs a whole SQL file: many statements, no parameters. */
  script(text: string): Promise<void>;
}

type LiteConnection =
  | Awaited<ReturnType<typeof createPgliteConnection>>
  | ReturnType<typeof createPostgresConnection>;

/** The database behind the stack, reached as its superuser. */
export interface Database {
  kind: "pglite" | "postgres";
  /** What lite serves `/auth/v1` and `/rest/v1` from. */
  connection: LiteConnection;
  query: RunQuery;
  transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /** Runs `work` while no other stack on this database does the same. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

// Enough for every request of a burst to wait for a connection rather than fail,
// and far below the default limit of 100 of a Postgres server.
const POOL_SIZE = 20;
const CONNECT_TIMEOUT_SECONDS = 5;
const START_LOCK = 7_145_239_061;

/** Opens the embedded database in `folder`, or in memory without one. */
export async function openPglite(folder?: string): Promise<Database> {
  const release = folder === undefined ? () => {} : await claimFolder(folder);
  try {
    const connection = await createPgliteConnection(
      folder === undefined ? {} : { url: `${folder}/data` },
    );
    const { driver } = connection;
    await driver.waitReady;
    const query: RunQuery = async <T>(text: string, params?: unknown[]) =>
      (await driver.query<T>(text, params)).rows;
    return {
      kind: "pglite",
      connection,
      query,
      transaction: (work) =>
        driver.transaction((inner) =>
          work({
            query: async <T>(text: string, params?: unknown[]) =>
              (await inner.query<T>(text, params)).rows,
            script: async (text) => void await inner.exec(text),
          })
        ),
      // One process owns the folder, so nobody else can be at it.
      exclusively: (work) => work(),
      close: async () => {
        await connection.close();
        release();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

/** Connects to a Postgres server by URL. */
export async function openPostgres(url: string): Promise<Database> {
  const connection = createPostgresConnection({
    url: checkedUrl(url),
    postgresOptions: {
      max: POOL_SIZE,
      connect_timeout: CONNECT_TIMEOUT_SECONDS,
      onnotice: () => {},
    },
  });
  const { driver } = connection;
  const query: RunQuery = async <T>(text: string, params: unknown[] = []) =>
    [
      ...await driver.unsafe(text, params as never[]),
    ] as T[];
  try {
    await query("select 1");
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
    connection,
    query,
    transaction: async (work) =>
      await driver.begin((inner) =>
        work({
          query: async <T>(text: string, params: unknown[] = []) =>
            [
              ...await inner.unsafe(text, params as never[]),
            ] as T[],
          script: async (text) => void await inner.unsafe(text).simple(),
        })
      ) as Awaited<ReturnType<typeof work>>,
    exclusively: async (work) => {
      const session = await driver.reserve();
      try {
        await session`select pg_advisory_lock(${START_LOCK}::bigint)`;
        return await work();
      } finally {
        await session`select pg_advisory_unlock(${START_LOCK}::bigint)`;
        session.release();
      }
    },
    close: async () => await driver.end({ timeout: 5 }),
  };
}

function checkedUrl(url: string): string {
  const { protocol } = URL.parse(url) ?? {};
  if (protocol !== "postgres:" && protocol !== "postgresql:") {
    throw new Error(
      `Cannot use the database URL "${url}": expected postgresql://user@host:port/database.`,
    );
  }
  return url;
}

/** PGlite has no lock of its own, and two processes on one folder destroy it. */
async function claimFolder(folder: string): Promise<() => void> {
  await Deno.mkdir(folder, { recursive: true });
  const lock = await Deno.open(`${folder}/lock`, { create: true, write: true });
  if (!await lock.tryLock(true)) {
    lock.close();
    throw new Error(
      `Cannot open the embedded database in ${folder}: another stack is using it. Stop that one, or start this one with --memory.`,
    );
  }
  return () => lock.close();
}
