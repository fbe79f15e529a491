-- Claiming: the one way in, and the replay.
--
-- Select, then insert … on conflict do nothing, then select again. A replay ends at the first
-- select, so it neither writes nor locks; insert … on conflict do update would do both even where
-- its where clause fails. All else is decided by idempotency_decide_claim: plpgsql sets up each
-- variable and each expression anew in each call, so the replay carries none that it does not use.

create function public.idempotency_claim(
  p_user_id uuid,
  p_scope text,
  p_idempotency_key text,
  p_fingerprint text,
  p_owner_token uuid,
  p_lease_seconds integer,
  p_ttl_seconds integer,
  p_on_abandoned text default 'retry',
  p_metadata jsonb default null
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_answer public.idempotency_answer;
  v_limited boolean;
begin
  -- the service role first, and apart: what follows costs a look-up
  if current_setting('role') <> 'service_role' then
    if not public.idempotency_trusts_caller() then
      p_user_id := public.idempotency_signed_in_user(p_user_id);
      v_limited := true;
    end if;
  end if;

  -- Cast where the table's type differs: a row that is exactly the answer's type is taken over
  -- whole, any other column by column.
  select
    case
      when k.status = 'completed'
        and k.request_fingerprint = p_fingerprint
        and k.expires_at > clock_timestamp()
        then 'replay'
    end,
    k.attempt, k.fence, null::integer, k.status_code::integer, k.response, k.response_encoding,
    k.response_headers, null::jsonb, k.completed_at
  into v_answer
  from public.idempotency_keys as k
  where k.user_id = p_user_id and k.scope = p_scope and k.idempotency_key = p_idempotency_key;

  if v_answer.outcome is not null then
    return v_answer;
  end if;

  -- the project's keys have no user, and "=" does not find those
  return public.idempotency_decide_claim(
    p_user_id, p_scope, p_idempotency_key, p_fingerprint, p_owner_token, p_lease_seconds,
    p_ttl_seconds, p_on_abandoned, p_metadata, found or p_user_id is null, coalesce(v_limited, false)
  );
end;
$$;

comment on function public.idempotency_claim(uuid, text, text, text, uuid, integer, integer, text, jsonb) is
  'Claims a key, or says why not: claimed, replay (with the recorded answer), mismatch, in_progress or abandoned.';

revoke all on function public.idempotency_claim(uuid, text, text, text, uuid, integer, integer, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_claim(uuid, text, text, text, uuid, integer, integer, text, jsonb)
  to authenticated, service_role;
