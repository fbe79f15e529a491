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
export const StuckKey = z.object({
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
