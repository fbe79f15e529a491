import type { SqlSubject } from "./sql_subject.ts";

/** A change of one function's source that makes the ledger wrong. */
export interface Mutation {
  /** What is wrong then. */
  readonly name: string;
  /** The function, with its schema. */
  readonly fn: string;
  /**
   * Each is replaced wherever it stands, and has to stand somewhere. None: the
   * function stays as it is, and signed-in users may call it.
   */
  readonly edits: readonly (readonly [from: string, to: string])[];
}

const OWNER = "and k.owner_token = p_owner_token";
const PROCESSING = "and k.status = 'processing'";

// The state machine is the same; who may drive it is not.
const forSignedInUsers: readonly Mutation[] = [
  "claim",
  "checkpoint",
  "complete",
  "fail",
  "settle_many",
].map((transition) => ({
  name: `a signed-in user may call idempotency_${transition}`,
  fn: `public.idempotency_${transition}`,
  edits: [],
}));

/** Rules broken one at a time: the simulation has to notice each. */
export const sqlMutations: readonly Mutation[] = [
  ...forSignedInUsers,
  {
    name: "anybody completes a key",
    fn: "public.idempotency_complete",
    edits: [[OWNER, ""]],
  },
  {
    name: "anybody fails a key",
    fn: "public.idempotency_fail",
    edits: [[OWNER, ""]],
  },
  {
    name: "anybody renews a lease",
    fn: "public.idempotency_renew",
    edits: [[OWNER, ""]],
  },
  {
    name: "anybody records a step",
    fn: "public.idempotency_checkpoint",
    edits: [[OWNER, ""]],
  },
  {
    name: "a completed key can be completed again, with another answer",
    fn: "public.idempotency_complete",
    edits: [[PROCESSING, ""]],
  },
  {
    name: "a completed key can fail",
    fn: "public.idempotency_fail",
    edits: [[PROCESSING, ""]],
  },
  {
    name: "an attempt after one that failed keeps its error message",
    fn: "public.idempotency_claim",
    edits: [[
      "        error_message = null,\n        status_code = null,\n        completed_at = null,\n        -- what",
      "        status_code = null,\n        completed_at = null,\n        -- what",
    ]],
  },
  {
    name: "the payload is not compared at a takeover",
    fn: "public.idempotency_claim",
    edits: [[
      "if v_key.request_fingerprint is distinct from p_fingerprint then",
      `if v_key.request_fingerprint is distinct from p_fingerprint
         and not (v_key.status = 'processing' and v_key.lease_expires_at <= v_now) then`,
    ]],
  },
  {
    name: "the payload of a failed key is not compared",
    fn: "public.idempotency_claim",
    edits: [[
      "if v_key.request_fingerprint is distinct from p_fingerprint then",
      "if v_key.request_fingerprint is distinct from p_fingerprint and v_key.status <> 'failed' then",
    ]],
  },
  {
    name: "a replay answers any payload",
    fn: "public.idempotency_claim",
    edits: [[
      "if v_key.request_fingerprint is distinct from p_fingerprint then",
      "if v_key.request_fingerprint is distinct from p_fingerprint and v_key.status <> 'completed' then",
    ]],
  },
  {
    name: "a replay outlives its key",
    fn: "public.idempotency_claim",
    edits: [[
      "if v_key.expires_at > v_now then",
      "if v_key.expires_at > v_now or v_key.status = 'completed' then",
    ]],
  },
  {
    name: "an expired key is never free again",
    fn: "public.idempotency_claim",
    edits: [
      ["if v_key.expires_at > v_now then", "if v_key.owner is not null then"],
      ["elsif v_key.expires_at <= v_now then", "elsif false then"],
    ],
  },
  {
    name: "a live lease is ignored",
    fn: "public.idempotency_claim",
    edits: [
      ["if v_key.lease_expires_at > v_now then", "if false then"],
      ["and (k.status = 'failed' or k.lease_expires_at <= v_now)", ""],
    ],
  },
  {
    name: "a lease never lapses",
    fn: "public.idempotency_claim",
    edits: [["if v_key.lease_expires_at > v_now then", "if true then"]],
  },
  {
    name: "an abandoned key is taken over although the policy refuses",
    fn: "public.idempotency_claim",
    edits: [["if p_on_abandoned = 'refuse'", "if false"]],
  },
  {
    name: "a key is parked after one crashed attempt too few",
    fn: "public.idempotency_claim",
    edits: [["+ 1 >= p_max_attempts", ">= p_max_attempts"]],
  },
  {
    name: "a key whose attempts crash is never parked",
    fn: "public.idempotency_claim",
    edits: [[
      "or coalesce(jsonb_array_length(v_key.crashed_attempts), 0) + 1 >= p_max_attempts",
      "",
    ]],
  },
  {
    name: "attempts that failed count as crashed",
    fn: "public.idempotency_claim",
    edits: [[
      "when k.status = 'processing' then coalesce",
      "when true then coalesce",
    ]],
  },
  {
    name: "a claim sent again is taken for a stranger's",
    fn: "public.idempotency_claim",
    edits: [[
      "and v_key.owner_token is distinct from p_owner_token then",
      "then",
    ]],
  },
  {
    name: "a takeover leaves the key with its old owner",
    fn: "public.idempotency_claim",
    edits: [[
      `        owner_token = p_owner_token,
        -- bounded`,
      `        -- bounded`,
    ]],
  },
  {
    name: "a takeover keeps the attempt's number",
    fn: "public.idempotency_claim",
    edits: [["attempt = k.attempt + 1", "attempt = k.attempt"]],
  },
  {
    name: "a takeover keeps the fence",
    fn: "public.idempotency_claim",
    edits: [[
      `attempt = k.attempt + 1,
        fence = nextval('idempotency.fence_seq'),`,
      "attempt = k.attempt + 1,",
    ]],
  },
  {
    name: "a takeover forgets the steps",
    fn: "public.idempotency_claim",
    edits: [[
      "attempt = k.attempt + 1,",
      "attempt = k.attempt + 1, steps = null,",
    ]],
  },
  {
    name: "an expired key hands its steps to the next generation",
    fn: "public.idempotency_claim",
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
    fn: "public.idempotency_claim",
    edits: [[
      "past_owners = null,",
      "past_owners = k.owner_token || k.past_owners,",
    ]],
  },
  {
    name: "whoever guesses a key is told its answer",
    fn: "idempotency.answer_to_loser",
    edits: [[
      "not coalesce(p_owner_token = any (v_key.owner_token || v_key.past_owners), false)",
      "v_key.owner is null",
    ]],
  },
  {
    name: "a stale owner is told that its own answer was recorded",
    fn: "idempotency.answer_to_loser",
    edits: [[
      "v_key.owner_token = p_owner_token and v_key.status",
      "v_key.status",
    ]],
  },
  {
    name: "a claim looks for the key without its user",
    fn: "public.idempotency_claim",
    edits: [["where k.owner = p_owner and k.scope", "where k.scope"]],
  },
  {
    name: "a claim looks for the key without its scope",
    fn: "public.idempotency_claim",
    edits: [["and k.scope = p_scope and", "and"]],
  },
  {
    name: "the later result of a step replaces the first",
    fn: "public.idempotency_checkpoint",
    edits: [["if not v_steps ? p_step then", "if true then"]],
  },
  {
    name: "a step does not renew the lease",
    fn: "public.idempotency_checkpoint",
    edits: [[
      "lease_expires_at = greatest(k.lease_expires_at, v_lease_end),",
      "",
    ]],
  },
  {
    name: "a late renewal cuts the lease short",
    fn: "public.idempotency_renew",
    edits: [["greatest(k.lease_expires_at, v_lease_end)", "v_lease_end"]],
  },
  {
    name: "a completed key expires at once",
    fn: "public.idempotency_complete",
    edits: [[
      "else greatest(k.claimed_at + v_ttl, v_now + v_ttl / 2)",
      "else v_now",
    ]],
  },
  {
    name: "cleanup deletes live leases and kept answers",
    fn: "idempotency.delete_expired",
    edits: [
      ["k.expires_at <= v_now", "k.claimed_at <= v_now"],
      ["and (k.lease_expires_at is null or k.lease_expires_at <= v_now)", ""],
    ],
  },
];

