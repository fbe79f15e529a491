import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { readHistory } from "../migrate/history.ts";
import { logFailure } from "./answers.ts";
import { startBackground } from "./background.ts";
import type { Database, RunQuery, Transaction } from "./database.ts";
import { setEnvironment } from "./environment.ts";
import { createFunctionServer } from "./functions.ts";
import { createGateway } from "./gateway.ts";
import { generateKeys, readKeys, storeKeys } from "./keys.ts";
import { createLite, type Lite } from "./lite.ts";
import { type Migration, readMigrations } from "../migrate/migration.ts";
import { applyMigrations } from "./migrations.ts";
import { createPages, UNPROTECTED } from "./pages.ts";
import { extensionsIn, openPglite } from "./pglite.ts";
import { projectTemplate } from "./pglite_template.ts";
import { markAsMade, openPostgres } from "./postgres.ts";
import { createProbeTable, PROBE } from "./probe.ts";
import { createProvider } from "./provider.ts";
import { createAuthFunctions, createRoles } from "./roles.ts";
import {
  LOCAL_DIR,
  type ProjectSettings,
  readSettings,
  SUPABASE_DIR,
} from "./settings.ts";
import { keySet, type ProjectKeys, withLegacyKeys } from "./tokens.ts";

/** How a local Supabase is to run. */
export interface StackOptions {
  /** Port on 127.0.0.1; 0 takes a free one. Default 54321. */
  port?: number;
  /** Keeps nothing once stopped. Default false. */
  memory?: boolean;
  /**
   * A Postgres server to use instead of the embedded one, as its superuser. One
   * that holds anything a stack did not make is served as it stands.
   */
  databaseUrl?: string;
  /** Whether to prepare and migrate such a database as well. Default false. */
  applyMigrations?: boolean;
  /** Also serves the probe. Default false. */
  probe?: boolean;
  /** Loads the project's seed files into a fresh database. Default false. */
  seed?: boolean;
  /** Also serves the pages and the emulated provider of this repository. Default true. */
  demo?: boolean;
  /** Where the embedded database keeps its files. Default a folder for the project in `.local/`. */
  dataDir?: string;
  /** The folder of `config.toml` and `migrations/`. Default the repository's own. */
  supabaseDir?: string;
  /** A training provider to use instead of the emulated one. */
  trainingApi?: { url: string; key: string };
}

/** A running local Supabase. */
export interface Stack {
  apiUrl: string;
  publishableKey: string;
  secretKey: string;
  /** The same two in the older style. */
  anonKey: string;
  serviceRoleKey: string;
  /** Where the database can be reached from outside; the embedded one cannot. */
  dbUrl?: string;
  /** Runs a statement as the database's superuser. */
  sql: RunQuery;
  /** How many requests to create a training job the emulated provider accepted. */
  providerCalls(): number;
  /** Lets running functions finish, then ends everything the stack started. */
  close(): Promise<void>;
}

const DEFAULT_PORT = 54321;
const GRACE_MS = 5_000;

let active = false;

/**
 * Starts a local Supabase: database, migrations, Auth and Data APIs, functions.
 * One at a time in a process, because functions read the process environment.
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  if (active) {
    throw new Error(
      "Cannot start a second local stack in this process: close the first one.",
    );
  }
  active = true;
  const undo: (() => Promise<void> | void)[] = [() => void (active = false)];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return await assemble(options, undo, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function assemble(
  options: StackOptions,
  undo: (() => Promise<void> | void)[],
  close: () => Promise<void>,
): Promise<Stack> {
  const supabaseDir = resolve(options.supabaseDir ?? SUPABASE_DIR);
  const project = await readSettings(supabaseDir);
  const { functions, secrets } = project;
  if (options.probe) functions.set("probe", PROBE);
  const demo = options.demo ?? true;
  if (demo) functions.set("process-document-unprotected", UNPROTECTED);

  const handler = Promise.withResolvers<Deno.ServeHandler>();
  // Requests wait while the stack starts; if it fails, the server goes down anyway.
  handler.promise.catch(() => {});
  const server = listen(options.port ?? DEFAULT_PORT, handler.promise);
  undo.push(server.close);

  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  const database = await openDatabase(options, supabaseDir, migrations);
  undo.push(() => database.close());
  const { keys, lite } = await prepare(database, migrations, project, options);

  const provider = createProvider();
  undo.push(setEnvironment({
    ...secrets,
    SUPABASE_URL: server.url,
    SUPABASE_ANON_KEY: keys.anonKey,
    SUPABASE_SERVICE_ROLE_KEY: keys.serviceRoleKey,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
    SUPABASE_JWKS: keySet(keys),
    SUPABASE_DB_URL: options.databaseUrl,
    ...(demo
      ? {
        TRAINING_API_URL: options.trainingApi?.url ??
          `${server.url}/_provider/v1`,
        TRAINING_API_KEY: options.trainingApi?.key ?? provider.apiKey,
      }
      : {}),
  }));

  const served = createFunctionServer(functions, keys);
  undo.push(served.close);
  const background = startBackground();
  undo.push(() => background.settle(GRACE_MS));
  handler.resolve(createGateway({
    database,
    lite,
    ...(demo ? { pages: createPages(keys, server.url), provider } : {}),
    functions: (...call) => background.track(served.serve(...call)),
  }));

  return {
    apiUrl: server.url,
    publishableKey: keys.publishableKey,
    secretKey: keys.secretKey,
    anonKey: keys.anonKey,
    serviceRoleKey: keys.serviceRoleKey,
    ...(options.databaseUrl === undefined
      ? {}
      : { dbUrl: options.databaseUrl }),
    sql: async <T>(text: string, params?: unknown[]) => {
      const rows = await database.query<T>(text, params);
      if (/^\s*(?:create|alter|drop)\b/i.test(text)) await lite.forgetSchema();
      return rows;
    },
    providerCalls: () => provider.calls().requests,
    close,
  };
}

async function openDatabase(
  options: StackOptions,
  supabaseDir: string,
  migrations: Migration[],
): Promise<Database> {
  if (options.databaseUrl !== undefined) {
    return await openPostgres(options.databaseUrl);
  }
  const folder = options.memory
    ? undefined
    : resolve(options.dataDir ?? join(LOCAL_DIR, folderFor(supabaseDir)));
  const project = options.demo === false
    // Forty megabytes for each project that somebody has a look at.
    ? undefined
    : await projectTemplate(supabaseDir, migrations);
  return await openPglite(
    folder,
    project,
    extensionsIn(migrations.map(({ sql }) => sql)),
  );
}

/** Two projects must not share a database. */
function folderFor(supabaseDir: string): string {
  if (supabaseDir === SUPABASE_DIR) return "pglite";
  const hash = createHash("sha256").update(supabaseDir).digest("hex");
  return `pglite-${hash.slice(0, 12)}`;
}

