import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseEnv } from "node:util";
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import type { Database } from "../shared/database.types.ts";

type Functions = Database["public"]["Functions"];

/** How migrations come into a database; to the Supabase CLI since version 3. */
export const PUSH = "supabase db push, with --remote to the linked project";

// The same, whichever way the database was reached.
const HINTS: Record<string, string> = {
  "25006": "use the primary database, not a replica, and a role that may write",
  "42501": "use the project's secret key, or the database's owner",
  "42883": `the ledger is not there, or older than this command: run ${PUSH}`,
  "PGRST202":
    `the ledger is not there, or older than this command: run ${PUSH}`,
  "IDK01": "wait until its lease has lapsed: it may still answer for itself",
};

/** What went wrong, with what to do about it where that is known. */
export function explain(error: unknown): string {
  const { code = "" } = error as { code?: string };
  const message = messageOf(error as Error);
  const hint = HINTS[code];
  return hint === undefined ? message : `${message} (${hint})`;
}

/** What an error says: Node's has no words of its own where a host has two addresses. */
function messageOf(error: Error): string {
  return error.message ||
    (error instanceof AggregateError
      ? error.errors.map(({ message }) => message).join(", ")
      : "");
}

/** A Supabase project, as its operators reach it from a command line. */
export interface Project extends AsyncDisposable {
  /** Which one it is, for people: without a password. */
  readonly name: string;
  /**
   * Calls a function of the database.
   *
   * @param parameters By name; those left out have their defaults.
   * @returns Its rows. A single value is a row with the function's name.
   * @throws With `code` (SQLSTATE or PostgREST's) where the database refuses.
   */
  call(
    name: keyof Functions,
    parameters?: Record<string, unknown>,
  ): Promise<unknown[]>;
}

/** Thrown where neither a database URL nor a project and its key is given. */
export class UnknownProjectError extends Error {
  override readonly name = "UnknownProjectError";
}

/**
 * Connects to the database at a URL, or through the API to the project that
 * `SUPABASE_URL` and `SUPABASE_SECRET_KEY` name, or to the database that
 * `DATABASE_URL` does.
 *
 * @param folder Whose `.env` says what the environment does not.
 * @throws {UnknownProjectError} When neither is set.
 */
export function connect(
  databaseUrl: string | undefined,
  folder = ".",
): Project {
  const known = connectIfKnown(databaseUrl, folder);
  if (known !== null) return known;
  const { SUPABASE_URL: url } = environmentOf(folder);
  const missing = url ? "SUPABASE_SECRET_KEY" : "SUPABASE_URL";
  throw new UnknownProjectError(
    `${missing} is not set: set SUPABASE_URL and SUPABASE_SECRET_KEY, or give --database-url`,
  );
}

/** As {@link connect}; `null` where nothing says to what. */
export function connectIfKnown(
  databaseUrl: string | undefined,
  folder: string,
): Project | null {
  const environment = environmentOf(folder);
  const { SUPABASE_URL: url, SUPABASE_SECRET_KEY: secretKey } = environment;
  if (databaseUrl !== undefined) return projectOverDatabase(databaseUrl);
  if (url && secretKey) return projectOverApi(url, secretKey);
  // With one of the two somebody meant the API.
  if (url || secretKey || !environment.DATABASE_URL) return null;
  return projectOverDatabase(environment.DATABASE_URL);
}

const VARIABLES = [
  "SUPABASE_URL",
  "SUPABASE_SECRET_KEY",
  "DATABASE_URL",
] as const;

/**
 * What says where a project's database is: variables, else its `.env`. A key that
 * is a variable goes to no address that is not, and a database that a variable
 * names comes before a project that none does.
 */
export function environmentOf(
  folder: string,
): Partial<Record<typeof VARIABLES[number], string>> {
  const file = join(folder, ".env");
  // A folder of that name is Python's.
  const isThere = statSync(file, { throwIfNoEntry: false })?.isDirectory() ===
    false;
  const written = isThere ? variablesOf(readFileSync(file, "utf8")) : {};
  // A project that was cloned may be anybody's: it does not say where a key goes
  // that it did not bring.
  if (process.env["SUPABASE_SECRET_KEY"]) delete written["SUPABASE_URL"];
  // Nor does it lead whoever names a database to another one.
  else if (process.env["DATABASE_URL"] && !process.env["SUPABASE_URL"]) {
    delete written["SUPABASE_URL"];
    delete written["SUPABASE_SECRET_KEY"];
  }
  return Object.fromEntries(
    VARIABLES.map((name) => [name, process.env[name] || written[name]]),
  );
}

