import { AsyncLocalStorage } from "node:async_hooks";
import { App } from "@supabase/lite";
import { logFailure } from "./answers.ts";
import type { Database } from "./database.ts";
import type { Keys } from "./keys.ts";
import type { LegacyKeys } from "./tokens.ts";
import { keepGrantsAsMigrated, setContextAtOnce } from "./lite_context.ts";
import { asPostgrestError } from "./lite_errors.ts";

/** Supabase's Auth and Data APIs over one database. */
export interface Lite {
  /** Creates or completes the tables of the `auth` schema. */
  createAuthTables(): Promise<void>;
  /** Reads the schema now rather than at the first request. */
  warmUp(): Promise<void>;
  /** Makes the next request see tables and functions created meanwhile. */
  forgetSchema(): Promise<void>;
  fetch(request: Request): Promise<Response>;
}

// lite prints every database error with its stack, those of a healthy run included.
const insideLite = new AsyncLocalStorage<Request | "setting up">();

/**
 * Sets lite up on a database; serves `/auth/v1` and `/rest/v1` to whoever has a
 * key of either style.
 */
export function createLite(
  database: Database,
  keys: Keys & Partial<LegacyKeys>,
  schemas: readonly string[] = ["public"],
): Lite {
  keepGrantsAsMigrated(database);
  setContextAtOnce(database, () => {
    const served = insideLite.getStore();
    return served instanceof Request ? served : undefined;
  });
  database.connection.normalizeDbError = asPostgrestError;
  const forgetSchema = keepNoOldSchema(database);
  muteConsole();
  const app = new App(
    {
      connection: database.connection,
      auth: {
        enabled: true,
        jwt_secret: keys.jwtSecret,
        publishable_key: keys.publishableKey,
        secret_key: keys.secretKey,
        enable_signup: true,
        email: { enable_confirmations: false },
      },
      api: { schemas },
      db: { migrations: { enabled: false } },
      studio: { enabled: false },
      options: { server: { apiKeys: { resolver: keyResolver(keys) } } },
    } as unknown as ConstructorParameters<typeof App>[0],
  );
  return {
    createAuthTables: () =>
      insideLite.run("setting up", () => app.ensureSystemSchema()),
    warmUp: async () => {
      await app.init();
      await insideLite.run(
        "setting up",
        () => database.connection.introspect({ useCache: true }),
      );
    },
    forgetSchema,
    fetch: async (request) => {
      const response = await insideLite.run(
        request,
        () => app.fetch(request),
      );
      if (response.status >= 500) {
        const { pathname } = new URL(request.url);
        logFailure(
          `${request.method} ${pathname} answered ${response.status}`,
          await response.clone().text(),
        );
      }
      return response;
    },
  };
}

/**
 * Has lite forget, with the schema, what it is reading of it just now: that may
 * be the old one, and would be kept for good.
 */
function keepNoOldSchema({ connection }: Database): () => Promise<void> {
  const introspect = connection.introspect.bind(connection);
  let changes = 0;
  connection.introspect = async (options) => {
    for (;;) {
      const before = changes;
      const schema = await introspect(options);
      if (before === changes) return schema;
      await connection.clearSchemaCache();
    }
  };
  return async () => {
    changes += 1;
    await connection.clearSchemaCache();
  };
}

/** lite itself knows no legacy keys. */
function keyResolver(keys: Keys & Partial<LegacyKeys>) {
  const publishable = {
    type: "publishable",
    claims: { role: "anon" },
  };
  const secret = { type: "secret", claims: { role: "service_role" } };
  const kinds = new Map([
    [keys.publishableKey, publishable],
    [keys.anonKey, publishable],
    [keys.secretKey, secret],
    [keys.serviceRoleKey, secret],
  ]);
  return (key: string) => Promise.resolve(kinds.get(key) ?? null);
}

let muted = false;

function muteConsole(): void {
  if (muted) return;
  muted = true;
  for (const method of ["log", "info", "warn", "error"] as const) {
    const original = console[method];
    console[method] = (...values: unknown[]) => {
      if (insideLite.getStore() === undefined) original(...values);
    };
  }
}
