import type { SqlSubject } from "./sql_subject.ts";

/** A change of one function's source that makes the ledger wrong. */
export interface Mutation {
  /** What is wrong then. */
  readonly name: string;
  /** The function, in the schema `public`. */
  readonly fn: string;
  /** Each is replaced wherever it stands, and has to stand somewhere. */
  readonly edits: readonly (readonly [from: string, to: string])[];
}

const OWNER = "and k.owner_token = p_owner_token";
const PROCESSING = "and k.status = 'processing'";

/** Rules broken one at a time: the simulation has to notice each. */
export const sqlMutations: readonly Mutation[] = [
  {
    name: "anybody completes a key",
    fn: "idempotency_complete",
    edits: [[OWNER, ""]],
  },
  {
    name: "anybody fails a key",
    fn: "idempotency_fail",
    edits: [[OWNER, ""]],
  },
  {
    name: "anybody renews a lease",
    fn: "idempotency_renew",
    edits: [[OWNER, ""]],
  },
  {
    name: "anybody records a step",
    fn: "idempotency_checkpoint",
    edits: [[OWNER, ""]],
  },
  {
    name: "a completed key can be completed again, with another answer",
    fn: "idempotency_complete",
    edits: [[PROCESSING, ""]],
  },
  {
    name: "a completed key can fail",
    fn: "idempotency_fail",
    edits: [
      [PROCESSING, ""],
      // What the table's own checks would refuse otherwise.
      [
        "status = 'failed',",
        `status = 'failed', status_code = null,
        response = null, response_encoding = null, response_headers = null,
        completed_at = null,`,
      ],
    ],
  },
  {
    name: "the payload is not compared at a takeover",
    fn: "idempotency_decide_claim",
    edits: [[
      "if v_key.request_fingerprint is distinct from p_fingerprint then",
      `if v_key.request_fingerprint is distinct from p_fingerprint
         and not (v_key.status = 'processing' and v_key.lease_expires_at <= v_now) then`,
    ]],
  },
  {
    name: "the payload of a failed key is not compared",
    fn: "idempotency_decide_claim",
    edits: [[
      "if v_key.request_fingerprint is distinct from p_fingerprint then",
      "if v_key.request_fingerprint is distinct from p_fingerprint and v_key.status <> 'failed' then",
    ]],
  },
  {
    name: "a replay answers any payload",
    fn: "idempotency_claim",
    edits: [["and k.request_fingerprint = p_fingerprint", ""]],
  },
  {
    name: "a replay outlives its key",
    fn: "idempotency_claim",
    edits: [["and k.expires_at > clock_timestamp()", ""]],
  },
  {
    name: "an expired key is never free again",
    fn: "idempotency_decide_claim",
    edits: [[
      "v_free := v_key.id is null or v_key.expires_at <= v_now;",
      "v_free := v_key.id is null;",
    ]],
  },
  {
    name: "a live lease is ignored",
    fn: "idempotency_decide_claim",
    edits: [
      ["if v_key.lease_expires_at > v_now then", "if false then"],
      ["and (k.status = 'failed' or k.lease_expires_at <= v_now)", ""],
    ],
  },
  {
    name: "a lease never lapses",
    fn: "idempotency_decide_claim",
    edits: [["if v_key.lease_expires_at > v_now then", "if true then"]],
  },
  {
    name: "an abandoned key is taken over although the policy refuses",
    fn: "idempotency_decide_claim",
    edits: [["if p_on_abandoned = 'refuse' then", "if false then"]],
  },
  {
    name: "a claim sent again is taken for a stranger's",
    fn: "idempotency_decide_claim",
    edits: [[
      "and v_key.owner_token is distinct from p_owner_token then",
      "then",
    ]],
  },
  {
    name: "a takeover leaves the key with its old owner",
    fn: "idempotency_decide_claim",
    edits: [[
      `        owner_token = p_owner_token,
        -- bounded`,
      `        -- bounded`,
    ]],
  },
  {
    name: "a takeover keeps the attempt's number",
    fn: "idempotency_decide_claim",
    edits: [["attempt = k.attempt + 1", "attempt = k.attempt"]],
  },
  {
    name: "a takeover keeps the fence",
    fn: "idempotency_decide_claim",
    edits: [[
      `attempt = k.attempt + 1,
        fence = nextval('public.idempotency_fence_seq'),`,
      "attempt = k.attempt + 1,",
    ]],
  },
  {
    name: "a takeover forgets the steps",
    fn: "idempotency_decide_claim",
    edits: [[
      "attempt = k.attempt + 1,",
      "attempt = k.attempt + 1, steps = null,",
    ]],
  },
  {
    name: "an expired key hands its steps to the next generation",
    fn: "idempotency_decide_claim",
    edits: [
      ["steps = null,", ""],
      [
        "returning k.fence into v_fence;",
        "returning k.fence, k.steps into v_fence, v_steps;",
      ],
      [
        "return row('claimed', 1, v_fence, null, null, null, null, null, null, null)",
        "return row('claimed', 1, v_fence, null, null, null, null, null, v_steps, null)",
      ],
    ],
  },
  {
    name: "an owner from before the key expired is told the new answer",
    fn: "idempotency_decide_claim",
    edits: [[
      "past_owners = null,",
      "past_owners = k.owner_token || k.past_owners,",
    ]],
  },
  {
    name: "whoever guesses a key is told its answer",
    fn: "idempotency_answer_to_loser",
    edits: [[
      "if not coalesce(p_owner_token = any (v_key.owner_token || v_key.past_owners), false) then",
      "if v_key.id is null then",
    ]],
  },
  {
    name: "a stale owner is told that its own answer was recorded",
    fn: "idempotency_answer_to_loser",
    edits: [[
      "v_key.owner_token = p_owner_token and v_key.status",
      "v_key.status",
    ]],
  },
  {
    name: "a replay looks for the key without its user",
    fn: "idempotency_claim",
    edits: [["where k.user_id = p_user_id and k.scope", "where k.scope"]],
  },
  {
    name: "a replay looks for the key without its scope",
    fn: "idempotency_claim",
    edits: [["and k.scope = p_scope and", "and"]],
  },
  {
    name: "a claim looks for the key without its scope",
    fn: "idempotency_decide_claim",
    edits: [["and k.scope = p_scope\n", "\n"]],
  },
  {
    name: "the later result of a step replaces the first",
    fn: "idempotency_checkpoint",
    edits: [["if not v_steps ? p_step then", "if true then"]],
  },
  {
    name: "a step does not renew the lease",
    fn: "idempotency_checkpoint",
    edits: [[
      "lease_expires_at = greatest(k.lease_expires_at, v_lease_end),",
      "",
    ]],
  },
  {
    name: "a late renewal cuts the lease short",
    fn: "idempotency_renew",
    edits: [[
      "else greatest(k.lease_expires_at, v_lease_end)",
      "else v_lease_end",
    ]],
  },
  {
    name: "letting go keeps the lease",
    fn: "idempotency_renew",
    edits: [[
      "then least(k.lease_expires_at, v_now)",
      "then k.lease_expires_at",
    ]],
  },
  {
    name: "a completed key expires at once",
    fn: "idempotency_complete",
    edits: [[
      "else greatest(k.claimed_at + v_ttl, v_now + v_ttl / 2)",
      "else v_now",
    ]],
  },
  {
    name: "cleanup deletes live leases and kept answers",
    fn: "cleanup_expired_idempotency_keys",
    edits: [
      ["k.expires_at <= v_started", "k.claimed_at <= v_started"],
      [
        "and (k.lease_expires_at is null or k.lease_expires_at <= v_started)",
        "",
      ],
    ],
  },
];

/**
 * Replaces a function by its mutation while `work` runs.
 *
 * @throws {Error} When the text to replace is not there any more: a mutation
 * that changes nothing would prove nothing.
 */
export async function withMutation<T>(
  subject: Pick<SqlSubject, "run">,
  { name, fn, edits }: Mutation,
  work: () => Promise<T>,
): Promise<T> {
  const [found] = await subject.run<{ source: string }>(
    `select pg_get_functiondef(p.oid) as source
     from pg_catalog.pg_proc as p
     where p.pronamespace = 'public'::regnamespace and p.proname = $1`,
    [fn],
  );
  if (found === undefined) throw new Error(`no function public.${fn}`);
  let source = found.source;
  for (const [from, to] of edits) {
    if (!source.includes(from)) {
      throw new Error(
        `mutation "${name}": public.${fn} does not contain ${from}`,
      );
    }
    source = source.replaceAll(from, to);
  }
  await subject.run(source);
  try {
    return await work();
  } finally {
    await subject.run(found.source);
  }
}
