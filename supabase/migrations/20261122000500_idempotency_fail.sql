-- Failing: known not to have taken effect, so the next claim runs again and keeps the steps.

create function public.idempotency_fail(
  p_user_id uuid,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  p_error_message text,
  p_ttl_seconds integer default null
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := p_user_id;
  v_now constant timestamptz := clock_timestamp();
  v_ttl constant interval := make_interval(secs => p_ttl_seconds);
  v_attempt integer;
  v_fence bigint;
begin
  if current_setting('role') <> 'service_role' and not public.idempotency_trusts_caller() then
    v_user_id := public.idempotency_signed_in_user(p_user_id);
  end if;

  if not coalesce(p_ttl_seconds, 1) between 1 and 31536000 then
    raise exception 'failing an idempotency key: the TTL must be 1 to 31536000 seconds, not %', p_ttl_seconds
      using errcode = '22023';
  end if;

  update public.idempotency_keys as k
  set
    status = 'failed',
    -- cut, not refused: a long message is no reason to leave the key in processing
    error_message = left(p_error_message, 2000),
    lease_expires_at = null,
    expires_at = case
      when v_ttl is null then greatest(k.expires_at, v_now + (k.expires_at - k.claimed_at) / 2)
      else greatest(k.claimed_at + v_ttl, v_now + v_ttl / 2)
    end
  where (k.user_id = v_user_id or (v_user_id is null and k.user_id is null))
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
    and k.owner_token = p_owner_token
    and k.status = 'processing'
  returning k.attempt, k.fence into v_attempt, v_fence;

  if found then
    return row('failed', v_attempt, v_fence, null, null, null, null, null, null, null)::public.idempotency_answer;
  end if;

  return public.idempotency_answer_to_loser(v_user_id, p_scope, p_idempotency_key, p_owner_token, 'failed');
end;
$$;

comment on function public.idempotency_fail(uuid, text, text, uuid, text, integer) is
  'Records that the attempt that owns the key took no effect, so that the key may run again: failed, replay or stale.';

revoke all on function public.idempotency_fail(uuid, text, text, uuid, text, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_fail(uuid, text, text, uuid, text, integer)
  to authenticated, service_role;
