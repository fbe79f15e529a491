import type { SupabaseClient } from "@supabase/supabase-js";
import { askForArchived, leaveOutArchived } from "../../shared/archive.ts";
import type { Database, Json } from "../../shared/database.types.ts";
import { newestFirst, type Position } from "../_kit/paging.ts";
import { StoreError } from "../_kit/store_error.ts";
import {
  type Quotation,
  type QuotationDraft,
  QuotationError,
  type QuotationErrorCode,
  quotationOf,
  type QuotationStatus,
  type QuotationSummary,
  SUMMARY_COLUMNS,
  summaryOf,
} from "./quotation.ts";

/** Which change is meant, and of what. */
export interface Change {
  /** The same in every attempt at one request. */
  requestId: string;
  /** Versions the change was made for; `null`: whatever the version is. */
  versions: number[] | null;
}

/** Which quotations to list. */
export interface ListQuery {
  /** Whose: an organisation's or a user's. */
  ownerId: string;
  limit: number;
  after: Position | null;
  status: QuotationStatus | null;
  includeArchived: boolean;
}

/**
 * What is done to quotations. Each write is one transaction, and made once for
 * each request id.
 *
 * The writes throw `QuotationError` where a rule stands against them, and
 * everything throws `StoreError` where the database fails.
 */
export interface QuotationStore {
  /** The newest first. */
  list(query: ListQuery): Promise<QuotationSummary[]>;
  /** The quotation, archived or not; `null` when the caller has none with this id. */
  read(id: string): Promise<Quotation | null>;
  /** @param organization Whose it is to be; `null`: the caller's own. */
  create(
    requestId: string,
    draft: QuotationDraft,
    organization: string | null,
  ): Promise<Quotation>;
  /** Changes the fields that are named; `lines` replace all lines. */
  update(
    id: string,
    fields: Partial<QuotationDraft>,
    change: Change,
  ): Promise<Quotation>;
  /** One that is archived already, or restored, stays as it is. */
  archive(
    id: string,
    archived: boolean,
    change: Change,
  ): Promise<Quotation>;
  /** @param organization Whose it has to be; `null`: any that the caller sees. */
  changeStatus(
    id: string,
    status: QuotationStatus,
    organization: string | null,
    change: Change,
  ): Promise<Quotation>;
}

/** The store behind a client that acts as the caller. */
export function quotationStore(
  supabase: SupabaseClient<Database>,
): QuotationStore {
  return {
    async list({ ownerId, limit, after, status, includeArchived }) {
      let query = leaveOutArchived(
        supabase.from("quotations").select(SUMMARY_COLUMNS)
          .eq("owner_id", ownerId),
        includeArchived,
      );
      if (status !== null) query = query.eq("status", status);
      const { data, error } = await newestFirst(query, after, limit);
      if (error) throw new StoreError("Cannot list quotations", error);
      return data.map(summaryOf);
    },
    async read(id) {
      const { data, error } = await askForArchived(
        supabase.rpc("quotation_document", { p_id: id }),
      );
      if (error) throw new StoreError(`Cannot read quotation ${id}`, error);
      return data === null ? null : quotationOf(data);
    },
    async create(requestId, draft, organization) {
      const { data, error } = await supabase.rpc("create_quotation", {
        p_quotation: toColumns(draft),
        p_request_id: requestId,
        ...(organization === null ? {} : { p_organization_id: organization }),
      });
      if (error) throw refusedChange("Cannot create the quotation", error);
      return quotationOf(data);
    },
    async update(id, fields, { requestId, versions }) {
      const { data, error } = await supabase.rpc("update_quotation", {
        p_id: id,
        p_changes: toColumns(fields),
        p_versions: versions as number[],
        p_request_id: requestId,
      });
      if (error) throw refusedChange(`Cannot change quotation ${id}`, error);
      return quotationOf(data);
    },
    async archive(id, archived, { requestId, versions }) {
      const { data, error } = await supabase.rpc("archive_quotation", {
        p_id: id,
        p_archived: archived,
        p_versions: versions as number[],
        p_request_id: requestId,
      });
      if (error) {
        const attempt = archived ? "archive" : "restore";
        throw refusedChange(`Cannot ${attempt} quotation ${id}`, error);
      }
      return quotationOf(data);
    },
    async changeStatus(id, status, organization, { requestId, versions }) {
      const { data, error } = await supabase.rpc("change_quotation_status", {
        p_id: id,
        p_status: status,
        p_versions: versions as number[],
        p_request_id: requestId,
        ...(organization === null ? {} : { p_organization_id: organization }),
      });
      if (error) {
        throw refusedChange(`Cannot make quotation ${id} ${status}`, error);
      }
      return quotationOf(data);
    },
  };
}

function toColumns(
  { customerName, currency, validUntil, lines }: Partial<QuotationDraft>,
): { [column: string]: Json } {
  return {
    ...(customerName === undefined ? {} : { customer_name: customerName }),
    ...(currency === undefined ? {} : { currency }),
    ...(validUntil === undefined ? {} : { valid_until: validUntil }),
    ...(lines === undefined ? {} : {
      lines: lines.map((line) => ({
        description: line.description,
        quantity: line.quantity,
        unit_price_minor: line.unitPriceMinor,
        tax_basis_points: line.taxBasisPoints,
      })),
    }),
  };
}

type Meaning = [code: QuotationErrorCode, advice: string];

const AMOUNT_TOO_LARGE: Meaning = [
  "AMOUNT_TOO_LARGE",
  "quantity times unit price of a line is over 10,000,000,000,000 minor units: split the line",
];

// What the database raises, and what that means to whoever asked.
const MEANINGS: Record<string, Meaning> = {
  OR001: [
    "ORGANIZATION_NOT_FOUND",
    "you are no member of that organisation: check X-Organization-Id",
  ],
  QT000: [
    "QUOTATION_NOT_FOUND",
    "you have no such quotation: check the id, and X-Organization-Id where you send it",
  ],
  SD001: ["QUOTATION_ARCHIVED", "it is archived: restore it first"],
  QT001: [
    "STATUS_CHANGE_NOT_ALLOWED",
    "its status does not allow that: read it again. A draft can be sent, and what was sent can be accepted, rejected or expired",
  ],
  QT002: [
    "QUOTATION_OVERDUE",
    "its last day of validity is over: send a new one with a later validUntil",
  ],
  QT003: ["QUOTATION_EMPTY", "it has no lines: add one before you send it"],
  QT004: [
    "QUOTATION_NOT_DRAFT",
    "it was sent, and what a customer was sent does not change: write a new one",
  ],
  QT005: [
    "QUOTATION_CHANGED",
    "somebody has changed it since you read it: read it again, and send your change with the new ETag",
  ],
  // The bounds that depend on two fields are checked where they are multiplied,
  // and what does not even fit a bigint is refused before the check.
  "23514": AMOUNT_TOO_LARGE,
  "22003": AMOUNT_TOO_LARGE,
};

/**
 * What a failed call to the database means.
 *
 * @param attempt What was being done, for instance `"Cannot send quotation 7f…"`.
 */
function refusedChange(
  attempt: string,
  cause: { code?: string; message: string },
): QuotationError | StoreError {
  const meaning = MEANINGS[cause.code ?? ""];
  if (meaning === undefined) return new StoreError(attempt, cause);
  const [code, advice] = meaning;
  return new QuotationError(code, `${attempt}: ${advice}`, { cause });
}
