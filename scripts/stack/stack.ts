import { join, resolve } from "node:path";
import { startBackground } from "./background.ts";
import type { Database, RunQuery } from "./database.ts";
import { setEnvironment } from "./environment.ts";
import { createFunctionServer } from "./functions.ts";
import { createGateway } from "./gateway.ts";
import { generateKeys, type Keys, readKeys, storeKeys } from "./keys.ts";
import { createLite, type Lite } from "./lite.ts";
import { type Migration, readMigrations } from "../migrate/migration.ts";
import { applyMigrations } from "./migrations.ts";
import { createPages } from "./pages.ts";
import { openPglite } from "./pglite.ts";
import { projectTemplate, type Template } from "./pglite_template.ts";
import { openPostgres } from "./postgres.ts";
import { createProbeTable, PROBE } from "./probe.ts";
import { createProvider } from "./provider.ts";
import { createAuthFunctions, createRoles } from "./roles.ts";
import { LOCAL_DIR, readFunctionSettings, SUPABASE_DIR } from "./settings.ts";
import { keySet } from "./tokens.ts";

/** How a local Supabase is to run. */
export interface StackOptions {
  /** Port on 127.0.0.1; 0 takes a free one. Default 54321. */
  port?: number;
  /** Keeps nothing once stopped. Default false. */
  memory?: boolean;
  /** A Postgres server to use instead of the embedded one, as its superuser. */
  databaseUrl?: string;
  /** Also serves the probe. Default false. */
  probe?: boolean;
  /** Loads `seed.sql` into a fresh database. Default false. */
  seed?: boolean;
  /** Where the embedded database keeps its files. Default `.local/` in the repository. */
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
  const settings = await readFunctionSettings(supabaseDir);
  if (options.probe) settings.set("probe", PROBE);

  const handler = Promise.withResolvers<Deno.ServeHandler>();
  // Requests wait while the stack starts; if it fails, the server goes down anyway.
  handler.promise.catch(() => {});
  const server = listen(options.port ?? DEFAULT_PORT, handler.promise);
  undo.push(server.close);

  const migrations = await readMigrations(join(supabaseDir, "migrations"));
  const template = await projectTemplate(supabaseDir, migrations);
  const database = await openDatabase(options, template);
  undo.push(() => database.close());
  const { keys, lite } = await prepare(
    database,
    supabaseDir,
    migrations,
    options,
  );

  const provider = createProvider();
  undo.push(setEnvironment({
    SUPABASE_URL: server.url,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
    SUPABASE_JWKS: keySet(keys),
    SUPABASE_DB_URL: options.databaseUrl,
    TRAINING_API_URL: options.trainingApi?.url ?? `${server.url}/_provider/v1`,
    TRAINING_API_KEY: options.trainingApi?.key ?? provider.apiKey,
  }));

  const background = startBackground();
  undo.push(() => background.settle(GRACE_MS));
  const serveFunction = createFunctionServer(settings, keys);
  handler.resolve(createGateway({
    database,
    lite,
    pages: createPages(keys),
    provider,
    functions: (...call) => background.track(serveFunction(...call)),
  }));

  return {
    apiUrl: server.url,
    publishableKey: keys.publishableKey,
    secretKey: keys.secretKey,
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
  template: Template,
): Promise<Database> {
  if (options.databaseUrl !== undefined) {
    return await openPostgres(options.databaseUrl);
  }
  const folder = options.memory
    ? undefined
    : resolve(options.dataDir ?? join(LOCAL_DIR, "pglite"));
  return await openPglite(folder, template);
}

/** Everything that changes the database before it is served. */
async function prepare(
  database: Database,
  supabaseDir: string,
  migrations: Migration[],
  options: StackOptions,
): Promise<{ keys: Keys; lite: Lite }> {
  return await database.exclusively(async () => {
    const stored = await readKeys(database);
    const keys = stored ?? generateKeys();
    const lite = createLite(database, keys);
    await createRoles(database);
    await lite.createAuthTables();
    await createAuthFunctions(database);
    const applied = await applyMigrations(database, migrations);
    if (database.origin === "made") await database.keepAsTemplate?.();
    // Later than that: a copy has keys of its own.
    if (stored === undefined) await storeKeys(database, keys);
    const fresh = database.origin !== "kept" ||
      applied.length === migrations.length;
    if (options.seed && fresh) await loadSeed(database, supabaseDir);
    if (options.probe) await createProbeTable(database);
    await lite.warmUp();
    return { keys, lite };
  });
}

async function loadSeed(
  database: Database,
  supabaseDir: string,
): Promise<void> {
  const seed = await Deno.readTextFile(join(supabaseDir, "seed.sql"));
  await database.transaction((transaction) => transaction.script(seed));
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