interface Prepared {
  keys: ProjectKeys;
  lite: Lite;
}

/** Everything that changes the database before it is served. */
async function prepare(
  database: Database,
  migrations: Migration[],
  { jwtSecret, schemas, seeds }: ProjectSettings,
  options: StackOptions,
): Promise<Prepared> {
  return await database.exclusively(async () => {
    const stored = await readKeys(database);
    const keys = await withLegacyKeys({
      ...stored ?? generateKeys(),
      ...(jwtSecret === undefined ? {} : { jwtSecret }),
    });
    const lite = createLite(database, keys, schemas);
    if (database.foreign && !options.applyMigrations) {
      await insistOnPrepared(database, migrations, options);
      await lite.warmUp();
      return { keys, lite };
    }
    if (database.kind === "postgres" && !database.foreign) {
      await markAsMade(database);
    }
    await createRoles(database);
    await lite.createAuthTables();
    await createAuthFunctions(database);
    await applyMigrations(database, migrations);
    if (database.origin === "made") await database.keepAsTemplate?.();
    const fresh = database.origin !== "kept" ||
      !database.foreign && stored === undefined;
    // Later than that: a copy has keys of its own. With the seeds, which are to
    // be loaded at the next start where they are not at this one.
    await database.transaction(async (transaction) => {
      if (options.seed && fresh) await loadSeeds(transaction, seeds);
      if (stored === undefined) await storeKeys(transaction, keys);
    });
    if (options.probe) await createProbeTable(database);
    await lite.warmUp();
    return { keys, lite };
  });
}

const NEEDED = `
select 'the role ' || wanted as missing
from unnest(array['anon', 'authenticated', 'service_role']) as wanted
where to_regrole(wanted) is null
union all
select 'the table ' || wanted
from unnest($1::text::text[]) as wanted
where to_regclass(wanted) is null`;

/**
 * Makes sure that a database which nothing is written to can be served, and
 * says what it lacks of the project.
 */
async function insistOnPrepared(
  database: Database,
  migrations: Migration[],
  { probe }: StackOptions,
): Promise<void> {
  const tables = ["auth.users", ...probe ? ["public.probe_effects"] : []];
  const missing = await database.query<{ missing: string }>(NEEDED, [
    `{${tables.join(",")}}`,
  ]);
  const recorded = await readHistory(database.query);
  const pending =
    migrations.filter(({ version }) =>
      !recorded.some((each) => each.version === version)
    ).length;
  const told =
    "The local stack did not make this database and writes nothing to it unless told: --apply-migrations";
  if (missing.length > 0) {
    throw new Error(
      `Cannot serve the database: it lacks ${
        missing.map(({ missing }) => missing).join(", ")
      }. ${told} adds what is missing and applies the project's ${pending} pending migrations.`,
    );
  }
  if (pending > 0) {
    logFailure(
      `${pending} migrations of the project are not applied`,
      `${told} applies them.`,
    );
  }
}

async function loadSeeds(
  { script }: Transaction,
  files: string[],
): Promise<void> {
  for (const file of files) {
    const seed = await readFile(file, "utf8");
    try {
      await script(seed);
    } catch (error) {
      throw new Error(`Cannot load ${file}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
}

function listen(
  port: number,
  handler: Promise<Deno.ServeHandler>,
): { url: string; close: () => Promise<void> } {
  const abort = new AbortController();
  try {
    const server = Deno.serve({
      hostname: "127.0.0.1",
      port,
      signal: abort.signal,
      onListen: () => {},
    }, async (request, info) => await (await handler)(request, info));
    return {
      url: `http://127.0.0.1:${server.addr.port}`,
      close: async () => {
        abort.abort();
        await server.finished;
      },
    };
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      throw new Error(
        `Cannot listen on 127.0.0.1:${port}: the port is in use. Choose another with --port, or 0 for any free one.`,
        { cause: error },
      );
    }
    throw error;
  }
}
