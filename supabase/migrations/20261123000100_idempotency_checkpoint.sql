-- Recording a step: a later attempt gets it with its claim and does not run it again. Renews the
-- lease in the same trip, because an attempt that reports a step is alive.

create function public.idempotency_checkpoint(
  p_user_id uuid,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  p_step text,
  p_result jsonb,
  p_lease_seconds integer
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  c_most_steps constant integer := 100;
  c_most_bytes constant integer := 1048576;
  v_user_id uuid := p_user_id;
  v_now timestamptz;
  v_lease_end timestamptz;
  v_key public.idempotency_keys;
  v_steps jsonb;
begin
  if current_setting('role') <> 'service_role' and not public.idempotency_trusts_caller() then
    v_user_id := public.idempotency_signed_in_user(p_user_id);
  end if;

  if (length(p_step) between 1 and 100) is not true then
    raise exception 'recording a step: its name must be 1 to 100 characters, not %', coalesce(length(p_step)::text, 'null')
      using errcode = '22023';
  end if;

  if (p_lease_seconds between 1 and 86400) is not true then
    raise exception 'recording step %: the lease must be 1 to 86400 seconds, not %', p_step, coalesce(p_lease_seconds::text, 'null')
      using errcode = '22023';
  end if;

  -- Locked before it is added to: one attempt may record several steps at once, and each has to
  -- see the others'. no key update is the lock that the update takes anyway.
  select k.* into v_key
  from public.idempotency_keys as k
  where (k.user_id = v_user_id or (v_user_id is null and k.user_id is null))
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
    and k.owner_token = p_owner_token
    and k.status = 'processing'
  for no key update;

  if not found then
    return public.idempotency_answer_to_loser(v_user_id, p_scope, p_idempotency_key, p_owner_token, null);
  end if;

  v_steps := coalesce(v_key.steps, '{}');

  -- The first result stays: the same call may arrive twice, and a later attempt may already have
  -- been handed what was recorded.
  if not v_steps ? p_step then
    -- JSON null arrives from PostgREST as SQL null; it is a result like false, 0 and ""
    v_steps := v_steps || jsonb_build_object(p_step, coalesce(p_result, 'null'));

    if (select count(*) from jsonb_object_keys(v_steps)) > c_most_steps then
      raise exception 'recording step %: key % has % steps, the most there may be', p_step, p_idempotency_key, c_most_steps
        using errcode = '22023';
    end if;

    if pg_column_size(v_steps) > c_most_bytes then
      raise exception 'recording step %: the steps of key % would take % bytes, more than %', p_step, p_idempotency_key, pg_column_size(v_steps), c_most_bytes
        using errcode = '22023', hint = 'Store what is large elsewhere and record where.';
    end if;
  end if;

  -- after the wait for the lock
  v_now := clock_timestamp();
  v_lease_end := v_now + make_interval(secs => p_lease_seconds);

  update public.idempotency_keys as k
  set
    steps = v_steps,
    lease_expires_at = greatest(k.lease_expires_at, v_lease_end),
    expires_at = greatest(k.expires_at, v_lease_end)
  where k.id = v_key.id;

  return row(
    'recorded', v_key.attempt, v_key.fence, null, null, null, null, null, null, null
  )::public.idempotency_answer;
end;
$$;

comment on function public.idempotency_checkpoint(uuid, text, text, uuid, text, jsonb, integer) is
  'Records the result of a step, the first one for good, and renews the lease: recorded, replay or stale.';

revoke all on function public.idempotency_checkpoint(uuid, text, text, uuid, text, jsonb, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_checkpoint(uuid, text, text, uuid, text, jsonb, integer)
  to authenticated, service_role;
