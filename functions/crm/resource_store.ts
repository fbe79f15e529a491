import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import { askForArchived, leaveOutArchived } from "../../shared/archive.ts";
import type { Database, Json } from "../../shared/database.types.ts";
import { newestFirst, type Position } from "../_kit/paging.ts";
import { StoreError } from "../_kit/store_error.ts";
import {
  columnOf,
  fieldOf,
  type Resource,
  type ResourceType,
  shownRow,
  toColumns,
} from "./resource.ts";
import { type ResourceName, resources } from "./resources.ts";

/** Why a row stays as it is. */
export type ResourceErrorCode =
  | "ARCHIVED"
  | "ARCHIVING_NOT_ALLOWED"
  | "CHANGED_MEANWHILE"
  | "NOT_FOUND"
  | "ORGANIZATION_NOT_FOUND"
  | "REFERENCE_NOT_FOUND"
  | "RULE_BROKEN"
  | "STATUS_CHANGE_NOT_ALLOWED"
  | "SYSTEM_ROLE"
  | "VALUE_TAKEN";

/** A rule about a resource that was not kept; nothing was changed. */
export class ResourceError extends Error {
  override readonly name = "ResourceError";

  /** @param message What was wrong and what to do, fit for the user's eyes. */
  constructor(
    readonly code: ResourceErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Which request a change is made by; the audit trail keeps all of it. */
export interface ChangeRequest {
  /** The same in every attempt. */
  id: string;
  key: string | null;
  method: string;
  route: string;
}

/** Which rows to list. */
export interface ListQuery {
  /** Whose: an organisation's or a user's. */
  ownerId: string;
  limit: number;
  after: Position | null;
  /** Values that rows have, by the names of the API. */
  filters: Record<string, unknown>;
  includeArchived: boolean;
}

/** One change in the audit trail. */
export type AuditEntry = z.output<typeof AuditEntry>;

/** What the audit trail says of a change, in an answer. */
export const AuditEntry = z.object({
  action: z.enum(["created", "updated", "archived", "restored", "deleted"]),
  version: z.int(),
  changes: z.record(z.string(), z.unknown()),
  changedBy: z.guid().nullable(),
  changedAt: z.string(),
  requestId: z.string().nullable(),
  idempotencyKey: z.string().nullable(),
  httpMethod: z.string().nullable(),
  route: z.string().nullable(),
});

/**
 * What is done to the rows of one resource. Each write is one transaction, and
 * made once for each request id.
 *
 * The writes throw `ResourceError` where a rule stands against them, and
 * everything throws `StoreError` where the database fails.
 */
export interface ResourceStore {
  /** The newest first. */
  list(query: ListQuery): Promise<Resource[]>;
  /** The row, archived or not; `null` when the caller has none with this id. */
  read(id: string): Promise<Resource | null>;
  /** What became of a row, the oldest first; at most a thousand changes. */
  history(id: string): Promise<AuditEntry[]>;
  /** @param organization Whose it is to be; `null`: the caller's own. */
  create(
    fields: Record<string, unknown>,
    organization: string | null,
    request: ChangeRequest,
  ): Promise<Resource>;
  /**
   * Updates, archives or restores a row.
   *
   * @param versions Those the change was made for; `null`: whatever it is.
   */
  change(
    action: "update" | "archive" | "restore",
    id: string,
    fields: Record<string, unknown>,
    versions: number[] | null,
    request: ChangeRequest,
  ): Promise<Resource>;
}

const MAX_HISTORY = 1_000;

/** The store of one resource, behind a client that acts as the caller. */
export function resourceStore(
  supabase: SupabaseClient<Database>,
  name: ResourceName,
): ResourceStore {
  const type: ResourceType = resources[name];
  const table = `crm_${name}` as const;
  const what = type.one.replace(/^an? /, "");
  return {
    async list({ ownerId, limit, after, filters, includeArchived }) {
      let query = leaveOutArchived(
        rowsOf(supabase, table).select("*").eq("owner_id", ownerId),
        includeArchived,
      );
      for (const [field, value] of Object.entries(filters)) {
        query = query.eq(columnOf(field), value);
      }
      const { data, error } = await newestFirst(query, after, limit);
      if (error) throw new StoreError(`Cannot list ${name}`, error);
      return data.map((row) => shownRow(type, row));
    },
    async read(id) {
      const { data, error } = await askForArchived(
        rowsOf(supabase, table).select("*").eq("id", id),
      ).maybeSingle();
      if (error) throw new StoreError(`Cannot read ${what} ${id}`, error);
      return data === null ? null : shownRow(type, data);
    },
    async history(id) {
      const { data, error } = await supabase.from("crm_audit").select()
        .eq("resource", name).eq("row_id", id).order("id").limit(MAX_HISTORY);
      if (error) throw new StoreError(`Cannot read what ${id} was`, error);
      return data.map((row) => AuditEntry.parse(byFields(row)));
    },
    async create(fields, organization, request) {
      const { data, error } = await supabase.rpc("crm_create", {
        p_resource: name,
        p_fields: toColumns(fields) as Json,
        p_organization_id: organization as string,
        p_request: { ...request },
      });
      if (error) throw refusedChange(`Cannot create ${type.one}`, type, error);
      return shownRow(type, data);
    },
    async change(action, id, fields, versions, request) {
      const { data, error } = await supabase.rpc("crm_change", {
        p_resource: name,
        p_action: action,
        p_id: id,
        p_fields: toColumns(fields) as Json,
        p_versions: versions as number[],
        p_request: { ...request },
      });
      if (error) {
        throw refusedChange(`Cannot ${action} ${what} ${id}`, type, error);
      }
      return shownRow(type, data);
    },
  };
}

/** The tables have columns of their own; a query by names knows none of them. */
function rowsOf(supabase: SupabaseClient, table: string) {
  return supabase.from(table);
}

function byFields(row: Record<string, unknown>): Record<string, unknown> {
  const entry = Object.fromEntries(
    Object.entries(row).map(([column, value]) => [fieldOf(column), value]),
  );
  const changes = entry["changes"] as Record<string, unknown>;
  return {
    ...entry,
    changes: Object.fromEntries(
      Object.entries(changes).map(([column, value]) => [
        fieldOf(column),
        value,
      ]),
    ),
  };
}

type Meaning = [
  code: ResourceErrorCode,
  advice: string | ((detail: string) => string),
];

// What the database raises, and what that means to whoever asked.
const MEANINGS: Record<string, Meaning> = {
  OR001: [
    "ORGANIZATION_NOT_FOUND",
    "you are no member of that organisation: check X-Organization-Id",
  ],
  CR000: ["NOT_FOUND", "you have no such row: check the id"],
  CR001: [
    "STATUS_CHANGE_NOT_ALLOWED",
    (detail) => `its status does not go from ${detail}: read it again`,
  ],
  CR002: ["SYSTEM_ROLE", "it is one of the system's: make a role of your own"],
  CR003: ["RULE_BROKEN", (detail) => `it would not hold that ${detail}`],
  CR005: [
    "CHANGED_MEANWHILE",
    "somebody has changed it since you read it: read it again, and send your change with the new ETag",
  ],
  CR006: [
    "VALUE_TAKEN",
    (detail) =>
      `another one has this ${detail}: take another value, or change that one first`,
  ],
  CR007: [
    "REFERENCE_NOT_FOUND",
    (detail) =>
      `there is nothing of the same owner with this ${detail}: check the id`,
  ],
  SD001: ["ARCHIVED", "it is archived: restore it first"],
};

const ALWAYS_IN_USE: Meaning = [
  "ARCHIVING_NOT_ALLOWED",
  "rows like this one are always in use",
];

/**
 * What a failed call to the database means.
 *
 * @param attempt What was being done, for instance `"Cannot archive role 7f…"`.
 */
function refusedChange(
  attempt: string,
  { fields }: ResourceType,
  cause: { code?: string; message: string; details?: string | null },
): ResourceError | StoreError {
  const detail = cause.details ?? "";
  const meaning = detail === "archived_only_if_allowed"
    ? ALWAYS_IN_USE
    : MEANINGS[cause.code ?? ""];
  if (meaning === undefined) return new StoreError(attempt, cause);
  const [code, advice] = meaning;
  const told = typeof advice === "string"
    ? advice
    : advice(asSentence(detail, Object.keys(fields)));
  return new ResourceError(code, `${attempt}: ${told}`, { cause });
}

/** `ends_on_is_not_before_starts_on` says that endsOn is not before startsOn. */
function asSentence(constraint: string, fields: readonly string[]): string {
  return fields
    .reduce(
      (said, field) => said.replaceAll(columnOf(field), field),
      constraint,
    )
    .replaceAll("_", " ");
}
