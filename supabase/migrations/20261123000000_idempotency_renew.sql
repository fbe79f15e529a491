-- Renewing: the owner of a key that is still processing keeps it for longer, or lets it go.
--
-- Guarded like complete: by the owner token and the status. A takeover changes both the token and
-- the fence in one update, so of a renewal and a takeover that meet at the row one finds it
-- changed: the renewal then answers as to any loser, the takeover looks again and sees a live
-- lease. A lease that lapsed is no loss as long as nobody took the key.

create function public.idempotency_renew(
  p_user_id uuid,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  p_lease_seconds integer
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := p_user_id;
  v_now constant timestamptz := clock_timestamp();
  v_lease_end constant timestamptz := v_now + make_interval(secs => p_lease_seconds);
  v_attempt integer;
  v_fence bigint;
begin
  if current_setting('role') <> 'service_role' and not public.idempotency_trusts_caller() then
    v_user_id := public.idempotency_signed_in_user(p_user_id);
  end if;

  if (p_lease_seconds between 0 and 86400) is not true then
    raise exception 'renewing an idempotency key: the lease must be 0 to 86400 seconds, not %', coalesce(p_lease_seconds::text, 'null')
      using errcode = '22023', hint = '0 lets the key go.';
  end if;

  -- Neither column is set to less than it was: a renewal that was late on the way must not cut
  -- short the one that overtook it. Only letting go does, and that leaves a lapsed lease as it is.
  -- lease_expires_at is in no index and expires_at mostly stays, so the update is HOT.
  update public.idempotency_keys as k
  set
    lease_expires_at = case
      when p_lease_seconds = 0 then least(k.lease_expires_at, v_now)
      else greatest(k.lease_expires_at, v_lease_end)
    end,
    expires_at = greatest(k.expires_at, v_lease_end)
  where (k.user_id = v_user_id or (v_user_id is null and k.user_id is null))
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
    and k.owner_token = p_owner_token
    and k.status = 'processing'
  returning k.attempt, k.fence into v_attempt, v_fence;

  if found then
    return row('renewed', v_attempt, v_fence, null, null, null, null, null, null, null)::public.idempotency_answer;
  end if;

  -- no status: an owner that has settled the key itself has nothing to renew either
  return public.idempotency_answer_to_loser(v_user_id, p_scope, p_idempotency_key, p_owner_token, null);
end;
$$;

comment on function public.idempotency_renew(uuid, text, text, uuid, integer) is
  'Makes the lease of the attempt that owns the key last this many seconds from now, or with 0 lets the key go: renewed, replay or stale.';

revoke all on function public.idempotency_renew(uuid, text, text, uuid, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_renew(uuid, text, text, uuid, integer)
  to authenticated, service_role;
