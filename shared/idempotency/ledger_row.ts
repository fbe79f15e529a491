import { restoreBody } from "./compressed_body.ts";
import { z } from "./deps.ts";
import { LedgerUnavailableError } from "./errors.ts";
import type { Answer, ClaimResult, SettleResult } from "./ledger.ts";

/** What a transition answers: the SQL type `idempotency_answer`. */
export const ledgerRow = z.object({
  outcome: z.enum([
    "claimed",
    "replay",
    "mismatch",
    "in_progress",
    "abandoned",
    "completed",
    "failed",
    "recorded",
    "renewed",
    "stale",
    "refused",
  ]),
  attempt: z.int().nullable(),
  fence: z.int().nullable(),
  retry_after_seconds: z.int().nullable(),
  status_code: z.int().nullable(),
  response: z.string().nullable(),
  response_encoding: z.enum(["text", "base64", "gzip", "none"]).nullable(),
  response_headers: z.record(z.string(), z.string()).nullable(),
  steps: z.record(z.string(), z.unknown()).nullable(),
});

/** A row of the SQL type `idempotency_answer`. */
export type LedgerRow = z.output<typeof ledgerRow>;

/** What a batch answers for one key: the SQL type `idempotency_item_answer`. */
export const batchRow = ledgerRow.extend({
  error_code: z.string().nullable(),
  error_message: z.string().nullable(),
});

/** What reading a key answers, as far as the ledger uses it. */
export const statusRow = ledgerRow.pick({
  status_code: true,
  response: true,
  response_encoding: true,
  response_headers: true,
}).extend({ status: z.string(), is_expired: z.boolean() });

/**
 * Reads the answer of a claim.
 *
 * @throws {LedgerUnavailableError} When it is not one of a claim.
 */
export async function toClaimResult(row: LedgerRow): Promise<ClaimResult> {
  switch (row.outcome) {
    case "claimed":
      return {
        outcome: "claimed",
        attempt: row.attempt ?? 1,
        fence: row.fence ?? 0,
        steps: row.steps ?? {},
        takenOver: row.retry_after_seconds === 0,
      };
    case "replay":
      return { outcome: "replay", answer: await toAnswer(row) };
    case "in_progress":
      return {
        outcome: "in_progress",
        retryAfterSeconds: row.retry_after_seconds ?? 1,
      };
    case "mismatch":
    case "abandoned":
      return { outcome: row.outcome };
    default:
      throw new LedgerUnavailableError(
        "claim the key",
        new TypeError(`idempotency_claim answered "${row.outcome}"`),
      );
  }
}

/** Reads the answer of any other transition. */
export async function toSettleResult(row: LedgerRow): Promise<SettleResult> {
  switch (row.outcome) {
    case "completed":
    case "failed":
    case "recorded":
    case "renewed":
      return { outcome: "recorded" };
    case "replay":
      return { outcome: "replay", answer: await toAnswer(row) };
    default:
      return { outcome: row.fence === null ? "gone" : "lost" };
  }
}

/** The final answer that a row holds. */
export async function toAnswer(
  row: Pick<
    LedgerRow,
    "status_code" | "response" | "response_encoding" | "response_headers"
  >,
): Promise<Answer> {
  return {
    status: row.status_code ?? 200,
    headers: row.response_headers ?? {},
    body: await restoreBody(row.response, row.response_encoding ?? "none"),
  };
}