/** Steps to the next version that do what none may, by what is wrong. */
export const wrongSteps: Readonly<Record<string, string>> = {
  "leaves the function of the version before beside the new one":
    "alter function public.claim_before rename to idempotency_claim",
  "lets everybody call the new function":
    "grant execute on function public.idempotency_claim to public",
  "ends the leases of who is at work":
    "update public.idempotency_keys set lease_expires_at = created_at where status = 'processing'",
  "gives every key to another owner":
    "update public.idempotency_keys set owner_token = gen_random_uuid()",
  "forgets the steps that are done":
    "update public.idempotency_keys set steps = null",
  "begins to number fences anew":
    "alter sequence idempotency.fence_seq restart with 1",
};

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
  const [found] = await subject.run<{ source: string; signature: string }>(
    `select pg_get_functiondef(p.oid) as source, p.oid::regprocedure as signature
     from pg_catalog.pg_proc as p
     where format('%s.%s', p.pronamespace::regnamespace, p.proname) = $1`,
    [fn],
  );
  if (found === undefined) throw new Error(`no function ${fn}`);
  if (edits.length === 0) {
    const { signature } = found;
    await subject.run(
      `grant execute on function ${signature} to authenticated`,
    );
    try {
      return await work();
    } finally {
      await subject.run(
        `revoke execute on function ${signature} from authenticated`,
      );
    }
  }
  let source = found.source;
  for (const [from, to] of edits) {
    if (!source.includes(from)) {
      throw new Error(
        `mutation "${name}": ${fn} does not contain ${from}`,
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