/** The variables that a file such as `.env` sets. */
export function variablesOf(text: string): Record<string, string | undefined> {
  // Editors on Windows begin a file with a mark of its encoding.
  return parseEnv(text.replace(/^\ufeff/, ""));
}

/**
 * A project behind its API.
 *
 * @throws When the address or the key cannot be one. It shows neither: what the
 * runtime says of a header or an address repeats the secret in it.
 */
export function projectOverApi(url: string, secretKey: string): Project {
  if (!/^[\x21-\x7e]+$/.test(secretKey.trim())) {
    throw new Error(
      "SUPABASE_SECRET_KEY has a space, a line end or a letter in it that no key has: copy it anew from API Keys",
    );
  }
  const address = URL.parse(url);
  if (address?.username || address?.password) {
    throw new Error(
      "SUPABASE_URL has a user or a password in it: set https://<project>.supabase.co",
    );
  }
  const supabase = createClient<Database>(url, secretKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  return {
    name: new URL(url).host,
    async call(name, parameters = {}) {
      // The generated types know no parameter that may be null.
      const { data } = await supabase
        .rpc(name, parameters as never).throwOnError()
        .then(undefined, (error: Error) => {
          if (/^\s*</.test(error.message)) {
            throw new Error(
              `${
                new URL(url).host
              } answers with a page, not as the API of a project: set SUPABASE_URL to https://<project>.supabase.co`,
              { cause: error },
            );
          }
          if (!(error instanceof TypeError)) throw error;
          const { cause } = error;
          const why = messageOf(cause instanceof Error ? cause : error);
          throw new Error(
            `${
              new URL(url).host
            } cannot be reached, look at SUPABASE_URL and the network (${why})`,
            { cause: error },
          );
        });
      if (Array.isArray(data)) return data;
      return [typeof data === "object" ? data : { [name]: data }];
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** What to say of a database's URL that is none. Never the URL: it may hold a password. */
export const NO_DATABASE_URL =
  "Cannot use the database URL: expected postgresql://user:password@host:port/database; in the password # is written %23, / %2F, ? %3F, @ %40 and % %25";

function projectOverDatabase(url: string): Project {
  const sql = openDatabase(url);
  const { host, port, database } = sql.options;
  return {
    name: `${host[0]}:${port[0]}/${database}`,
    async call(name, parameters = {}) {
      const names = Object.keys(parameters);
      const list = names.map((name, i) => `${name} => $${i + 1}`).join(", ");
      return [
        ...await sql.unsafe(
          `select * from public.${name}(${list})`,
          names.map((name) => parameters[name]) as never[],
        ),
      ];
    },
    [Symbol.asyncDispose]: () => sql.end({ timeout: 5 }),
  };
}

// What the driver sends ahead can wait forever at a pooler in transaction mode.
// Its types do not know the option.
const ONE_AT_A_TIME = { max_pipeline: 0 };

// Meant for Prisma, or for psql on this machine: a server refuses them, and names
// what it does not know.
const NOT_FOR_A_SERVER = [
  ...["connection_limit", "pgbouncer", "pool_timeout", "schema"],
  ...["socket_timeout", "sslrootcert", "statement_cache_size"],
];

function openDatabase(url: string): postgres.Sql {
  // The driver takes anything else for the database of this machine.
  if (!/^postgres(ql)?:\/\//.test(url)) throw new Error(NO_DATABASE_URL);
  const [address, query] = url.split("?", 2);
  const parameters = new URLSearchParams(query);
  const tls = tlsOf(parameters);
  for (const name of NOT_FOR_A_SERVER) parameters.delete(name);
  try {
    return postgres(
      parameters.size === 0 ? address! : `${address}?${parameters}`,
      {
        max: 1,
        connect_timeout: 10,
        ...ONE_AT_A_TIME,
        ...tls,
        // The driver would print them among what the command prints.
        onnotice: () => {},
      },
    );
  } catch {
    throw new Error(NO_DATABASE_URL); // without its cause, which quotes the URL
  }
}

/** How the connection is kept from others, as psql understands a URL. */
function tlsOf(
  parameters: URLSearchParams,
): Pick<postgres.Options<Record<string, never>>, "ssl"> {
  const mode = parameters.get("sslmode");
  const file = parameters.get("sslrootcert");
  if (file === null || mode === "disable") {
    const names = [...parameters.keys()];
    // By itself the driver sends keys and answers in the clear.
    return names.some((name) => name.startsWith("ssl"))
      ? {}
      : { ssl: "prefer" };
  }
  if (file === "system") return { ssl: "verify-full" };
  const ca = readFileSync(file, "utf8");
  // Whose certificate it is asks `verify-full` alone.
  return {
    ssl: mode === "verify-full"
      ? { ca }
      : { ca, checkServerIdentity: () => undefined },
  };
}
