/**
 * Soft delete for tables that `enable_soft_delete` was called on: archive,
 * restore, and lists that leave archived rows out unless asked.
 *
 * @module
 */
// Two versions of supabase-js have two types of clients: a project that has
// another one names it here. Nothing of it is loaded.
// deno-lint-ignore no-import-prefix -- a copy of this file has no import map
import type { SupabaseClient } from "npm:@supabase/supabase-js@2.119.1";

/**
 * A table with soft delete, whose rows are told apart by `id`: of the `Database`
 * that the Supabase CLI generates, or any of a client without types.
 */
export type ArchivableTable<Database> = unknown extends Database ? string
  : Database extends { public: { Tables: infer Tables } } ? {
      [Name in keyof Tables & string]: Tables[Name] extends
        { Row: { id: string; archived_at: string | null } } ? Name : never;
    }[keyof Tables & string]
  : never;

/** What {@link ArchiveError} was thrown for. */
export type ArchiveErrorCode =
  | "ARCHIVING_NOT_ALLOWED"
  | "DATABASE_FAILED"
  | "QUERY_INVALID"
  | "VALUE_TAKEN";

/** A call of this module that could not do its part. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
  /**
   * `QUERY_INVALID`: the request is wrong, and the message tells its sender
   * what to mend. `ARCHIVING_NOT_ALLOWED`: the row does not meet the table's
   * condition. `VALUE_TAKEN`: a newer row has a value that is unique among
   * those in use. `DATABASE_FAILED`: the message is for logs, the cause is
   * what the database said, and the call may be made again.
   */
  readonly code: ArchiveErrorCode;

  constructor(code: ArchiveErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Archives a row; one that is archived already stays as it is.
 *
 * @returns Whether it is archived now; `false` where there is no such row, or
 * none that the caller may change.
 * @throws {ArchiveError} `ARCHIVING_NOT_ALLOWED` when the row does not meet the
 * table's condition, `DATABASE_FAILED` when the database fails.
 *
 * @example
 * ```ts
 * import type { SupabaseClient } from "@supabase/supabase-js";
 * import { archive } from "./archive.ts";
 *
 * export async function remove(supabase: SupabaseClient, id: string) {
 *   const found = await archive(supabase, "customers", id);
 *   return new Response(null, { status: found ? 204 : 404 });
 * }
 * ```
 */
export function archive<Database>(
  supabase: SupabaseClient<Database>,
  table: ArchivableTable<Database>,
  id: string,
): Promise<boolean>;
export async function archive(
  supabase: SupabaseClient,
  table: string,
  id: string,
): Promise<boolean> {
  // The database puts its own time in place of this one.
  const archived_at = new Date().toISOString();
  const { data, error } = await supabase.from(table).update({ archived_at })
    .eq("id", id).is("archived_at", null).select("id");
  if (error?.code === "23514") {
    throw new ArchiveError(
      "ARCHIVING_NOT_ALLOWED",
      `Cannot archive ${table} ${id}: rows like this one are always in use`,
      { cause: error },
    );
  }
  if (error) throw failed(`Cannot archive ${table} ${id}`, error);
  return data.length > 0 || await isArchived(supabase, table, id) === true;
}

/**
 * Restores an archived row; one that is in use already stays as it is.
 *
 * @returns Whether it is in use now; `false` where there is no such row, or none
 * that the caller may change.
 * @throws {ArchiveError} `VALUE_TAKEN` when a row in use has a value that is to
 * be unique, `DATABASE_FAILED` when the database fails.
 */
export function restore<Database>(
  supabase: SupabaseClient<Database>,
  table: ArchivableTable<Database>,
  id: string,
): Promise<boolean>;
export async function restore(
  supabase: SupabaseClient,
  table: string,
  id: string,
): Promise<boolean> {
  const { data, error } = await askForArchived(
    supabase.from(table).update({ archived_at: null })
      .eq("id", id).not("archived_at", "is", null).select("id"),
  );
  if (error?.code === "23505") {
    throw new ArchiveError(
      "VALUE_TAKEN",
      `Cannot restore ${table} ${id}: a row in use has a value that has to be unique, change that one first`,
      { cause: error },
    );
  }
  if (error) throw failed(`Cannot restore ${table} ${id}`, error);
  return data.length > 0 || await isArchived(supabase, table, id) === false;
}

/** `undefined` where the caller sees no such row: who sees one may still not change it. */
async function isArchived(
  supabase: SupabaseClient,
  table: string,
  id: string,
): Promise<boolean | undefined> {
  const { data, error } = await askForArchived(
    supabase.from(table).select("archived_at").eq("id", id),
  ).maybeSingle();
  if (error) throw failed(`Cannot read ${table} ${id}`, error);
  return data === null ? undefined : data.archived_at !== null;
}

function failed(
  attempt: string,
  cause: { code?: string; message: string },
): ArchiveError {
  const said = `${cause.message} (${cause.code || "no code"})`;
  return new ArchiveError("DATABASE_FAILED", `${attempt}: ${said}`, { cause });
}

const PARAMETER = "include_archived";

/**
 * Whether a request asks for archived rows too: `?include_archived=true`.
 *
 * @throws {ArchiveError} `QUERY_INVALID` when the parameter is neither `true` nor
 * `false`, or there twice.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { includeArchived } from "./archive.ts";
 *
 * const url = "http://x/quotations?include_archived=true";
 * assertEquals(includeArchived(new Request(url)), true);
 * assertEquals(includeArchived(new Request("http://x/quotations")), false);
 * ```
 */
export function includeArchived(req: Request): boolean {
  const values = new URL(req.url).searchParams.getAll(PARAMETER);
  const [value = "false"] = values;
  if (values.length > 1 || value !== "true" && value !== "false") {
    throw new ArchiveError(
      "QUERY_INVALID",
      `The query is not as expected: send ${PARAMETER} once, as true or false, or leave it out`,
    );
  }
  return value === "true";
}

const ASK = "X-Include-Archived";

/** A query of supabase-js, as far as it is used here. */
interface Askable<Query> {
  setHeader(name: string, value: string): Query;
}

interface Filterable<Query> extends Askable<Query> {
  is(column: "archived_at", value: null): Query;
}

/**
 * Lets a query, or a call of a function, see archived rows: for whoever does not
 * hold the secret key a policy keeps them out otherwise.
 *
 * @example
 * ```ts
 * import type { SupabaseClient } from "@supabase/supabase-js";
 * import { askForArchived } from "./archive.ts";
 *
 * const archivedOnes = (supabase: SupabaseClient) =>
 *   askForArchived(supabase.from("customers").select("name"))
 *     .not("archived_at", "is", null);
 * ```
 */
export function askForArchived<Query extends Askable<Query>>(
  query: Query,
): Query {
  return query.setHeader(ASK, "true");
}

/**
 * Leaves archived rows out of a query, or asks for them. The filter says what a
 * policy holds anyway, and is what the partial index is found by.
 *
 * @example
 * ```ts
 * import type { SupabaseClient } from "@supabase/supabase-js";
 * import { leaveOutArchived } from "./archive.ts";
 *
 * const names = (supabase: SupabaseClient, included: boolean) =>
 *   leaveOutArchived(supabase.from("customers").select("name"), included);
 * ```
 */
export function leaveOutArchived<Query extends Filterable<Query>>(
  query: Query,
  included: boolean,
): Query {
  return included ? askForArchived(query) : query.is("archived_at", null);
}

const INCLUDED = "X-Archived-Included";
const COUNT = "X-Archived-Count";
const EXPOSE = "Access-Control-Expose-Headers";

/**
 * What to tell about an answer that was asked to include archived rows:
 * `X-Archived-Included: true`, and in `X-Archived-Count` how many of its rows
 * are archived. Nothing where it was not asked.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { archivedHeaders } from "./archive.ts";
 *
 * const rows = [{ archivedAt: null }, { archivedAt: "2026-11-28" }];
 * assertEquals(archivedHeaders(rows, true)["X-Archived-Count"], "1");
 * assertEquals(archivedHeaders(rows, false), {});
 * ```
 */
export function archivedHeaders(
  rows: readonly { archivedAt: string | null }[],
  included: boolean,
): Record<string, string> {
  if (!included) return {};
  const count = rows.filter(({ archivedAt }) => archivedAt !== null).length;
  return { [INCLUDED]: "true", [COUNT]: String(count) };
}

/**
 * CORS headers, with the two above let out: without it a page on another origin
 * cannot read them.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { exposeArchived } from "./archive.ts";
 *
 * const headers = exposeArchived({ "Access-Control-Expose-Headers": "Link" });
 * assertEquals(
 *   headers["Access-Control-Expose-Headers"],
 *   "Link, X-Archived-Included, X-Archived-Count",
 * );
 * ```
 */
export function exposeArchived(
  corsHeaders: Record<string, string>,
): Record<string, string> {
  const exposed = [corsHeaders[EXPOSE], INCLUDED, COUNT].filter(Boolean);
  return { ...corsHeaders, [EXPOSE]: exposed.join(", ") };
}
