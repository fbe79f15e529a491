import { z } from "zod";
import type { Project } from "../project.ts";

/** An attempt that crashed before the latest one. */
const CrashedAttempt = z.object({
  attempt: z.int(),
  claimed_at: z.coerce.date(),
  lease_expired_at: z.coerce.date(),
  /** How many steps were done by then. */
  steps: z.int(),
});

/** A row of `idempotency_stuck_keys`. */
const StuckKey = z.object({
  owner: z.string(),
  scope: z.string(),
  idempotency_key: z.string(),
  attempt: z.int(),
  claimed_at: z.coerce.date(),
  lease_expires_at: z.coerce.date(),
  expires_at: z.coerce.date(),
  metadata: z.record(z.string(), z.unknown()).nullable(),
  steps: z.record(z.string(), z.unknown()).nullable(),
  crashed_attempts: z.array(CrashedAttempt).nullable(),
});

/** A key whose last attempt was interrupted. */
export type StuckKey = z.output<typeof StuckKey>;

const Time = z.coerce.date();

const RecentKey = z.object({
  owner: z.string(),
  scope: z.string(),
  idempotency_key: z.string(),
  status: z.enum(["processing", "completed", "failed"]),
  is_stuck: z.boolean(),
  attempt: z.int(),
  status_code: z.int().nullable(),
  error_message: z.string().nullable(),
  claimed_at: Time,
  completed_at: Time.nullable(),
  fence: z.coerce.number().int(),
});

/** A key in a list; names as in SQL. */
export type RecentKey = z.output<typeof RecentKey>;

/** Which keys {@link recentKeys} lists; what is left out may be anything. */
export interface KeyQuery {
  readonly scope?: string | undefined;
  /** `""` is the project itself. */
  readonly owner?: string | undefined;
  readonly key?: string | undefined;
  readonly status?: "processing" | "stuck" | "completed" | "failed" | undefined;
  /** Of the claim of its latest attempt: from here on. */
  readonly from?: Date | undefined;
  /** And before this. */
  readonly until?: Date | undefined;
  /** Goes on where another list ended. */
  readonly below?: number | undefined;
  /** At most 1000. */
  readonly limit: number;
}

/** Keys that fit a query, the one claimed last at the top. */
export interface KeyList {
  readonly keys: readonly RecentKey[];
  /** Where the next list goes on; `null` where there are no more. */
  readonly below: number | null;
}

const KeyDetails = z.object({
  owner: z.string(),
  scope: z.string(),
  idempotency_key: z.string(),
  status: z.enum(["processing", "completed", "failed"]),
  is_stuck: z.boolean(),
  is_expired: z.boolean(),
  attempt: z.int(),
  crashed_attempts: z.array(CrashedAttempt).nullable(),
  steps: z.record(z.string(), z.unknown()).nullable(),
  status_code: z.int().nullable(),
  response_headers: z.record(z.string(), z.unknown()).nullable(),
  response_encoding: z.enum(["text", "base64", "gzip", "none"]).nullable(),
  /** As it is written down; `null` where it is longer than 64 KiB. */
  response: z.string().nullable(),
  response_bytes: z.int().nullable(),
  error_message: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()).nullable(),
  request_fingerprint: z.string(),
  fence: z.coerce.number().int(),
  created_at: Time,
  claimed_at: Time,
  lease_expires_at: Time.nullable(),
  completed_at: Time.nullable(),
  expires_at: Time,
});

/** One key with its attempts, steps and answer; names as in SQL. */
export type KeyDetails = z.output<typeof KeyDetails>;

const Resolved = z.object({
  outcome: z.enum(["completed", "failed", "replay", "gone"]),
  attempt: z.int().nullable(),
  status_code: z.int().nullable(),
});

/** What became of a resolution; see `idempotency_resolve`. */
export type Resolved = z.output<typeof Resolved>;

/** What an operator found out about an interrupted attempt. */
export interface Resolution {
  readonly userId: string | null;
  readonly scope: string;
  readonly key: string;
  readonly as: "completed" | "failed";
  /** HTTP status of the answer; `null` where it failed. */
  readonly status: number | null;
  /** Body of the answer; `null` where there is none to give. */
  readonly body: string | null;
  /** Headers of the answer, names in lower case. */
  readonly headers: Record<string, string> | null;
  readonly note: string | null;
}

/** Keys that wait for an operator, the one that waits longest first. */
export async function stuckKeys(
  project: Project,
  limit: number,
): Promise<StuckKey[]> {
  return z.array(StuckKey).parse(
    await project.call("idempotency_stuck_keys", { p_limit: limit }),
  );
}

/**
 * Lists keys. One call looks at 10,000 keys at most, so a list may be empty and
 * yet have more below.
 */
export async function recentKeys(
  project: Project,
  { scope, owner, key, status, from, until, below, limit }: KeyQuery,
): Promise<KeyList> {
  const rows = await project.call("idempotency_recent_keys", {
    p_scope: scope ?? null,
    p_owner: owner ?? null,
    p_idempotency_key: key ?? null,
    p_status: status ?? null,
    p_from: from?.toISOString() ?? null,
    p_until: until?.toISOString() ?? null,
    p_below_fence: below ?? null,
    p_limit: limit,
  });
  // A last row without a key says where looking ended.
  const end = EndOfList.safeParse(rows.at(-1));
  const keys = z.array(RecentKey).parse(end.success ? rows.slice(0, -1) : rows);
  if (end.success) return { keys, below: end.data.fence };
  return { keys, below: keys.length < limit ? null : keys.at(-1)!.fence };
}

const EndOfList = z.object({
  idempotency_key: z.null(),
  fence: z.coerce.number().int(),
});

/** All there is to tell of a key; `null` where it is not there. */
export async function readKey(
  project: Project,
  { owner, scope, key }: Record<"owner" | "scope" | "key", string>,
): Promise<KeyDetails | null> {
  const [row] = await project.call("idempotency_read_key", {
    p_owner: owner,
    p_scope: scope,
    p_idempotency_key: key,
  });
  return row === undefined ? null : KeyDetails.parse(row);
}

/** Ends an interrupted attempt. */
export async function resolve(
  project: Project,
  { userId, scope, key, as, status, body, headers, note }: Resolution,
): Promise<Resolved> {
  const [row] = await project.call("idempotency_resolve", {
    p_owner: userId ?? "",
    p_scope: scope,
    p_idempotency_key: key,
    p_resolution: as,
    p_status_code: status,
    p_response: body,
    p_response_headers: headers,
    p_note: note,
  });
  return Resolved.parse(row);
}
