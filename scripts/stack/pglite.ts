import type { Extension } from "@electric-sql/pglite";
import { createPgliteConnection } from "@supabase/lite/pglite";
import { Kysely } from "kysely";
import type { Database } from "./database.ts";
import { RESET_SESSION } from "../migrate/history.ts";
import { createTurnstile } from "./one_at_a_time.ts";
import { pgliteDialect } from "./pglite_dialect.ts";
import { keepingExitCode } from "./pglite_exit_code.ts";
import { emptyTemplate, type Template } from "./pglite_template.ts";
import { jsonTimestamp, TIMESTAMP_OIDS } from "./timestamps.ts";

/**
 * Opens the embedded database in `folder`, or in memory without one.
 *
 * @param template What a database that is new is a copy of, once there is one.
 * @param extensions Names that `create extension` may be given.
 */
export async function openPglite(
  folder?: string,
  template?: Template,
  extensions: readonly string[] = [],
): Promise<Database> {
  const unlock = folder === undefined ? () => {} : await lockFolder(folder);
  try {
    const { connection, origin } = await keepingExitCode(() =>
      open(folder, template, extensions)
    );
    const { driver } = connection;
    // As on a hosted project, which has them in a schema of that name.
    const resetSession = extensions.length === 0
      ? RESET_SESSION
      : `${RESET_SESSION}; set search_path = "$user", public, extensions`;
    await driver.exec(resetSession);
    const turnstile = createTurnstile();
    const send = <T>(text: string, params: unknown[] = []) =>
      keepingExitCode(() => driver.query<T>(text, params));
    const inTurn = async <T>(work: () => Promise<T>): Promise<T> => {
      const leave = await turnstile.enter();
      try {
        return await work();
      } finally {
        leave();
      }
    };
    connection.kysely = new Kysely({ dialect: pgliteDialect(send, turnstile) });
    return {
      kind: "pglite",
      origin,
      foreign: false,
      connection,
      query: async <T>(text: string, params?: unknown[]) =>
        (await inTurn(() => send<T>(text, params))).rows,
      transaction: (work) =>
        inTurn(() =>
          keepingExitCode(() =>
            driver.transaction((inner) =>
              work({
                query: async <T>(text: string, params?: unknown[]) =>
                  (await inner.query<T>(text, params)).rows,
                script: async (text) => {
                  await inner.exec(text);
                  await inner.exec(resetSession);
                },
              })
            )
          )
        ),
      // One process owns the folder, so nobody else can be at it.
      exclusively: (work) => work(),
      keepAsTemplate: async () => {
        if (template === undefined) return;
        await inTurn(() => send("checkpoint"));
        await template.keep(async () => await driver.dumpDataDir("none"));
      },
      close: async () => {
        await keepingExitCode(() => connection.close());
        unlock();
      },
    };
  } catch (error) {
    unlock();
    throw error;
  }
}

/** The extensions that a project's migrations create. */
export function extensionsIn(migrations: readonly string[]): string[] {
  const created =
    /\bcreate\s+extension\s+(?:if\s+not\s+exists\s+)?"?([\w-]+)"?/gi;
  const names = migrations.flatMap((sql) =>
    [...sql.matchAll(created)].map(([, name]) => name!.toLowerCase())
  );
  return [...new Set(names)];
}

/** Those of them that PGlite brings along; Postgres says what it has not. */
async function loadExtensions(names: readonly string[]) {
  const found: [string, Extension][] = [];
  for (const name of names) {
    const file = name.replaceAll("-", "_");
    const module: Record<string, Extension> = await import(
      `@electric-sql/pglite/contrib/${file}`
    ).catch(() => ({}));
    if (module[file]) found.push([file, module[file]]);
  }
  return Object.fromEntries(found);
}

async function open(
  folder: string | undefined,
  template: Template | undefined,
  extensions: readonly string[],
) {
  const data = folder === undefined ? undefined : `${folder}/data`;
  const complete = `${folder}/complete`;
  const fresh = folder === undefined || !await exists(complete);
  if (data !== undefined && fresh) {
    // What an interrupted first start left there is no database.
    await Deno.remove(data, { recursive: true }).catch(() => {});
  }
  const empty = await emptyTemplate();
  const whole = fresh ? await template?.read() : undefined;
  const source = whole ?? (fresh ? await empty.read() : undefined);
  const connection = await createPgliteConnection({
    ...(data === undefined ? {} : { url: data }),
    pgliteOptions: {
      parsers: Object.fromEntries(
        TIMESTAMP_OIDS.map((oid) => [oid, jsonTimestamp]),
      ),
      extensions: await loadExtensions(extensions),
      ...(source ? { loadDataDir: source } : {}),
    },
  });
  const { driver } = connection;
  await driver.waitReady;
  if (fresh && source === undefined) {
    await empty.keep(async () => await driver.dumpDataDir("none"));
  }
  if (fresh && folder !== undefined) await Deno.writeTextFile(complete, "");
  const origin: Database["origin"] = whole
    ? "template"
    : fresh
    ? "made"
    : "kept";
  return { connection, origin };
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** PGlite has no lock of its own, and two processes on one folder destroy it. */
async function lockFolder(folder: string): Promise<() => void> {
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
