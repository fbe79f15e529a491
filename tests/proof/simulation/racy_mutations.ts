import type { Mutation } from "./sql_mutations.ts";

/** A {@link Mutation} that shows where two sessions meet at a key. */
export interface RacyMutation extends Mutation {
  /** The key's state when they meet. */
  readonly state: string;
}

/** Guards that matter only where two sessions meet. */
export const racyMutations: readonly RacyMutation[] = [
  {
    name: "a takeover trusts what it saw before it waited for the row",
    state: "lapsed",
    fn: "public.idempotency_claim",
    edits: [[
      `and k.fence = v_key.fence
        -- failing leaves the fence as it is too, and turns a takeover into a retry
        and k.status = v_key.status
        and (k.status = 'failed' or k.lease_expires_at <= v_now)`,
      "",
    ]],
  },
  {
    name: "a takeover does not look again whether the attempt has failed",
    state: "lapsed",
    fn: "public.idempotency_claim",
    edits: [["and k.status = v_key.status", ""]],
  },
  {
    name: "a takeover does not look again whether the lease was renewed",
    state: "lapsed",
    fn: "public.idempotency_claim",
    edits: [["and (k.status = 'failed' or k.lease_expires_at <= v_now)", ""]],
  },
  {
    name: "a claim of an expired key trusts what it saw before it waited",
    state: "expired",
    fn: "public.idempotency_claim",
    edits: [[
      "and k.fence = v_key.fence\n        and k.expires_at <= v_now",
      "",
    ]],
  },
  {
    name: "a claim sent again trusts what it saw before it waited",
    state: "live",
    fn: "public.idempotency_claim",
    edits: [[
      "and k.fence = v_key.fence\n        and k.status = 'processing'",
      "",
    ]],
  },
  {
    name: "a claim sent again is told steps from before it waited",
    state: "live",
    fn: "public.idempotency_claim",
    edits: [["null, v_steps, null", "null, v_key.steps, null"]],
  },
  {
    name: "a lost insert is taken for a won one",
    state: "free",
    fn: "public.idempotency_claim",
    edits: [["v_round in 1..20", "v_round in 1..1"]],
  },
  {
    name: "two steps recorded at once overwrite each other",
    state: "live",
    fn: "public.idempotency_checkpoint",
    edits: [["for no key update", ""]],
  },
  {
    name: "cleanup waits for a row and deletes it although it was claimed anew",
    state: "expired",
    fn: "idempotency.delete_expired",
    edits: [
      ["select k.ctid", "select k.idempotency_key::text"],
      ["d.ctid = any", "d.idempotency_key = any"],
      ["for update skip locked", ""],
    ],
  },
];
